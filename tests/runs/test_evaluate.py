"""What an evaluation refuses before the training that it belongs to begins."""

import pytest
from random_model import SHALLOW

from skinflow_jax.config import DataConfig, EvaluationConfig, RunConfig
from skinflow_jax.errors import InputError
from skinflow_jax.runs.evaluate import heldout_evaluation


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
