"""Rows of one image id: one is kept where they agree, none where they contradict each other."""

from collections import defaultdict

from skinflow_jax.data.sources.csv_table import Row


def without_repeats(rows: list[Row], column: str) -> tuple[list[Row], list[str]]:
    """The rows whose cell of `column` no other has, and lines about the others: count, then each.

    Of rows with the same cells the first is kept. Where a cell differs nobody can say which row is
    right, and all are left out.
    """
    by_key = defaultdict(list)
    for line, cells in rows:
        by_key[cells[column]].append((line, cells))
    kept, remarks = [], []
    for name, alike in by_key.items():
        first = alike[0][1]
        differing = [c for c in first if any(cells[c] != first[c] for _, cells in alike)]
        if not differing:
            kept.append(alike[0])
        if len(alike) > 1:
            what = f"differ in {', '.join(differing)}: all" if differing else "agree: the later"
            lines = ", ".join(str(line) for line, _ in alike)
            remarks.append(f"duplicate rows {lines} of image id {name} {what} skipped")
    left_out = len(rows) - len(kept)
    count = [f"{left_out:,} rows skipped: their image id is repeated"] if left_out else []
    return kept, count + remarks
