"""`attention.npz`: the maps of each case and its figures; docs/attention.md says what is in it."""

import io
import itertools
import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from skinflow_jax.errors import InputError, printable
from skinflow_jax.evaluation.attention_figures import FIGURES
from skinflow_jax.evaluation.attention_maps import KINDS, QUERIES, CaseAttention

VERSION = 1
FILE = "attention.npz"


def write_attention(cases: Sequence[CaseAttention], path: Path) -> None:
    """Write them; maps and masks as float16, which keeps three digits."""
    arrays = {
        "version": np.int32(VERSION),
        "queries": np.array(QUERIES),
        "kinds": np.array(KINDS),
        "figure_names": np.array(FIGURES),
        "case_ids": np.array([case.case_id for case in cases], dtype=str),
        "groups": np.array([case.group for case in cases], dtype=str),
        "images": np.array([len(case.grids) for case in cases], np.int32),
        "sizes": np.array([size for case in cases for size in case.sizes], np.int32),
        "grids": np.array([grid for case in cases for grid in case.grids], np.int32),
        "covered": np.concatenate([case.covered for case in cases]).astype(np.float16),
        "maps": np.concatenate([case.maps for case in cases], axis=-1).astype(np.float16),
        "figures": np.stack([case.figures for case in cases]).astype(np.float32),
        "layers": np.stack([case.layers for case in cases]).astype(np.float32),
    }
    data = io.BytesIO()
    np.savez_compressed(data, **arrays)
    path.write_bytes(data.getvalue())


def read_attention(path: Path) -> list[CaseAttention]:
    """Inverse of `write_attention`; of a folder its `attention.npz`.

    Raises InputError naming the file: none there, damaged, of a later version, or a case twice.
    """
    path = path / FILE if path.is_dir() else path
    try:
        with np.load(io.BytesIO(path.read_bytes())) as file:
            arrays = dict(file)
        version = int(arrays["version"])
        cases = _cases(arrays) if version == VERSION else []
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}: evaluate with --attention first") from error
    except (ValueError, KeyError, IndexError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: is no whole attention.npz: evaluate it again") from error
    if version != VERSION:
        raise InputError(f"{path}: version {version} is not known here, only {VERSION}: update")
    counts = Counter(case.case_id for case in cases)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise InputError(f"{path}: case {printable(twice[0])} is there twice: evaluate it again")
    return cases


def _cases(arrays) -> list[CaseAttention]:
    images = np.concatenate([[0], np.cumsum(arrays["images"])])
    tokens = np.concatenate([[0], np.cumsum(arrays["grids"].prod(axis=1))])[images]
    if tokens[-1] != arrays["maps"].shape[-1] or tokens[-1] != len(arrays["covered"]):
        raise ValueError("maps of another size than the grids")
    names = zip(arrays["case_ids"].tolist(), arrays["groups"].tolist(), strict=True)
    return [
        CaseAttention(
            *named,
            tuple(map(tuple, arrays["sizes"][slice(*of_images)].tolist())),
            tuple(map(tuple, arrays["grids"][slice(*of_images)].tolist())),
            arrays["covered"][slice(*of_tokens)].astype(np.float32),
            arrays["maps"][..., slice(*of_tokens)].astype(np.float32),
            figures,
            layers,
        )
        for named, of_images, of_tokens, figures, layers in zip(
            names,
            itertools.pairwise(images),
            itertools.pairwise(tokens),
            arrays["figures"],
            arrays["layers"],
            strict=True,
        )
    ]
