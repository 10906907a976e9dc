"""Lists of ids, one a line or a column of a table: to keep, to leave out, or of which split."""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from skinflow_jax.data.sources.image_files import SUFFIXES
from skinflow_jax.data.sources.table import read_table
from skinflow_jax.errors import InputError

_SPLIT_COLUMNS = ("partition", "split")


def read_ids(path: Path, column: str) -> dict[str, str]:
    """The ids of a list, each with the split it names, "" where it names none.

    A file that ends in .csv has a column `column`, and "partition" or "split" where it says the
    split, as the authors of Fitzpatrick17k-C publish it; any other has an id a line. An id may be
    the name of an image file. Raises InputError naming file and row: absent, empty, an id in two
    splits.
    """
    if path.suffix.lower() != ".csv":
        return _plain(path)
    table = read_table(path, [column], remedy=f"give a list with the column {column}")
    where = next((name for name in _SPLIT_COLUMNS if name in table.header), "")
    found: dict[str, str] = {}
    for row in table.rows:
        name, split = bare(row.needed(column)), row.text(where)
        if found.setdefault(name, split) != split:
            raise InputError(f"{row.where(where)}: {name} is in two splits; leave one")
    return found


def _plain(path: Path) -> dict[str, str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a list of ids ({error})") from error
    found = {bare(line.strip()): "" for line in text.splitlines() if line.strip()}
    if not found:
        raise InputError(f"{path}: holds no id; write one a line")
    return found


def bare(name: str) -> str:
    """An id without the folders and the ending of its image."""
    last = PurePosixPath(name.replace("\\", "/"))
    return last.stem if last.suffix.lower() in SUFFIXES else last.name


def path_of(name: str) -> str:
    """An id with the folders of its image, without the ending."""
    path = PurePosixPath(name.replace("\\", "/"))
    return str(path.with_suffix("") if path.suffix.lower() in SUFFIXES else path)


def matched(listed: Iterable[str], known: Iterable[str], path: Path, what: str) -> tuple[str, ...]:
    """A line about ids of a list that a table lacks; raises InputError where it lacks them all."""
    listed, known = set(listed), set(known)
    absent = sorted(listed - known)
    if len(absent) == len(listed):
        raise InputError(f"{path}: none of its {len(listed):,} ids is {what}; is it of this data?")
    if not absent:
        return ()
    return (f"{path}: {len(absent):,} of {len(listed):,} ids are not {what}, first {absent[0]}",)
