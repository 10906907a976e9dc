"""The splits of built records: made once, kept beside them, read by every run."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from skinflow_jax.data.manifest import hash_of
from skinflow_jax.data.near_duplicates import case_links, near_duplicates
from skinflow_jax.data.record_set import RecordSet
from skinflow_jax.data.records import read_signatures
from skinflow_jax.data.split_lists import listed_cases, read_split_lists
from skinflow_jax.data.splits import SplitCase, Splits, make_splits
from skinflow_jax.errors import InputError
from skinflow_jax.json_file import read_json
from skinflow_jax.typed_fields import from_dict

FOLDER = "splits"


def splits_of(
    records: RecordSet,
    fractions: Mapping[str, float],
    seed: int,
    *,
    lists: Path | None = None,
    previous: Path | None = None,
) -> Splits:
    """The splits of all records of a folder, in a file of theirs under `FOLDER`.

    Args:
      records: all of a folder, with the signatures of their images.
      fractions: names of the splits, and the share of the groups of each.
      seed: which groups go where.
      lists: anyone's lists (see `split_lists`), which come first.
      previous: an earlier build's file of splits: nobody whom it placed moves.

    Raises InputError naming what is wrong with a list, or a file that is damaged.
    """
    asked = {
        "records": records.manifest.digest,
        "fractions": dict(fractions),
        "seed": seed,
        "lists": None if lists is None else _digest(lists),
        "previous": None if previous is None else _digest(previous),
    }
    path = records.folder / FOLDER / f"{hash_of(asked)}.json"
    if path.is_file():
        return read_splits(path)
    cases = [split_case(records, number) for number in range(len(records))]
    given, remarks = {}, ()
    if lists is not None:
        given, remarks = listed_cases(read_split_lists(lists), cases, lists)
    earlier = None if previous is None else read_splits(previous)
    splits = make_splits(cases, _links(records), fractions, seed, previous=earlier, given=given)
    _write(splits, asked | {"remarks": remarks}, path)
    return splits


def split_case(records: RecordSet, number: int) -> SplitCase:
    """What splits need to know of a record; its id and group have their source in front."""
    case = records.case(number)
    source = case.attributes["source"]
    names = (name.removeprefix(f"{source}/") for name in (case.case_id, case.group))
    return SplitCase(source, *names, label=case.diagnosis, partition=case.split)


def read_splits(path: Path) -> Splits:
    """Inverse of what `splits_of` writes; raises InputError where damaged."""
    content = read_json(path)
    stated = content.pop("checksum", None)
    if stated != hash_of(content):
        raise InputError(f"{path} is damaged or edited: remove it: it is recomputed")
    return from_dict(Splits, content["splits"])


def latest_splits(folder: Path) -> Splits | None:
    """The splits of the records in `folder` that were made last; None where there are none."""
    found = sorted((folder / FOLDER).glob("*.json"), key=lambda path: path.stat().st_mtime)
    return read_splits(found[-1]) if found else None


def _links(records: RecordSet):
    signatures = read_signatures(records.folder)
    case_of = [number for number in range(len(records)) for _ in range(len(records.sizes(number)))]
    if len(case_of) != len(signatures):
        raise InputError(
            f"{records.folder}: {len(signatures):,} signatures of {len(case_of):,} images; remove "
            "the folder and build it again"
        )
    return case_links(near_duplicates(signatures), case_of)


def _write(splits: Splits, asked: dict, path: Path) -> None:
    content = json.loads(json.dumps({"asked": asked, "splits": dataclasses.asdict(splits)}))
    text = json.dumps({**content, "checksum": hash_of(content)}, indent=1)
    path.parent.mkdir(exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}.draft")
    draft.write_text(text, encoding="utf-8")
    draft.rename(path)


def _digest(path: Path) -> str:
    """Of a file, or of a folder's files and their names."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    parts = []
    for file in files:
        try:
            parts.append((file.name, hashlib.sha256(file.read_bytes()).hexdigest()))
        except OSError as error:
            raise InputError(f"{file}: cannot be read ({error.strerror})") from error
    return hash_of(parts)
