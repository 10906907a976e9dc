"""A run whose prompts and images vary in size compiles before its first step, and never again."""

import pytest

from skinflow_jax.config import DataConfig, RunConfig
from skinflow_jax.data.sources.procedural import ProceduralSource
from skinflow_jax.rl.config import GrpoConfig
from skinflow_jax.runs import train as runs_train
from skinflow_jax.training.compilations import compilations
from skinflow_jax.training.loop import LoopConfig

pytestmark = pytest.mark.slow

SIDES = (56, 112, 168)


@pytest.mark.parametrize("algorithm", ["sft", "grpo"])
def test_no_step_compiles_anything(algorithm, shallow, tmp_path, monkeypatch, capsys):
    plain = ProceduralSource.images

    def cut(self, i):
        return [image[: SIDES[i % 3], : SIDES[i % 2]] for image in plain(self, i)]

    monkeypatch.setattr(ProceduralSource, "images", cut)
    config = RunConfig(
        algorithm=algorithm,
        batch_size=2,
        data=DataConfig(
            count=12,
            options={"image_size": 168},
            max_pixels=168 * 168,
            prompt_lengths=(32, 64),
            windows=(1, 2),
            completion_length=64,
        ),
        loop=LoopConfig(steps=8),
        rl=GrpoConfig(group_size=2, max_tokens=4, compactions=0),
    )
    plain_loop, sizes, compiled = runs_train.run_loop, set(), []

    def watched(learner, *args, **options):
        plain_step = learner.step

        def step(*args):
            before = compilations()
            result = plain_step(*args)
            compiled.append(compilations() - before)
            sizes.add((result.inputs.input_ids.shape, result.inputs.patches.shape))
            return result

        learner.step = step
        return plain_loop(learner, *args, **options)

    monkeypatch.setattr(runs_train, "run_loop", watched)
    runs_train.train(config, tmp_path / "run")
    assert len(sizes) > 2
    assert compiled == [0] * 8
    assert "activations" in capsys.readouterr().out
