"""Tables as people have them: a CSV file read for what it says, each row answering for itself.

Byte order marks, semicolons or tabs, Windows line ends and Latin-1 are read as what they are. A row
in which a cell could have slipped is refused when it is asked, and stops no other.
"""

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from skinflow_jax.data.sources.table_row import TableRow
from skinflow_jax.errors import InputError, printable, shortened

_LARGEST_CELL = 2**24  # an image in base64; Python's own limit is 2^17


@dataclass(frozen=True)
class Table:
    """The rows of a file in their order, its columns, and lines about how it was read."""

    path: Path
    header: tuple[str, ...]
    rows: list[TableRow]
    remarks: tuple[str, ...] = ()

    def unique(self, column: str) -> tuple[list[TableRow], tuple[str, ...]]:
        """The rows whose cell of `column` is no other's, and lines about those left out.

        Of rows with the same cells the first stays. Where a cell differs nobody can say which row
        is right, and none does. A row that cannot be trusted or has no such cell stays, to say so.
        """
        by_key = defaultdict(list)
        for row in self.rows:
            by_key[row.raw(column) or row.line].append(row)
        remarks = [self._repeated(column, rows) for rows in by_key.values() if len(rows) > 1]
        kept = [rows[0] for rows in by_key.values() if len(rows) == 1 or not differing(rows)]
        return kept, tuple(remarks)

    def _repeated(self, column: str, rows: list[TableRow]) -> str:
        columns = differing(rows)
        lines = ", ".join(str(row.line) for row in rows[:10])
        name = shortened(printable(rows[0].raw(column)), 60)
        what = f"differ in {', '.join(columns)}: all" if columns else "agree: the later"
        return f"{self.path} rows {lines} of {column} {name} {what} left out"


def differing(rows: Sequence[TableRow]) -> list[str]:
    """The columns in which some of the rows say something else than the first."""
    first = rows[0]
    return [
        column
        for column in first.places
        if any(row.raw(column) != first.raw(column) for row in rows[1:])
    ]


def contradicting(
    rows: list[TableRow], group: str, label: str, *, what: str = "lesion"
) -> tuple[list[TableRow], tuple[str, ...]]:
    """Rows without those whose `group` has several `label`s, and a line about each such group."""
    labels: dict[str, Counter] = defaultdict(Counter)
    for row in rows:
        if row.raw(group) and row.raw(label):
            labels[row.raw(group)][row.raw(label)] += 1
    torn = {name: found for name, found in labels.items() if len(found) > 1}
    kept = [row for row in rows if row.raw(group) not in torn]
    remarks = tuple(
        f"{rows[0].path}: {what} {printable(name)} has several {label}: "
        f"{', '.join(f'{printable(each)} ({n})' for each, n in found.items())}: all rows left out"
        for name, found in torn.items()
    )
    return kept, remarks


def read_table(
    path: Path, needed: Collection[str], *, remedy: str, free_text: Collection[str] = ()
) -> Table:
    """The rows of a CSV file with a header, with all their columns.

    Args:
      path: the file; comma, semicolon or tab separate its cells, whichever gives the header the
        columns that are needed.
      needed: columns that must be there.
      remedy: says which file should be there.
      free_text: columns whose cells may hold line breaks.

    Raises:
      InputError: naming the file: absent, no text, no rows; a column that is missing or there
        twice; a quote that is never closed.
    """
    text, remarks = _decoded(path, remedy)
    delimiter = _delimiter(text, needed)
    if delimiter != ",":
        kind = "tabs" if delimiter == "\t" else "semicolons"
        remarks = (*remarks, f"{path}: read as separated by {kind}")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    limit, line = csv.field_size_limit(_LARGEST_CELL), 1
    try:
        header = tuple(name.strip() for name in next(reader, []))
        _check_header(path, header, needed, remedy)
        places = {name: place for place, name in enumerate(header)}
        shared: dict[str, str] = {}  # most cells of a large table say the same few words
        rows, line = [], reader.line_num + 1  # where the next row begins
        for cells in reader:
            if any(cell.strip() for cell in cells):
                row = TableRow(path, line, places)
                rows.append(_filled(row, header, cells, free_text, shared))
            line = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{path} row {line}: cannot be read ({error}); mend its quotes") from error
    finally:
        csv.field_size_limit(limit)
    if not rows:
        raise InputError(f"{path}: has no rows; {remedy}")
    return Table(path, header, rows, remarks)


def _decoded(path: Path, remedy: str) -> tuple[str, tuple[str, ...]]:
    if not path.is_file():
        raise InputError(f"{path}: no such table; {remedy}")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); {remedy}") from error
    if b"\0" in data:
        raise InputError(f"{path}: is no text in UTF-8 or Latin-1; save it as CSV in UTF-8")
    try:
        return data.decode("utf-8-sig"), ()
    except UnicodeDecodeError:
        # Windows' form of Latin-1, which has letters where Latin-1 has control codes.
        text = data.decode("cp1252", "replace")
        return text, (f"{path}: not UTF-8, read as Latin-1: save it as UTF-8 if names look wrong",)


def _delimiter(text: str, needed: Collection[str]) -> str:
    """The one that finds most of the needed columns, or else most columns; a comma where equal."""
    first = next(iter(text.splitlines()), "")

    def score(delimiter: str) -> tuple[int, int]:
        try:
            names = [name.strip() for name in next(csv.reader([first], delimiter=delimiter), [])]
        except csv.Error:
            return 0, 0
        return len(set(names) & set(needed)), len(names)

    return max((",", ";", "\t"), key=score)


def _check_header(path: Path, header: Sequence[str], needed: Collection[str], remedy: str) -> None:
    for column in needed:
        if column not in header:
            has = shortened(printable(", ".join(header)), 300) or "none"
            raise InputError(f"{path}: needs a column {column!r} (has {has}); {remedy}")
    for name, count in Counter(header).items():
        if count > 1 and name:  # spreadsheets leave columns without a name at the end
            shown = shortened(printable(name), 60)
            raise InputError(f"{path}: has {count} columns {shown!r}; keep one")


def _filled(
    row: TableRow,
    header: Sequence[str],
    cells: list[str],
    free_text: Collection[str],
    shared: dict[str, str],
) -> TableRow:
    """`row` with its cells, or with what is wrong with them."""
    if len(cells) != len(header):
        fault = (
            f"has {len(cells)} cells where the header has {len(header)}; mend its commas or quotes"
        )
        return replace(row, fault=fault)
    stripped = tuple(shared.setdefault(cell, cell) for cell in map(str.strip, cells))
    for column, cell in zip(header, stripped, strict=True):
        plain = " ".join(cell.split()) if column in free_text else cell
        if not plain.isprintable() or "\ufffd" in plain:
            fault = (
                f"{column} is '{shortened(printable(cell), 60)}', which holds a line break or "
                "another character that does not print; mend the cell or its quotes"
            )
            return replace(row, fault=fault)
    return replace(row, cells=stripped)
