"""Photographs of PAD-UFES-20 for runs by the command line, some of them damaged."""

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
    data = load_config(CONFIGS / "debug_sft.py").data
    source = cases.make_source(
        "pad_ufes_20", split=data.split, seed=data.seed, data_root=root, count=count
    )
    return [source.case(i).case_id for i in range(count)]
