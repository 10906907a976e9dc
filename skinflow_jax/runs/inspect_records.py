"""`skinflow data inspect`: counts on the console, contact sheets beside the records."""

from collections.abc import Mapping
from pathlib import Path

from PIL import Image
from rich.table import Table

from skinflow_jax.command.standard_output import Console
from skinflow_jax.data.contact_sheet import contact_sheet
from skinflow_jax.data.counts import counts
from skinflow_jax.data.record_set import RecordSet
from skinflow_jax.data.splitting.files import latest_splits, split_case
from skinflow_jax.data.splitting.pairs_sheet import pairs_sheet
from skinflow_jax.data.splitting.splits import Splits
from skinflow_jax.errors import printable

_ROWS = 20
_PAIRS = 60


def inspect_records(folder: Path, out: Path | None = None) -> None:
    """Print what records hold; draw each split, and near-duplicates side by side, into `out`.

    `out` is the folder of the records by default. Raises InputError where `folder` holds no records
    or damaged ones.
    """
    records = RecordSet(folder)
    manifest, splits = records.manifest, latest_splits(folder)
    print(manifest.summary())
    print(printable(f"digest: {manifest.digest}; {manifest.note or 'no licence is stated'}"))
    parts = {"all": records}
    if splits is not None:
        parts = _parts(records, splits.of)
        print(
            f"near-duplicates: {len(splits.links):,}, {len(splits.contradicting):,} of them with "
            f"two labels; left out of the splits: {len(splits.left_out):,}"
        )
    found = {name: _counts(part) for name, part in parts.items()}
    for kind in manifest.counts:
        Console().print(_table(kind, {name: each.get(kind, {}) for name, each in found.items()}))
    target = out or folder
    target.mkdir(parents=True, exist_ok=True)
    for name, part in parts.items():
        _save(contact_sheet(part), target / f"contact_sheet-{name}.png")
    if splits is not None and splits.links:
        _save(_pairs(records, splits), target / "near_duplicates.png")


def _save(sheet: Image.Image, path: Path) -> None:
    sheet.save(path)
    print(printable(f"written: {path}"))


def _pairs(records: RecordSet, splits: Splits) -> Image.Image:
    """The first near-duplicates side by side, those with two labels in front."""
    links = sorted(splits.links, key=lambda link: (not link.contradicts, -link.correlation))[
        :_PAIRS
    ]
    number = {records.case(index).case_id: index for index in range(len(records))}
    shown = {name: number[name] for link in links for name in (link.first, link.second)}
    cases = {name: split_case(records, index) for name, index in shown.items()}
    return pairs_sheet(links, cases, lambda name: records[shown[name]].images[0])


def _parts(records: RecordSet, split_of: Mapping[str, str]) -> dict[str, RecordSet]:
    """The records of each split, and those of none."""
    numbers: dict[str, list[int]] = {}
    for number in range(len(records)):
        name = split_of.get(records.case(number).case_id, "left out")
        numbers.setdefault(name, []).append(number)
    return {name: records.select(chosen) for name, chosen in numbers.items()}


def _counts(records: RecordSet) -> dict[str, dict[str, int]]:
    return counts(records.case(number) for number in range(len(records)))


def _table(kind: str, columns: Mapping[str, Mapping[str, int]]) -> Table:
    """A row a value, the most frequent first, a column a split."""
    totals: dict[str, int] = {}
    for found in columns.values():
        for value, count in found.items():
            totals[value] = totals.get(value, 0) + count
    table = Table(title=printable(kind), title_justify="left")
    table.add_column("value")
    for name in columns:
        table.add_column(printable(name), justify="right")
    ordered = sorted(totals, key=lambda value: (-totals[value], value))
    for value in ordered[:_ROWS]:
        table.add_row(printable(value), *(f"{found.get(value, 0):,}" for found in columns.values()))
    if len(ordered) > _ROWS:
        rest = [sum(found.get(v, 0) for v in ordered[_ROWS:]) for found in columns.values()]
        table.add_row(f"… {len(ordered) - _ROWS} more", *(f"{count:,}" for count in rest))
    return table
