"""The configs that come with the package, found by name from any folder.

`configs` here is the checkout's own folder by a link, and a copy of it in an installed package.
"""

from pathlib import Path

CONFIGS = Path(__file__).parent / "configs"


def config_file(path: Path) -> Path:
    """The config that `path` means: that file, or else the shipped one of that name.

    `debug_sft` is a name, and so is `ablation/stages/warmup`; anything else comes back as it is.
    """
    shipped = CONFIGS / f"{path}.py"
    return path if path.is_file() or path.suffix or not shipped.is_file() else shipped


def names() -> list[str]:
    """The names of the runs that are shipped."""
    return sorted(path.stem for path in CONFIGS.glob("*.py"))
