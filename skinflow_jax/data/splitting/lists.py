"""Splits as lists of ids: written for others, and taken from anyone's.

A list is a text file with an id a line, whose name is the split's (`heldout.txt`), or a CSV file
with a column `split` or `partition`; a folder holds several. An id is a case's, with or without its
source in front, the name of its image, or a patient or lesion.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from skinflow_jax.data.sources.id_lists import bare, matched, path_of
from skinflow_jax.data.sources.table import read_table
from skinflow_jax.data.splitting.splits import SplitCase, Splits
from skinflow_jax.errors import InputError, printable

_SPLIT_COLUMNS = ("split", "partition")
_ID_COLUMNS = (
    *("id", "case_id", "image_id", "img_id", "isic_id", "md5hash", "image"),
    *("patient_id", "lesion_id", "group"),
)
_FILE_NAME = re.compile(r"[^\W_][\w .+-]*")


def write_id_lists(splits: Splits, folder: Path) -> dict[str, str]:
    """A sorted list of each split in a folder, `NAME.txt`; gives the SHA-256 of each file.

    Raises InputError for a split whose name can be no file's, or the same file's as another's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = sorted(set(splits.of.values()))
    files: dict[str, str] = {}
    for name in names:
        if not _FILE_NAME.fullmatch(name) or not name.isprintable():
            raise InputError(f"split {printable(name)!r} can name no file; name it by letters")
        other = files.setdefault(name.casefold(), name)
        if other != name:
            raise InputError(
                f"splits {other!r} and {name!r} differ in upper and lower case alone, which many "
                "file systems do not tell apart; rename one"
            )
    return {name: write_ids(splits.ids(name), folder / f"{name}.txt") for name in names}


def write_ids(ids: Sequence[str], path: Path) -> str:
    """Write sorted ids, one a line, and give the SHA-256 of the file."""
    content = list_bytes(ids)
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def list_bytes(ids: Sequence[str]) -> bytes:
    """The file of a list: its ids sorted, one a line, in UTF-8."""
    return "".join(f"{name}\n" for name in sorted(ids)).encode()


def read_split_lists(path: Path) -> dict[str, str]:
    """The split of each id of a file or of a folder's `.txt` and `.csv` files.

    Raises InputError naming file and row: absent, empty, an id in two splits.
    """
    found: dict[str, str] = {}
    for file in list_files(path):
        read = _read_csv if file.suffix.lower() == ".csv" else _read_plain
        for name, split, where in read(file):
            if found.setdefault(name, split) != split:
                raise InputError(
                    f"{where}: {printable(name)} is in {split} and in {found[name]}; leave one"
                )
    return found


def list_files(path: Path) -> list[Path]:
    """The file, or the lists of a folder; raises InputError where it has none."""
    if not path.is_dir():
        return [path]
    files = [each for each in sorted(path.iterdir()) if each.is_file()]
    files = [each for each in files if each.suffix.lower() in (".txt", ".csv")]
    if not files:
        raise InputError(f"{path}: holds no list; name them by split, such as heldout.txt")
    return files


def _read_plain(path: Path) -> list[tuple[str, str, str]]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a list of ids ({error})") from error
    split = path.stem
    found = [
        (line.strip(), split, f"{path} line {number}")
        for number, line in enumerate(lines, 1)
        if line.strip()
    ]
    if not found:
        raise InputError(f"{path}: holds no id; write one a line")
    return found


def _read_csv(path: Path) -> list[tuple[str, str, str]]:
    table = read_table(path, (), remedy="give a list of ids and their split")
    column = next((name for name in _SPLIT_COLUMNS if name in table.header), None)
    ids = next((name for name in _ID_COLUMNS if name in table.header), None)
    if column is None or ids is None:
        raise InputError(
            f"{path}: its columns are {', '.join(table.header)}; it needs one of "
            f"{', '.join(_ID_COLUMNS)} and one of {', '.join(_SPLIT_COLUMNS)}"
        )
    return [(row.needed(ids), row.needed(column), row.where(column)) for row in table.rows]


def listed_cases(
    listed: Mapping[str, str], cases: Sequence[SplitCase], path: Path
) -> tuple[dict[str, str], tuple[str, ...]]:
    """The split of each case that a list names, by the case's id, and lines about the list.

    Raises InputError where none of its ids is known, where one means cases of two sources, and
    where two of them put one case into two splits.
    """
    meant = _names(cases)
    known = {name: _meant(name, meant, path) for name in listed}
    for name, found in known.items():
        if found and len({case.source for case in found}) > 1:
            sources = " and ".join(sorted({case.source for case in found}))
            raise InputError(
                f"{path}: {printable(name)} is in {sources}; write {found[0].source}/{name}"
            )
    remarks = matched(listed, {n for n, found in known.items() if found}, path, "among the cases")
    given: dict[str, str] = {}
    for name, found in known.items():
        for case in found or ():
            if given.setdefault(case.id, listed[name]) != listed[name]:
                raise InputError(
                    f"{path}: {printable(case.id)} is in {given[case.id]} and, as "
                    f"{printable(name)}, in {listed[name]}; leave one"
                )
    return given, remarks


def _names(cases: Sequence[SplitCase]) -> dict[str, list[SplitCase]]:
    """What each name in a list means: cases by their ids, else those of a group."""
    meant: dict[str, list[SplitCase]] = {}
    for case in cases:
        for name in {case.id, case.case_id, path_of(case.case_id), bare(case.case_id)}:
            meant.setdefault(name, []).append(case)
    by_group: dict[str, list[SplitCase]] = {}
    for case in cases:
        for name in {case.group, case.group_id}:
            if name and name not in meant:
                by_group.setdefault(name, []).append(case)
    return by_group | meant


def _meant(name: str, meant: Mapping[str, list[SplitCase]], path: Path) -> list[SplitCase]:
    """The cases that a name means: one, or those of a patient or lesion.

    An image's name without its folders means the one case that has it. Raises InputError where
    several have.
    """
    found = meant.get(name)
    if found is None and path_of(name) != bare(name):
        found = meant.get(path_of(name))
    if found is None:
        # A path of theirs may name a case that has none of its own, not one in another folder.
        folders = "/" in name.replace("\\", "/")
        found = [c for c in meant.get(bare(name), ()) if not (folders and "/" in c.case_id)]
    images = [case for case in found if bare(case.case_id) == bare(name)]
    if len({case.id for case in images}) > len({case.source for case in images}):
        first, second = sorted(case.id for case in images)[:2]
        raise InputError(
            f"{path}: {printable(name)} is {printable(first)} and {printable(second)}; write which"
        )
    return found


def owners_lists(cases: Sequence[SplitCase]) -> dict[str, str]:
    """The split of each case that the owner of its data set puts somewhere, by the case's id."""
    return {case.id: case.partition for case in cases if case.partition}
