"""`fitzpatrick17k_test1000`: 1,000 photographs of Fitzpatrick17k for the evaluation.

Chosen from the owners' table alone, so that everyone gets the same list whichever images he has:
of the rows that the owners' check does not call wrongly labelled, stratified by the 114 labels
(`stratified.stratified_choice`, seed 0). The table knows no patients and no pixels: near-duplicates
between these and the rest are found when a build has the images, and then it is the rest that is
left out (`splits`).
"""

import hashlib
from pathlib import Path

from skinflow_jax.data.sources.table import read_table
from skinflow_jax.data.splitting.lists import list_bytes, write_ids
from skinflow_jax.data.splitting.stratified import stratified_choice
from skinflow_jax.errors import InputError

NAME = "fitzpatrick17k_test1000"
COUNT = 1000
SEED = 0
SHA256 = "3acc73d97ddf3a2d45f352aa9a658648c854987613abb7414201b7671e50af33"
"""Of the list as a file: its ids sorted, one a line."""
_WRONG = "3 Wrongly labelled"


def evaluation_ids(table: Path) -> list[str]:
    """The md5 names, sorted, from `fitzpatrick17k.csv` as its owners publish it.

    Raises InputError where another list would come out: the table is another.
    """
    rows = read_table(table, ("md5hash", "label", "qc"), remedy="give fitzpatrick17k.csv").rows
    labels = {row.needed("md5hash"): row.needed("label") for row in rows if row.raw("qc") != _WRONG}
    if len(labels) >= COUNT:
        ids = stratified_choice(labels, COUNT, SEED)
        if hashlib.sha256(list_bytes(ids)).hexdigest() == SHA256:
            return ids
    raise InputError(
        f"{table}: gives another list than {NAME}: not the table of 16,577 rows as published; "
        "take fitzpatrick17k.csv from github.com/mattgroh/fitzpatrick17k"
    )


def write_evaluation_list(table: Path, folder: Path) -> Path:
    """Write `fitzpatrick17k_test1000.txt` into a folder, for `--split-by`; gives its path."""
    path = folder / f"{NAME}.txt"
    folder.mkdir(parents=True, exist_ok=True)
    write_ids(evaluation_ids(table), path)
    return path
