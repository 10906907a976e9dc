"""What an evaluation refuses before the training that it belongs to begins, and what it is of."""

import types

import pytest
from random_model import SHALLOW

from skinflow_jax.config import DataConfig, EvaluationConfig, RunConfig
from skinflow_jax.errors import InputError
from skinflow_jax.runs import evaluate as runs_evaluate
from skinflow_jax.runs.evaluate import heldout_evaluation
from skinflow_jax.runs.opening import Policy


class OneImage:
    """A tokenizer whose prompt is a word for each image and three for the task."""

    def render_chat(self, messages, *, add_generation_prompt):
        return messages[0]["content"][-1]["text"]

    def encode(self, text):
        return [SHALLOW.image_token_id, 10, 11, 12]


@pytest.mark.parametrize(
    "shapes, named",
    [
        ({"windows": (1,), "prompt_lengths": (80,)}, "needs windows 4 but the largest bucket is 1"),
        ({"windows": (4,), "prompt_lengths": (40,)}, "needs prompt_lengths 67 .* is 40"),
    ],
)
def test_heldout_cases_that_fit_no_bucket_are_named_before_step_1(tmp_path, shapes, named):
    """A training case is left out; an evaluation is of all its cases or of none."""
    data = DataConfig(count=2, **shapes)
    config = RunConfig(data=data, evaluation=EvaluationConfig(count=2, batch_size=2))
    with pytest.raises(InputError, match=rf"case synthetic-0-heldout-000000: .*{named}"):
        heldout_evaluation(config, OneImage(), SHALLOW, tmp_path, tmp_path / "eval")


def test_results_lie_under_the_step_that_was_read(tmp_path, monkeypatch):
    """A run that is still writing may have saved another step by then."""
    (tmp_path / "checkpoints").mkdir()
    written = []

    def evaluated(policy, config, heldout, floor, out, *, labelled, resumable):
        written.append(out)
        return types.SimpleNamespace(asked=[], diagnoses=[])

    monkeypatch.setattr(runs_evaluate, "heldout_cases", lambda *_: ([], []))
    opened = Policy(None, None, step=7)
    monkeypatch.setattr(runs_evaluate, "open_checkpoint", lambda *_, **__: opened)
    monkeypatch.setattr(runs_evaluate, "evaluate_policy", evaluated)
    for name in ("tables", "blind_lines"):
        monkeypatch.setattr(runs_evaluate, name, lambda *_, **__: "")
    runs_evaluate.evaluate(RunConfig(), tmp_path)
    assert written == [tmp_path / "eval" / "7"]
