"""The splits of built records: computed once, kept beside them, read by every run.

`splits/<hash of what was asked>/` below the records holds `splits.json`, a sorted list of the ids
of each split (`NAME.txt`), the near-duplicates (`near_duplicates.csv`) and who is in no split, with
the reason (`left_out.csv`).
"""

import contextlib
import csv
import dataclasses
import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from skinflow_jax.data.counts import counts
from skinflow_jax.data.manifest import hash_of
from skinflow_jax.data.record_set import RecordSet
from skinflow_jax.data.records import read_signatures
from skinflow_jax.data.sources.id_lists import matched
from skinflow_jax.data.splitting.lists import (
    list_bytes,
    list_files,
    listed_cases,
    owners_lists,
    read_split_lists,
    write_id_lists,
)
from skinflow_jax.data.splitting.near_duplicates import (
    NEAR_DUPLICATES_VERSION,
    case_links,
    near_duplicates,
)
from skinflow_jax.data.splitting.splits import SplitCase, Splits, make_splits
from skinflow_jax.errors import InputError, printable
from skinflow_jax.json_file import read_json
from skinflow_jax.storage.whole_folder import FolderTaken, whole_folder
from skinflow_jax.typed_fields import from_dict

FOLDER = "splits"
FILE = "splits.json"
OWNER = "owner"
_NAMED_BY_ARCHIVE = ("patient_id", "lesion_id", "isic_id", "image_id")
_ARCHIVE = ("IP_", "IL_", "ISIC_", "HAM_", "BCN_")
"""How the ids of the ISIC archive begin, which several data sets share."""


def splits_of(
    records: RecordSet,
    fractions: Mapping[str, float],
    seed: int,
    *,
    lists: Path | str | None = None,
    previous: Path | None = None,
) -> tuple[Splits, Path]:
    """The splits of all records of a folder, and the folder of theirs below `FOLDER`.

    Args:
      records: all of a folder, with the signatures of their images.
      fractions: names of the splits, and the share of the groups of each.
      seed: which groups go where.
      lists: anyone's lists (see `lists`), which come first; `OWNER` takes the splits that
        the owners of the data sets publish.
      previous: an earlier build, or the `splits.json` of one: nobody whom it placed moves.

    Raises InputError naming what is wrong with a list, or a file that is damaged.
    """
    earlier = None if previous is None else read_earlier(previous)
    asked = {
        "records": records.manifest.digest,
        "fractions": dict(fractions),
        "seed": seed,
        "near_duplicates": NEAR_DUPLICATES_VERSION,
        "lists": _digest(lists) if isinstance(lists, Path) else lists,
        "previous": None if earlier is None else hash_of(dataclasses.asdict(earlier)),
    }
    folder = records.folder / FOLDER / hash_of(asked)
    if not folder.is_dir():
        cases = [split_case(records, number) for number in range(len(records))]
        given, remarks = _given(lists, cases)
        if earlier is not None:
            ids = {case.id for case in cases}
            remarks += matched(earlier.of, ids & set(earlier.of), previous, "among the cases")
        for line in remarks:
            print(printable(line))
        splits = make_splits(
            *(cases, _links(records), fractions, seed),
            previous=earlier,
            given=given,
            kin=_kin(records),
        )
        with contextlib.suppress(FolderTaken):  # by another process of the same job
            _write(splits, records, asked | {"remarks": remarks}, folder)
    with contextlib.suppress(OSError):  # of records that may only be read
        os.utime(folder / FILE)  # the last that were asked for
    return read_splits(folder / FILE), folder


def split_case(records: RecordSet, number: int) -> SplitCase:
    """What splits need to know of a record; its id and group have their source in front."""
    case = records.case(number)
    source = case.attributes["source"]
    names = (name.removeprefix(f"{source}/") for name in (case.case_id, case.group))
    return SplitCase(source, *names, label=case.diagnosis, partition=case.split)


def read_splits(path: Path) -> Splits:
    """Those of a `splits.json`; raises InputError where it is damaged."""
    content = read_json(path)
    stated = content.pop("checksum", None) if isinstance(content, dict) else None
    if stated is None or stated != hash_of(content):
        raise InputError(f"{path} is damaged or edited: remove {path.parent}; it is computed again")
    if "splits" not in content:
        raise InputError(f"{path} holds no splits; give records that were built, or their {FILE}")
    return from_dict(Splits, content["splits"])


def check_splits(folder: Path) -> None:
    """Raise InputError naming a list below the records in `folder` that was edited."""
    for path in sorted((folder / FOLDER).glob(f"*/{FILE}")):
        splits = read_splits(path)
        for name in set(splits.of.values()):
            listed = path.with_name(f"{name}.txt")
            if not listed.is_file() or listed.read_bytes() != list_bytes(splits.ids(name)):
                raise InputError(
                    f"{listed} is missing or edited: remove {path.parent}; it is computed again"
                )


def read_earlier(path: Path) -> Splits:
    """Of an earlier build: its `splits.json`, the folder of that, or the newest of its records.

    Raises InputError where there is none.
    """
    if path.is_file():
        return read_splits(path)
    if (path / FILE).is_file():
        return read_splits(path / FILE)
    found = latest_splits(path)
    if found is None:
        raise InputError(f"{path}: holds no splits; give records that were built, or a {FILE}")
    return found


def latest_splits(folder: Path) -> Splits | None:
    """The splits of the records in `folder` that were computed last; None where there are none."""
    found = sorted((folder / FOLDER).glob(f"*/{FILE}"), key=lambda path: path.stat().st_mtime)
    return read_splits(found[-1]) if found else None


def summary(splits: Splits, folder: Path) -> str:
    """How many cases are where, in one line, and where the lists are."""
    sizes = ", ".join(f"{name} {n:,}" for name, n in sorted(Counter(splits.of.values()).items()))
    pairs = f"{len(splits.links):,} near-duplicates, {len(splits.contradicting):,} with two labels"
    left = f"{len(splits.left_out):,} cases left out"
    return printable(f"splits: {sizes}; {pairs}; {left}; lists in {folder}")


def _given(
    lists: Path | str | None, cases: Sequence[SplitCase]
) -> tuple[dict[str, str], tuple[str, ...]]:
    if lists is None:
        return {}, ()
    if isinstance(lists, Path):
        return listed_cases(read_split_lists(lists), cases, lists)
    given = owners_lists(cases)
    if not given:
        names = ", ".join(sorted({case.source for case in cases}))
        raise InputError(f"data.split_by={OWNER}: the owners of {names} publish no splits")
    return given, ()


def _kin(records: RecordSet) -> list[tuple[int, int]]:
    """Cases that one archive gives the same patient, lesion or image, in whichever data set."""
    first: dict[str, int] = {}
    pairs = []
    for number in range(len(records)):
        case = records.case(number)
        # Of a case with several images the columns of each are a table of their own.
        tables = [case.columns, *(v for v in case.columns.values() if isinstance(v, dict))]
        stated = {table.get(name) for table in tables for name in _NAMED_BY_ARCHIVE}
        for name in stated | {case.group.rpartition("/")[2]}:
            if isinstance(name, str) and name.startswith(_ARCHIVE):
                other = first.setdefault(name, number)
                pairs += [(other, number)] * (other != number)
    return sorted(pairs)


def _links(records: RecordSet):
    signatures = read_signatures(records.folder)
    case_of = [number for number in range(len(records)) for _ in range(len(records.sizes(number)))]
    if len(case_of) != len(signatures):
        raise InputError(
            f"{records.folder}: {len(signatures):,} signatures of {len(case_of):,} images; remove "
            "the folder and build it again"
        )
    return case_links(near_duplicates(signatures), case_of)


def _write(splits: Splits, records: RecordSet, asked: dict, folder: Path) -> None:
    members: dict[str, list[int]] = {}
    for number in range(len(records)):
        name = splits.of.get(records.case(number).case_id)
        if name is not None:
            members.setdefault(name, []).append(number)
    counted = {name: counts(map(records.case, numbers)) for name, numbers in members.items()}
    content = {"asked": asked, "counts": counted, "splits": dataclasses.asdict(splits)}
    content = json.loads(json.dumps(content))
    with whole_folder(folder) as building:
        write_id_lists(splits, building)
        pairs = ((i.first, i.second, *i.labels, f"{i.correlation:.4f}") for i in splits.links)
        header = ("first", "second", "first_label", "second_label", "correlation")
        _write_table(building / "near_duplicates.csv", header, pairs)
        _write_table(building / "left_out.csv", ("id", "reason"), splits.left_out)
        text = json.dumps({**content, "checksum": hash_of(content)}, indent=1)
        (building / FILE).write_text(text, encoding="utf-8")


def _write_table(path: Path, header: Sequence[str], rows) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def _digest(path: Path) -> str:
    """Of a file, or of a folder's files and their names."""
    files = list_files(path)
    parts = []
    for file in files:
        try:
            parts.append((file.name, hashlib.sha256(file.read_bytes()).hexdigest()))
        except OSError as error:
            raise InputError(f"{file}: cannot be read ({error.strerror})") from error
    return hash_of(parts)
