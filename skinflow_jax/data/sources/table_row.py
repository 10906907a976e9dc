"""A row of a table: cells that say what they are, or by name and remedy why they are not."""

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from skinflow_jax.errors import InputError, printable, shortened

UNKNOWN = frozenset(
    {"", "na", "n/a", "nan", "none", "null", "unk", "unknown", "not available", "unspecified"}
)
"""What stands in a cell whose value is not known, in lower case."""

_NUMBER = re.compile(r"[+-]?[0-9]{1,12}(\.[0-9]{0,12})?")


@dataclass(frozen=True, slots=True)
class TableRow:
    """A row: its cells, stripped, the place of each column among them, and where it begins.

    `fault` says why its cells cannot be trusted; then each of them raises InputError.
    """

    path: Path
    line: int
    places: Mapping[str, int]
    cells: tuple[str, ...] = ()
    fault: str = ""

    def raw(self, column: str) -> str:
        """The cell as it stands; "" where there is none."""
        place = self.places.get(column, -1)
        return "" if place < 0 or self.fault else self.cells[place]

    def where(self, column: str) -> str:
        """Names file, row and column, for messages."""
        return f"{self.path} row {self.line}: {column}"

    def check(self) -> None:
        """Raise InputError where the cells of this row cannot be trusted."""
        if self.fault:
            raise InputError(f"{self.path} row {self.line}: {self.fault}")

    def text(self, column: str) -> str:
        """The cell; "" where the value is not known or the table has no such column."""
        self.check()
        cell = self.raw(column)
        return "" if cell.casefold() in UNKNOWN else cell

    def needed(self, column: str) -> str:
        """The cell; raises InputError where the value is not known."""
        text = self.text(column)
        if not text:
            raise InputError(f"{self.where(column)} is empty; fill it or remove the row")
        return text

    def number(self, column: str, least: float = 0, most: float = math.inf) -> float | None:
        """The number in the cell, None where it is not known; raises InputError out of range."""
        text = self.text(column)
        if not text:
            return None
        # float() would also take 1_0, the digits of other scripts, infinity.
        if not _NUMBER.fullmatch(text) or not least <= float(text) <= most:
            up_to = "" if most == math.inf else f" to {most:g}"
            raise self.wrong(column, f"a number from {least:g}{up_to} or nothing")
        return float(text)

    def whole(self, column: str, least: int, most: int) -> int | None:
        """The whole number in the cell ("3" or "3.0"), None where it is not known."""
        value = self.number(column, least, most)
        if value is not None and value != int(value):
            raise self.wrong(column, f"a whole number from {least} to {most} or nothing")
        return None if value is None else int(value)

    def choice(self, column: str, choices: Collection[str]) -> str:
        """The cell, which is one of `choices`; raises InputError naming them."""
        text = self.needed(column)
        if text not in choices:
            raise self.wrong(column, f"one of {shortened(', '.join(choices), 400)}")
        return text

    def wrong(self, column: str, expected: str) -> InputError:
        """The error of a cell that should be `expected`."""
        shown = shortened(printable(self.raw(column)), 80)
        return InputError(f"{self.where(column)} is {shown!r}, expected {expected}")

    def columns(self) -> dict[str, str]:
        """All cells that are not empty, as they stand."""
        self.check()
        return {name: self.cells[at] for name, at in self.places.items() if name and self.cells[at]}
