"""Tables of cases: a CSV file read strictly, so that no cell slips into another column or row."""

import csv
from collections.abc import Sequence
from pathlib import Path

from skinflow_jax.errors import InputError, printable, shortened

Row = tuple[int, dict[str, str]]
"""The line of the file on which a row ends, and its cells by column, stripped."""


def read_table(path: Path, columns: Sequence[str], *, remedy: str) -> list[Row]:
    """The rows of a UTF-8 CSV file with a header; of their cells those in `columns`.

    Blank lines are passed over. `remedy` says which file should be there.

    Raises:
      InputError: naming the file, and row and column where they are known: no such file or not
        text; a column that is missing or there twice; a row of more or fewer cells than the header;
        wrong quoting; a cell with a line break or another character that does not print.
    """
    if not path.is_file():
        raise InputError(f"{path}: cannot read this table (no such file); {remedy}")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            try:
                header = [name.strip() for name in next(reader, [])]
                _check_header(path, header, columns, remedy)
                rows = [_row(path, reader.line_num, header, cells) for cells in reader if cells]
            except csv.Error as error:
                raise InputError(
                    f"{path} row {reader.line_num}: cannot be read ({error}); mend its quotes"
                ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot read this table ({error}); {remedy}") from error
    if not rows:
        raise InputError(f"{path}: has no rows; {remedy}")
    return [(line, {column: cells[column] for column in columns}) for line, cells in rows]


def _check_header(path: Path, header: list[str], columns: Sequence[str], remedy: str) -> None:
    for column in columns:
        if column not in header:
            raise InputError(
                f"{path}: needs a column {column!r} (has {len(header)} columns); {remedy}"
            )
        if header.count(column) > 1:
            raise InputError(f"{path}: has {header.count(column)} columns {column!r}; keep one")


def _row(path: Path, line: int, header: list[str], cells: list[str]) -> Row:
    if len(cells) != len(header):
        raise InputError(
            f"{path} row {line}: has {len(cells)} cells where the header has {len(header)}; "
            "mend its commas or quotes"
        )
    row = {}
    for column, cell in zip(header, map(str.strip, cells), strict=True):
        if not cell.isprintable():
            shown = shortened(printable(cell), 60)
            raise InputError(
                f"{path} row {line}: {column} is '{shown}', which holds a line break or another "
                "character that does not print; mend the cell or its quotes"
            )
        row[column] = cell
    return line, row
