"""A run that dies and is resumed ends as one that never died, to the last bit."""

import dataclasses
import json
import re

import jax
import numpy as np
import pytest

from skinflow_jax.config import DataConfig, EvaluationConfig, RunConfig
from skinflow_jax.errors import InputError, RunError
from skinflow_jax.rl.config import GrpoConfig
from skinflow_jax.rl.learner import GrpoLearner
from skinflow_jax.rl.losses import PolicyLossConfig
from skinflow_jax.rl.rewards import REWARDS
from skinflow_jax.runs import train as runs_train
from skinflow_jax.training.loop import LoopConfig
from skinflow_jax.training.optimizer import OptimizerConfig
from skinflow_jax.training.supervised import SupervisedLearner

pytestmark = pytest.mark.slow

TIMES = re.compile("step_time|time/|tokens_per_second|tflops_per_device|compilations")
LEARNERS = {"sft": SupervisedLearner, "grpo": GrpoLearner}
DATA = DataConfig(
    count=12,
    options={"image_size": 56},
    max_pixels=56 * 56,
    prompt_lengths=(64,),
    windows=(1,),
    completion_length=64,
)
BASE = RunConfig(
    algorithm="sft",
    batch_size=4,
    data=DATA,
    optimizer=OptimizerConfig(learning_rate=1e-3, schedule="cosine", warmup_steps=2),
    loop=LoopConfig(steps=6, checkpoint_every=3, rollouts_every=1),
    rl=GrpoConfig(group_size=2, max_tokens=4, compactions=0, loss=PolicyLossConfig(kl_coef=0.1)),
    evaluation=EvaluationConfig(count=3, batch_size=3, tasks=("diagnosis", "caption")),
)
CONFIGS = {
    "sft": dataclasses.replace(BASE, loop=dataclasses.replace(BASE.loop, evaluate_every=3)),
    "grpo": dataclasses.replace(BASE, algorithm="grpo"),
}


class Killed(BaseException):
    """What no program catches."""


class Lab:
    """Runs of one algorithm: `train` returns the parameters; `seen` is what each step was given."""

    def __init__(self, algorithm, folder):
        self.config, self.learner = CONFIGS[algorithm], LEARNERS[algorithm]
        self.algorithm, self.folder, self.seen = algorithm, folder, {}

    def train(self, name, *, fault=None, **options):
        """`fault(step)` may kill the run before a step, or return figures to replace its own."""
        plain = self.learner.step

        def step(learner, state, batches, step):
            replaced = (fault and fault(step + 1)) or {}
            batch = next(batches)
            self.seen.setdefault(name, {})[step + 1] = [
                (example.case_id, example.task) for example in batch.examples
            ]
            result = plain(learner, state, iter([batch]), step)
            return dataclasses.replace(result, metrics=result.metrics | replaced)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self.learner, "step", step)
            policy = runs_train.train(self.config, self.folder / name, **options)
        return [np.asarray(x) for x in jax.tree.leaves(policy.model)]

    def lines(self, name, file="metrics.jsonl"):
        """A file's objects without times."""
        text = (self.folder / name / file).read_text()
        return [
            {k: v for k, v in json.loads(line).items() if not TIMES.match(k)}
            for line in text.splitlines()
        ]

    def checkpoints(self, name):
        folder = self.folder / name / "checkpoints"
        return sorted(int(path.name) for path in folder.glob("[0-9]*"))


@pytest.fixture(scope="module", params=["sft", "grpo"])
def lab(request, shallow, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        # A random model earns nothing by the clinical rewards: equal rewards, no learning signal.
        patch.setitem(
            REWARDS,
            "caption",
            lambda completions, examples: [sum(map(ord, text)) % 7 / 7 for text in completions],
        )
        yield Lab(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def whole(lab):
    return lab.train("whole")


def assert_same_run(lab, name, parameters, whole):
    for found, expected in zip(parameters, whole, strict=True):
        np.testing.assert_array_equal(found, expected)
    assert lab.lines(name) == lab.lines("whole")
    assert lab.seen[name] == lab.seen["whole"]
    if lab.algorithm == "grpo":
        assert lab.lines(name, "rollouts.jsonl") == lab.lines("whole", "rollouts.jsonl")


def test_a_run_has_one_line_for_each_step(lab, whole):
    lines = lab.lines("whole")
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert all(line["grad_norm"] > 0 for line in lines)
    assert len({str(batch) for batch in lab.seen["whole"].values()}) == 6
    evaluated = [line["step"] for line in lines if "eval/Top-1" in line]
    assert evaluated == ([3, 6] if lab.algorithm == "sft" else [])
    for step in evaluated:
        folder = lab.folder / "whole" / "eval" / str(step)
        figures = json.loads((folder / "metrics.json").read_text())
        assert figures["Top-1"]["value"] == lines[step - 1]["eval/Top-1"]
        assert len((folder / "predictions.jsonl").read_text().splitlines()) == 6


def test_the_same_seed_gives_the_same_run(lab, whole):
    assert_same_run(lab, "again", lab.train("again"), whole)


def test_a_killed_run_goes_on_from_its_checkpoint_as_if_nothing_had_happened(lab, whole):
    def fault(step):
        if step == 5:
            raise Killed

    with pytest.raises(Killed):
        lab.train("killed", fault=fault)
    assert [line["step"] for line in lab.lines("killed")] == [1, 2, 3, 4]
    with pytest.raises(InputError, match="holds a run already: add --resume"):
        lab.train("killed")
    assert_same_run(lab, "killed", lab.train("killed", resume=True), whole)


def test_a_run_killed_before_its_first_checkpoint_starts_anew(lab, whole):
    def fault(step):
        if step == 3:
            raise Killed

    with pytest.raises(Killed):
        lab.train("early", fault=fault)
    assert lab.checkpoints("early") == [] and len(lab.lines("early")) == 2
    assert_same_run(lab, "early", lab.train("early", resume=True), whole)


@pytest.mark.parametrize("figure", ["loss", "grad_norm"])
def test_a_figure_that_is_not_finite_stops_the_run_and_saves_nothing(lab, whole, figure):
    def fault(step):
        return {figure: float("nan"), "optimizer_steps": 0} if step == 6 else None

    name = f"nan_{figure}"
    with pytest.raises(RunError, match=f"^step 6: {figure} is nan; .*step 3 is saved") as error:
        lab.train(name, fault=fault)
    assert "\n" not in str(error.value)
    assert lab.checkpoints(name) == [3]
    assert [line["step"] for line in lab.lines(name)] == [1, 2, 3, 4, 5]
    assert_same_run(lab, name, lab.train(name, resume=True), whole)
