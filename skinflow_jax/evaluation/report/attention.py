"""Attention maps of an evaluation, where it has them: `attention.npz`, see docs/attention.md."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skinflow_jax.errors import InputError

FILE = "attention.npz"
VERSION = 1

_FIRST_DIAGNOSIS, _PROMPT = 1, 0
_MEAN = 0


@dataclass(frozen=True)
class AttentionMaps:
    """By case id the map over the tokens of its first image, float `[rows, columns]`.

    From the tokens of the first diagnosis, or the last of the prompt where none is well-formed; the
    mean over layers and heads, 1 where it is as much as an even map has.
    """

    maps: dict[str, np.ndarray]


def read_attention(folder: Path) -> AttentionMaps | None:
    """The maps beside predictions.jsonl, None where there are none.

    Raises InputError where the file is damaged or of a later version.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            version = int(file["version"])
            names = ("case_ids", "images", "grids", "maps")
            found = _maps(*(file[name] for name in names)) if version == VERSION else {}
    except (OSError, ValueError, KeyError, IndexError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: is no whole {FILE}: evaluate it again") from error
    if version != VERSION:
        raise InputError(f"{path}: version {version} is not known here, only {VERSION}: update")
    return AttentionMaps(found)


def _maps(case_ids, images, grids, maps) -> dict[str, np.ndarray]:
    """`maps` `[query, kind, T]` over the tokens of all images; `grids` `[I, 2]`."""
    first = np.concatenate([[0], np.cumsum(images)])
    token = np.concatenate([[0], np.cumsum(grids.prod(axis=1))])
    if len(first) != len(case_ids) + 1 or first[-1] != len(grids) or token[-1] != maps.shape[-1]:
        raise ValueError("maps of another size than the grids")
    found = {}
    for name, image in zip(case_ids.tolist(), first[:-1], strict=True):
        own = maps[:, _MEAN, token[image] : token[image + 1]].astype(float)
        chosen = own[_FIRST_DIAGNOSIS if np.isfinite(own[_FIRST_DIAGNOSIS]).all() else _PROMPT]
        if np.isfinite(chosen).all():
            found[str(name)] = chosen.reshape(grids[image])
    return found
