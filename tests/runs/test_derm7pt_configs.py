"""configs/derm7pt, for who has the files: on lesions drawn in their form."""

from pathlib import Path

import pytest
from shallow import SHALLOW

from skinflow_jax.clinical.schema_file import load_schema
from skinflow_jax.config import load_config
from skinflow_jax.data.sources.catalogue import open_source
from skinflow_jax.models.config import SIZES
from skinflow_jax.runs.train import train

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs" / "derm7pt"


@pytest.fixture
def lesions(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "data" / "sources"))
    import small_sets

    return small_sets.derm7pt(tmp_path / "release_v0")


def test_stage_1_goes_on_from_the_warm_up_on_other_lesions():
    warm_up, stage1 = (load_config(CONFIGS / f"{name}.py") for name in ("warmup", "stage1"))
    assert stage1.model.init_from == "runs/warmup" and stage1.algorithm == "grpo"
    assert (warm_up.data.split, stage1.data.split) == ("warmup", "rl")
    assert warm_up.data.fractions == stage1.data.fractions
    assert warm_up.evaluation == stage1.evaluation


def test_what_is_taught_is_the_criteria(lesions):
    data = load_config(CONFIGS / "stage1.py", {"data.data_root": str(lesions)}).data
    case = open_source(data.source, data.data_root, data.options).case(0)
    assert "dermoscopic_structures" in case.caption
    load_schema(data.caption_schema).canonical_fields(case.caption)


@pytest.mark.slow
def test_a_step_of_stage_1_is_taken_on_two_images_a_lesion(lesions, tmp_path, monkeypatch):
    monkeypatch.setitem(SIZES, "tiny", SHALLOW)
    few = {"data.fractions": {"rl": 1.0}, "evaluation.split": "rl", "data.data_root": str(lesions)}
    few |= {"model.init_from": None, "batch_size": 1, "rl.group_size": 2, "rl.max_tokens": 4}
    few |= {"loop.steps": 1, "data.prompt_lengths": (256,)}
    policy = train(load_config(CONFIGS / "stage1.py", few), tmp_path / "run")
    assert policy.step == 1
