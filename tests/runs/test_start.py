"""The model that a KL is measured to: the one the run started from, by step and fingerprint."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_model import SHALLOW

from skinflow_jax.checkpoints.fingerprint import fingerprint
from skinflow_jax.config import ModelChoice, RunConfig, to_dict
from skinflow_jax.errors import InputError
from skinflow_jax.models.lora import LoraConfig, with_lora
from skinflow_jax.models.trainable import trained_part
from skinflow_jax.models.vlm import init_model
from skinflow_jax.rl.config import GrpoConfig
from skinflow_jax.runs import start
from skinflow_jax.runs.facts import Origin, RunFacts
from skinflow_jax.runs.opening import Policy
from skinflow_jax.runs.start import Stored, resumed_start
from skinflow_jax.runs.workdir import Workdir

CONFIG = RunConfig(
    algorithm="grpo",
    model=ModelChoice(init_from="runs/before"),
    rl=GrpoConfig(log_kl=True, max_tokens=8),
)


@pytest.fixture
def resume(tmp_path, monkeypatch):
    """`resume(allowed)`: a run that started from step 3 of `runs/before`, which has gone on."""
    models = {
        step: with_lora(init_model(SHALLOW, seed=step), LoraConfig(rank=2), seed=0)
        for step in (3, 9)
    }

    def starting_policy(config, make_tokenizer, mesh, *, step):
        step = step or max(models)
        if step not in models:
            raise InputError(f"no checkpoint of step {step}")
        return Policy(models[step], None, step=step)

    monkeypatch.setattr(start, "starting_policy", starting_policy)
    monkeypatch.setattr(start, "load_tokenizer", lambda folder, **ids: None)
    origin = Origin("runs/before", 3, fingerprint(models[3]).of())
    sizes, facts = models[3].config, RunFacts(to_dict(CONFIG), "", {}, "data", origin)

    def resume(allowed, facts=facts):
        stored = Stored(5, facts, sizes)
        return resumed_start(stored, CONFIG, Workdir.of(tmp_path), "data", None, allowed)

    resume.models = models
    return resume


def test_a_resumed_kl_is_measured_to_the_step_the_run_started_from(resume):
    found = resume([])
    assert found.facts.origin.step == 3
    expected = trained_part(resume.models[3])
    assert jax.tree.structure(found.reference) == jax.tree.structure(expected), "frozen part held"
    for ours, theirs in zip(
        jax.tree.leaves(found.reference), jax.tree.leaves(expected), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_one_process_of_those_that_share_a_workdir_writes_there(tmp_path, monkeypatch):
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    (tmp_path / "source").mkdir()
    place = Workdir.of(tmp_path)
    place.remove("source")
    start._write(None, None, place)  # would fail if it asked for what there is to write
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_a_model_that_changed_or_went_is_refused_by_name(resume):
    resume.models[3] = jax.tree.map(lambda x: x + jnp.ones((), x.dtype), resume.models[3])
    refused = "runs/before, step 3: not the model .*--allow-changed=model.init_from"
    with pytest.raises(InputError, match=refused):
        resume([])
    del resume.models[3]
    with pytest.raises(InputError, match=r"started from runs/before, step 3, .*no checkpoint of"):
        resume(["data"])


@pytest.mark.parametrize("allowed", ["model.init_from", "model"])
def test_another_model_that_was_allowed_is_the_one_from_then_on(resume, allowed):
    """The next resume, without the flag, measures to the same; in whatever folder it is asked."""
    del resume.models[3]
    first = resume([allowed])
    before = str(Path("runs/before").absolute())
    assert first.facts.origin == Origin(before, 9, fingerprint(resume.models[9]).of())
    again = resume([], first.facts)
    assert again.facts.origin == first.facts.origin
