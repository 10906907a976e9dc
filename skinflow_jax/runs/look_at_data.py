"""`skinflow data inspect`: counts on the console, a contact sheet beside the records."""

from pathlib import Path

from rich.table import Table

from skinflow_jax.command.standard_output import Console
from skinflow_jax.data.record_set import RecordSet
from skinflow_jax.data.statistics import contact_sheet, counts
from skinflow_jax.errors import printable
from skinflow_jax.storage.paths import reaching

SHEET = "contact_sheet.png"
_ROWS = 20


def inspect_records(folder: Path, sheet: Path | None = None) -> None:
    """Print what the records hold and write their contact sheet.

    Raises InputError where `folder` holds no records or damaged ones.
    """
    records = RecordSet(folder)
    manifest = records.manifest
    print(manifest.summary())
    for line in (f"note: {manifest.note}" if manifest.note else "", f"digest: {manifest.digest}"):
        print(printable(line))
    for name, found in counts(records.case(i) for i in range(len(records))).items():
        Console().print(_table(name, found))
    target = sheet or folder / SHEET
    with reaching(target):
        contact_sheet(records).save(target)
    print(printable(f"written: {target}"))


def _table(name: str, found) -> Table:
    table = Table(title=printable(name), title_justify="left")
    table.add_column("value")
    table.add_column("cases", justify="right")
    for value, count in found.most_common(_ROWS):
        table.add_row(printable(value), f"{count:,}")
    if len(found) > _ROWS:
        rest = sum(count for _, count in found.most_common()[_ROWS:])
        table.add_row(f"… {len(found) - _ROWS} more", f"{rest:,}")
    return table
