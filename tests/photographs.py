"""Photographs of PAD-UFES-20 for runs by the command line, some of them damaged."""

import tempfile
from dataclasses import replace
from pathlib import Path

from skinflow_jax.config import load_config
from skinflow_jax.runs import cases

CONFIGS = Path(__file__).parents[1] / "configs"
SFT = f"--config={CONFIGS / 'debug_sft.py'}"
PAD = [
    SFT,
    "--config.data.source=pad_ufes_20",
    "--config.data.options={}",
    "--config.data.windows=4",
]


def damage(root: Path, names: list[str]) -> None:
    """Cut the first image short and remove the second."""
    cut, gone = (root / "images" / f"{name}.jpg" for name in names)
    data = cut.read_bytes()
    cut.unlink()
    cut.write_bytes(data[: len(data) // 2])
    gone.unlink()


def first_cases(root: Path, count: int) -> list[str]:
    """The images of the first cases of the training split, by their stems."""
    own = {"options": {}, "source": "pad_ufes_20", "data_root": str(root)}
    data = replace(load_config(CONFIGS / "debug_sft.py").data, **own)
    with tempfile.TemporaryDirectory() as folder:
        records = cases.prepare_records(data, data.split, count, Path(folder))
        return [records.case(i).case_id.removeprefix("pad_ufes_20/") for i in range(count)]
