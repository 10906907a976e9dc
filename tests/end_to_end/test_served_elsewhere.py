"""What is exported answers elsewhere as it does here, by the lines of its own model card alone."""

import os
import subprocess
import sys

import numpy as np
import pytest
from random_model import spread_model
from shallow import SHALLOW

from skinflow_jax.checkpoints.hf_adapter import CONFIG
from skinflow_jax.checkpoints.hf_export import save_pretrained
from skinflow_jax.cli import main
from skinflow_jax.data.tasks import TASKS
from skinflow_jax.evaluation.generate import answer
from skinflow_jax.json_file import read_json
from skinflow_jax.models.config import SIZES, DveConfig
from skinflow_jax.models.dve_conversion import with_dve
from skinflow_jax.runs.opening import open_checkpoint

pytestmark = pytest.mark.slow

PEACH = np.full((224, 224, 3), (255, 218, 185), np.uint8)
"""The image that stands in a card until there is another."""

TRAIN = (
    "--config=debug_sft",
    "--config.batch_size=4",
    "--config.data.count=12",
    "--config.data.windows=(1,)",
    "--config.loop.steps=6",
    # One that moves the answers of a model in six steps.
    "--config.optimizer.learning_rate=2e-2",
    "--config.optimizer.warmup_steps=0",
)


def command(*arguments):
    assert main([str(a) for a in arguments]) == 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Workdirs and exports: a warm-up, and adapters trained upon its import."""
    folder = tmp_path_factory.mktemp("served")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SIZES, "tiny", SHALLOW)
        command("train", *TRAIN, f"--workdir={folder}/warmup")
        command("export-hf", f"--checkpoint={folder}/warmup", f"--out={folder}/base")
        command("import-hf", f"--model={folder}/base", f"--workdir={folder}/imported")
        start = (f"--config.model.init_from={folder}/imported", "--config.model.lora.rank=2")
        command("train", *TRAIN, *start, f"--workdir={folder}/lora")
    checkpoint = f"--checkpoint={folder}/lora"
    command("export-hf", checkpoint, f"--out={folder}/adapter", "--adapter")
    return folder


def answered(checkpoint):
    """By `skinflow generate`'s own means."""
    policy = open_checkpoint(checkpoint)
    budget = policy.pixels
    options = {"min_pixels": budget.min_pixels, "max_pixels": budget.max_pixels}
    prompt = TASKS["diagnosis"].wording()
    return answer(policy.model, policy.tokenizer, [PEACH], prompt, max_tokens=128, **options)


def served(folder, tmp_path):
    """What the card's lines print in the folder, where nobody sits at the terminal."""
    lines = (folder / "README.md").read_text().split("```python\n")[1].split("```")[0]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", lines],
        cwd=folder,
        env=environment | {"HF_HUB_OFFLINE": "1", "HF_MODULES_CACHE": str(tmp_path / "modules")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.removesuffix("\n")


def test_an_adapter_that_was_trained_upon_an_import(folder, tmp_path):
    found = answered(folder / "lora")
    assert len(found) > 20
    assert served(folder / "adapter", tmp_path) == found != answered(folder / "base")
    assert read_json(folder / "adapter" / CONFIG)["base_model_name_or_path"] == f"{folder}/base"


def test_a_model_with_dynamic_maps(folder, tmp_path):
    """Gates away from 1."""
    policy, dynamic = open_checkpoint(folder / "base"), tmp_path / "dynamic"
    model = spread_model(with_dve(policy.model, DveConfig(groups=9)).config)
    save_pretrained(model, dynamic, tokenizer=policy.tokenizer, source=policy.source)
    assert served(dynamic, tmp_path) == answered(dynamic)
