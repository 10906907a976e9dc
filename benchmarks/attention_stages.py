"""Where a model looks before and after each stage: figures with intervals, as a Markdown table.

    skinflow evaluate --checkpoint=STAGE --attention=300 --out=FOLDER   # of each stage
    python benchmarks/attention_stages.py FOLDER FOLDER …

The folders in the order of the stages, on the same cases: each is compared with the one before,
over the cases that both have.
"""

import argparse
import itertools
import json
from pathlib import Path

from skinflow_jax.evaluation.attention_files import read_attention
from skinflow_jax.evaluation.attention_maps import KINDS, QUERIES
from skinflow_jax.evaluation.attention_summary import attention_changes, summarise_attention

SHOWN = ("image", "entropy", "top tenth", "inside", "excess", "ratio")
CONTROLLED = ("entropy", "inside", "ratio")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+")
    folders = parser.parse_args().folders
    stages = {folder.name: read_attention(folder) for folder in folders}
    figures = {name: summarise_attention(cases).figures for name, cases in stages.items()}
    changes = {
        f"{after} - {before}": attention_changes(stages[before], stages[after])
        for before, after in itertools.pairwise(stages)
    }
    columns = {**figures, **changes}
    header("query, map, figure", columns)
    for key in itertools.product(QUERIES, KINDS, SHOWN):
        row(", ".join(key), [column[key] for column in columns.values()])
    print()
    told = {folder.name: json.loads((folder / "attention.json").read_text()) for folder in folders}
    for control in told[folders[0].name]["controls"]:
        header(f"own less {control}", told)
        for key in itertools.product(QUERIES, KINDS, CONTROLLED):
            cells = [each["controls"][control]["less own"] for each in told.values()]
            row(", ".join(key), [at(cell, key) for cell in cells], -1)
        print()


def header(first, names) -> None:
    """The first two lines of a table."""
    print(f"| {first} | " + " | ".join(names) + " |")
    print("| --- |" + " ---: |" * len(names))


def at(nested, key):
    """The entry of nested dictionaries."""
    for name in key:
        nested = nested[name]
    return nested


def row(name, cells, sign=1) -> None:
    """A line of figures or differences, each with its interval."""
    print(f"| {name} | " + " | ".join(shown(cell, sign) for cell in cells) + " |")


def shown(cell, sign) -> str:
    """Value and ends, with a sign where it is a difference."""
    numbers = cell if isinstance(cell, dict) else vars(cell)
    value = numbers.get("value", numbers.get("mean"))
    form = ".3f" if "value" in numbers else "+.3f"
    ends = sorted(sign * numbers[end] for end in ("low", "high"))
    return f"{sign * value:{form}} [{ends[0]:{form}}, {ends[1]:{form}}]"


if __name__ == "__main__":
    main()
