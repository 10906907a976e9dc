"""What a run refuses before anything slow, and how it ends when it is asked to."""

import dataclasses
import errno
import io
import json
import os
import signal
import sys
import types

import optax
import pytest
from random_model import SHALLOW
from stand_in import SMALL_RUN, StandIn, stand_ins

from skinflow_jax.checkpoints.hf_processor import PixelBudget
from skinflow_jax.checkpoints.step_folders import finished_steps
from skinflow_jax.config import RunConfig
from skinflow_jax.errors import ConfigError, InputError, Interrupted, RunError, StartAgain
from skinflow_jax.rl.config import GrpoConfig
from skinflow_jax.runs.meshes import check_mesh
from skinflow_jax.runs.opening import open_checkpoint
from skinflow_jax.runs.train import make_learner, train
from skinflow_jax.training.sinks import RunWriter

MESH = types.SimpleNamespace(shape={"data": 2, "fsdp": 2, "tensor": 2})
GRPO = RunConfig(
    algorithm="grpo",
    batch_size=16,
    micro_batches=2,
    rl=GrpoConfig(mini_batches=2, max_tokens=8),
)


def test_a_batch_that_does_not_divide_over_the_mesh_is_refused():
    check_mesh(GRPO, MESH)
    config = dataclasses.replace(GRPO, batch_size=8)
    check_mesh(config, None)
    with pytest.raises(ConfigError) as error:
        check_mesh(config, MESH)
    assert str(error.value) == (
        "batch_size=8 in 4 micro-batches does not divide over mesh data=2 x fsdp=2: "
        "make it a multiple of 16"
    )


def test_a_stop_token_that_the_model_does_not_have_is_refused():
    beyond = SHALLOW.text.vocab_size
    rl = GrpoConfig(max_tokens=8, stop_ids=(5, beyond))
    with pytest.raises(ConfigError, match=rf"stop_ids=\(5, {beyond}\): .* end at {beyond - 1}"):
        make_learner(dataclasses.replace(GRPO, rl=rl), SHALLOW, None, optax.sgd(0.1), None, None)


@pytest.mark.parametrize(
    ("number", "kind"), [(signal.SIGTERM, StartAgain), (signal.SIGINT, Interrupted)]
)
@pytest.mark.parametrize("step", [1, 2])
def test_a_run_that_is_asked_to_stop_saves_and_says_so_in_its_last_step_too(
    tmp_path, monkeypatch, number, kind, step
):
    """Were the last step's signal lost, a demo would go on with its next stage."""

    class Signalled(StandIn):
        def step(self, state, batches, done):
            if done + 1 == step:
                os.kill(os.getpid(), number)
            return super().step(state, batches, done)

    stand_ins(monkeypatch, Signalled)
    with pytest.raises(kind, match=rf"step {step} is saved in .*: go on with --resume"):
        train(SMALL_RUN, tmp_path)
    assert finished_steps(tmp_path / "checkpoints")[-1] == step


def test_a_run_killed_as_it_goes_back_to_an_earlier_step_stays_there(tmp_path, monkeypatch):
    """The lines of later steps are gone: so must be their checkpoints."""

    class Killed(StandIn):
        def step(self, state, batches, done):
            raise SystemExit  # nothing catches it, as nothing catches kill -9

    def steps():
        lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
        return [json.loads(line)["step"] for line in lines]

    stand_ins(monkeypatch)
    train(SMALL_RUN, tmp_path)
    assert steps() == [1, 2] and finished_steps(tmp_path / "checkpoints") == [1, 2]
    stand_ins(monkeypatch, Killed)
    with pytest.raises(SystemExit):
        train(SMALL_RUN, tmp_path, resume=True, step=1)
    assert steps() == [1] and finished_steps(tmp_path / "checkpoints") == [1]
    stand_ins(monkeypatch)
    train(SMALL_RUN, tmp_path, resume=True)
    assert steps() == [1, 2] and finished_steps(tmp_path / "checkpoints") == [1, 2]


def test_of_a_finished_run_nothing_is_read_where_nobody_wants_the_policy(
    tmp_path, monkeypatch, capsys
):
    stand_ins(monkeypatch)
    train(SMALL_RUN, tmp_path)
    (tmp_path / "records").rename(tmp_path / "elsewhere")

    def opened(*_, **__):
        raise AssertionError("read")

    for name in ("prepare_records", "resumed_start"):
        monkeypatch.setattr(f"skinflow_jax.runs.train.{name}", opened)
    capsys.readouterr()
    assert train(SMALL_RUN, tmp_path, resume=True, only_run=True) is None
    assert capsys.readouterr().out == f"{tmp_path} is at step 2: nothing is left to train\n"
    with pytest.raises(AssertionError):
        train(SMALL_RUN, tmp_path, resume=True)


def test_rewards_that_have_changed_are_told(tmp_path, monkeypatch, capsys):
    stand_ins(monkeypatch)
    file = tmp_path / "mine.py"
    file.write_text("def one(completions, examples):\n    return [1.0 for _ in completions]\n")
    rl = GrpoConfig(max_tokens=8, rewards=(f"{file}:one",))
    config = dataclasses.replace(SMALL_RUN, algorithm="grpo", rl=rl)
    train(config, tmp_path / "run")
    file.write_text(file.read_text().replace("1.0", "0.5"))
    train(config, tmp_path / "run", resume=True)
    assert f"the rewards in {file} are not those of before" in capsys.readouterr().out


def test_a_disk_that_fills_up_under_the_metrics_is_named_with_what_is_saved(tmp_path, monkeypatch):
    """The error of a write has no file's name."""

    def full(self, step, values):
        if step == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    stand_ins(monkeypatch)
    monkeypatch.setattr(RunWriter, "scalars", full)
    told = rf"{tmp_path}: no space left on device: free some space there; step 1 is saved"
    with pytest.raises(RunError, match=told):
        train(SMALL_RUN, tmp_path)


def test_a_standard_output_that_fails_is_named_with_what_is_saved(tmp_path, monkeypatch):
    """Such as the log of a run whose reader has gone, or whose disk is full."""

    class Gone(io.StringIO):
        def flush(self):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        def fileno(self):
            return descriptor

    def closed(self, step, values):
        if step == 2:
            monkeypatch.setattr(sys, "stdout", Gone())
            print(flush=True)

    stand_ins(monkeypatch)
    monkeypatch.setattr(RunWriter, "scalars", closed)
    with open(os.devnull, "w") as null, pytest.raises(RunError) as told:
        descriptor = null.fileno()
        train(SMALL_RUN, tmp_path)
    assert "standard output: input/output error; step 1 is saved" in str(told.value)


def test_the_image_size_of_a_run_is_the_one_it_was_trained_with(tmp_path, monkeypatch):
    """Whatever its preprocessor_config.json says; a resume writes that anew."""
    stand_ins(monkeypatch)
    train(SMALL_RUN, tmp_path)
    file = tmp_path / "preprocessor_config.json"
    written = file.read_text()
    file.write_text('{"min_pixels": 1, "max_pixels": 9999}')
    assert open_checkpoint(tmp_path).pixels == PixelBudget(56 * 56, 56 * 56)
    longer = dataclasses.replace(SMALL_RUN, loop=dataclasses.replace(SMALL_RUN.loop, steps=3))
    train(longer, tmp_path, resume=True)
    assert file.read_text() == written


def test_a_line_that_is_not_ours_is_met_before_anything_is_compiled(tmp_path, monkeypatch):
    stand_ins(monkeypatch)
    train(SMALL_RUN, tmp_path)
    with open(tmp_path / "metrics.jsonl", "a") as lines:
        lines.write("garbage\n")
    monkeypatch.setattr(StandIn, "warm_up", lambda *_: pytest.fail("it was compiled"))
    longer = dataclasses.replace(SMALL_RUN, loop=dataclasses.replace(SMALL_RUN.loop, steps=3))
    with pytest.raises(InputError, match=r"metrics.jsonl, line 3: .*delete the line"):
        train(longer, tmp_path, resume=True)


@pytest.mark.parametrize("name", ["config.json", "tokenizer", "source"])
def test_a_run_replaces_nothing_that_none_has_written(tmp_path, name):
    """As in a Hugging Face folder, or a project with a folder of sources."""
    (tmp_path / name).mkdir()
    with pytest.raises(InputError, match=f"holds {name}, which no run has written there"):
        train(SMALL_RUN, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
