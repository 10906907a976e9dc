"""Values of arguments from their text; each raises ArgumentTypeError saying what is wrong."""

import argparse
from pathlib import Path

from skinflow_jax.errors import InputError
from skinflow_jax.storage.paths import address_fault, storage_path


def here(text: str) -> Path:
    """A path on this machine."""
    _check_given(text)
    fault = address_fault(text, bucket=False)
    if fault:
        raise argparse.ArgumentTypeError(f"{text} {fault}")
    return Path(text)


def two_places(text: str) -> tuple[Path, Path]:
    """Two paths with a comma between them."""
    parts = text.split(",")
    if len(parts) != 2:
        raise argparse.ArgumentTypeError(f"{text!r} is not two paths with a comma between them")
    return here(parts[0]), here(parts[1])


def folders(text: str) -> list[Path]:
    """Paths on this machine, with commas between them."""
    return [here(part) for part in text.split(",")]


def bucket_too(text: str) -> Path:
    """A path on this machine or in a bucket."""
    _check_given(text)
    try:
        return storage_path(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _check_given(text: str) -> None:
    """`--workdir=$UNSET` would be the current folder."""
    if not text.strip():
        raise argparse.ArgumentTypeError("the path is empty: give one, or . for this folder")


def programs(text: str) -> str:
    """Where compiled programs are kept, or "off"."""
    return text if text == "off" else str(bucket_too(text))


def positive(text: str) -> int:
    """A whole number above 0."""
    value = int(text) if text.isdecimal() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return value


def count(text: str) -> int:
    """A whole number from 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return int(text)


_UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def size(text: str) -> int:
    """Bytes."""
    unit = next((u for u in sorted(_UNITS, key=len, reverse=True) if text.upper().endswith(u)), "")
    count = text[: len(text) - len(unit)].strip()
    if not (count.isdecimal() and len(count) < 16 and int(count)):
        raise argparse.ArgumentTypeError(f"{text!r} is no size such as 500MB, 5GB or 2GiB")
    return int(count) * _UNITS.get(unit, 1)


def seconds(text: str) -> float:
    """Seconds, finite and above 0."""
    try:
        value = float(text.removesuffix("s"))
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return value


def seeds(text: str) -> list[int]:
    """The seeds of a count or of a list."""
    parts = text.split(",")
    if not all(part.isdecimal() for part in parts) or text == "0":
        raise argparse.ArgumentTypeError(f"{text!r} is neither a count nor a list such as 0,3,4")
    return list(range(int(text))) if len(parts) == 1 else [int(part) for part in parts]


def names(text: str) -> tuple[str, ...]:
    """The names of a list, each once."""
    return tuple(dict.fromkeys(name.strip() for name in text.split(",")))
