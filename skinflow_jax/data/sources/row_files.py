"""Files of rows, each a JSON object or a row of a parquet table, read one at a time."""

import contextlib
import csv
import functools
import hashlib
import json
from pathlib import Path
from typing import Any, Protocol

from skinflow_jax.data.sources.table import read_table
from skinflow_jax.errors import InputError, one_line
from skinflow_jax.json_file import unique_keys

Fields = dict[str, Any]
SUFFIXES = (".jsonl", ".json", ".parquet", ".csv")


class RowFile(Protocol):
    """Numbered rows; a row is read when it is asked for, since rows may hold images."""

    def __len__(self) -> int:
        """The number of rows."""
        ...

    def where(self, index: int) -> str:
        """Names file and row, for messages."""
        ...

    def row(self, index: int) -> Fields:
        """The row; raises InputError naming it when it cannot be read."""
        ...


def open_rows(path: Path) -> RowFile:
    """The rows of a file by its ending: JSON Lines, a JSON array, parquet or CSV.

    Raises InputError naming the file when it is absent, empty or cannot be read as a whole.
    """
    kind = {".jsonl": JsonLines, ".json": JsonArray, ".parquet": Parquet, ".csv": CsvRows}.get(
        path.suffix.lower()
    )
    if kind is None:
        raise InputError(f"{path}: no file of rows; it must end in {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise InputError(f"{path}: no such file of rows; check its name")
    try:
        found = kind(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    if not len(found):
        raise InputError(f"{path}: has no rows; give a file that has")
    return found


def row_digest(row: Fields) -> str:
    """sha256 of all that a row says, images in it included."""

    def plain(value: Any) -> str:
        return hashlib.sha256(value).hexdigest() if isinstance(value, bytes) else str(value)

    return hashlib.sha256(json.dumps(row, sort_keys=True, default=plain).encode()).hexdigest()


class JsonLines:
    """One JSON object a line, in UTF-8; blank lines are passed over."""

    def __init__(self, path: Path):
        self.path = path
        self._at: list[tuple[int, int]] = []  # where each row begins, and its line
        offset = 0
        with path.open("rb") as file:
            for line, text in enumerate(file, start=1):
                if text.strip(b" \t\r\n\xef\xbb\xbf"):
                    self._at.append((offset, line))
                offset += len(text)

    def __len__(self) -> int:
        """As `RowFile`."""
        return len(self._at)

    def where(self, index: int) -> str:
        """As `RowFile`."""
        return f"{self.path} line {self._at[index][1]}"

    def row(self, index: int) -> Fields:
        """As `RowFile`."""
        with self.path.open("rb") as file:
            file.seek(self._at[index][0])
            return _object(file.readline(), self.where(index))


class JsonArray:
    """One JSON array of objects, in UTF-8; read whole."""

    def __init__(self, path: Path):
        self.path = path
        self._rows = _parsed(path.read_bytes(), str(path))
        if not isinstance(self._rows, list):
            raise InputError(
                f"{path}: holds no array of rows; give one, or JSON Lines in a file called .jsonl"
            )

    def __len__(self) -> int:
        """As `RowFile`."""
        return len(self._rows)

    def where(self, index: int) -> str:
        """As `RowFile`."""
        return f"{self.path} row {index + 1}"

    def row(self, index: int) -> Fields:
        """As `RowFile`."""
        return _checked(self._rows[index], self.where(index))


class CsvRows:
    """A CSV file with a header; a cell that begins like a JSON array or object is one."""

    def __init__(self, path: Path):
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            header = [name.strip() for name in next(csv.reader(file), [])]
        self._table = read_table(path, (), remedy="give a file of rows", free_text=header)

    def __len__(self) -> int:
        """As `RowFile`."""
        return len(self._table.rows)

    def where(self, index: int) -> str:
        """As `RowFile`."""
        return f"{self._table.path} row {self._table.rows[index].line}"

    def row(self, index: int) -> Fields:
        """As `RowFile`."""
        return {name: _value(cell) for name, cell in self._table.rows[index].columns().items()}


class Parquet:
    """A parquet table; one of its row groups is in memory at a time."""

    def __init__(self, path: Path):
        self.path = path
        self._at: list[tuple[int, int]] = []  # row group and place in it
        stat = path.stat()
        self._state = (stat.st_size, stat.st_mtime_ns)
        with _reading(path) as parquet:
            groups = parquet.ParquetFile(path).metadata
            for group in range(groups.num_row_groups):
                self._at += [(group, at) for at in range(groups.row_group(group).num_rows)]

    def __len__(self) -> int:
        """As `RowFile`."""
        return len(self._at)

    def where(self, index: int) -> str:
        """As `RowFile`."""
        return f"{self.path} row {index + 1}"

    def row(self, index: int) -> Fields:
        """As `RowFile`."""
        group, at = self._at[index]
        with _reading(self.path):
            (row,) = _row_group(self.path, group, self._state).slice(at, 1).to_pylist()
        return row


@contextlib.contextmanager
def _reading(path: Path):
    """Gives pyarrow.parquet; its errors leave the block as one line that names the file."""
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise InputError(
            f"{path}: parquet files need pyarrow: pip install 'skinflow-jax[parquet]'"
        ) from error
    try:
        yield pyarrow.parquet
    except Exception as error:
        raise InputError(
            f"{path}: cannot be read as parquet ({one_line(error)}); write it again"
        ) from error


@functools.lru_cache(maxsize=2)
def _row_group(path: Path, group: int, _state: tuple[int, int]):
    import pyarrow.parquet

    return pyarrow.parquet.ParquetFile(path).read_row_group(group)


def _object(text: bytes, where: str) -> Fields:
    return _checked(_parsed(text, where), where)


def _checked(found: Any, where: str) -> Fields:
    if not isinstance(found, dict):
        raise InputError(f"{where}: is no JSON object; write the row as {{…}} or remove it")
    return found


def _parsed(text: bytes, where: str) -> Any:
    try:
        return json.loads(
            text.decode("utf-8-sig"), object_pairs_hook=unique_keys, parse_constant=_no_number
        )
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: is not UTF-8 text; save it as UTF-8") from error
    except RecursionError as error:
        raise InputError(f"{where}: is nested too deeply; write it flatter or remove it") from error
    except ValueError as error:
        raise InputError(
            f"{where}: is no JSON ({' '.join(str(error).split())}); it may be cut short: write it "
            "again or remove it"
        ) from error


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is not a finite number")


def _value(cell: str) -> Any:
    if not cell.startswith(("[", "{")):
        return cell
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        return cell
