"""The gates of a dynamic vision encoder, as gates.json tells them: strips of cells, and words."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from skinflow_jax.evaluation.metrics import FEW
from skinflow_jax.evaluation.report.evaluations import Evaluation
from skinflow_jax.evaluation.report.told import whole
from skinflow_jax.evaluation.tables import FEW_SIGN


@dataclass(frozen=True)
class Strip:
    """A cell a group. `cells`: (group from 0, share of the full colour, whether it is below)."""

    groups: int
    cells: Sequence[tuple[int, float, bool]]


def gates(runs: Sequence[Evaluation]) -> list[dict[str, Any]]:
    """For each evaluation of a dynamic encoder what the section shows.

    Raises InputError where its gates.json has another form than docs/report.md says.
    """
    found = []
    for run in runs:
        if run.gates:
            with whole(f"{run.folder}/gates.json"):
                found.append({"run": run.name, **_gates(run.gates)})
    return found


def _gates(told: Mapping[str, Any]) -> dict[str, Any]:
    maps = [
        (f"block {int(each['block'])} {each['map']}", *_same_length(each["mean"], each["spread"]))
        for each in told["maps"]
    ]
    apart = [[value - 1 for value in mean] for _, mean, _ in maps]
    most_apart, most_spread = _most(apart), _most([spread for _, _, spread in maps])
    return {
        "images": int(told["images"]),
        "cases": int(told["cases"]),
        "of": int(told["of"]),
        "groups": max(len(mean) for _, mean, _ in maps),
        "most_apart": _small(most_apart),
        "most_spread": _small(most_spread),
        "rows": [
            {
                "map": name,
                "apart": _strip(difference, most_apart),
                "range": f"{min(mean):.4f} to {max(mean):.4f}",
                "spread": _strip(spread, most_spread),
                "average": _small(sum(spread) / len(spread)),
                "largest": f"{_small(max(spread))} in group {1 + spread.index(max(spread))}",
            }
            for (name, mean, spread), difference in zip(maps, apart, strict=True)
        ],
        "partitions": [
            _partitions(str(scheme), parts, maps) for scheme, parts in told["partitions"].items()
        ]
        if most_spread
        else [],
    }


def _partitions(scheme: str, parts: Mapping[str, Any], maps) -> dict[str, Any]:
    """Each partition's differences: a strip of the map that spreads most, the largest in words."""
    shown = max(range(len(maps)), key=lambda i: sum(maps[i][2]))
    rows = [
        (str(value), int(part["images"]), _differences(part, maps)) for value, part in parts.items()
    ]
    most = _most([differences[shown] for _, _, differences in rows])
    return {
        "scheme": "ontology’s partition" if scheme == "ontology" else scheme.replace("_", " "),
        "map": maps[shown][0],
        "most": _small(most),
        "rows": [
            {
                "label": value,
                "images": f"{images:,}{FEW_SIGN if images < FEW else ''}",
                "strip": _strip(differences[shown], most),
                "rises": _extreme(max, differences, maps, images),
                "falls": _extreme(min, differences, maps, images),
            }
            for value, images, differences in rows
        ],
    }


def _differences(part: Mapping[str, Any], maps) -> list[list[float]]:
    return [
        _same_length(difference, spread)[0]
        for difference, (_, _, spread) in zip(part["difference"], maps, strict=True)
    ]


def _extreme(which, differences: Sequence[Sequence[float]], maps, images: int) -> str:
    """The gate of all maps that differs most, in standard errors of so many images."""
    errors = [
        (difference * math.sqrt(images) / spread, i, group)
        for i, (_, _, spreads) in enumerate(maps)
        for group, (difference, spread) in enumerate(zip(differences[i], spreads, strict=True))
        if spread > 0
    ]
    size, i, group = which(errors)
    difference = differences[i][group]
    if size == 0 or (size > 0) != (which is max):
        return "none"
    sign = "+" if difference > 0 else "−"
    return (
        f"{maps[i][0]}, group {group + 1}: {sign}{_small(abs(difference))} ({abs(size):.1f} s.e.)"
    )


def _strip(values: Sequence[float], most: float) -> Strip:
    shares = [round(abs(value) / most, 2) if most else 0.0 for value in values]
    cells = [(i, share, values[i] < 0) for i, share in enumerate(shares) if share]
    return Strip(len(values), cells)


def _same_length(*rows: Sequence[Any]) -> tuple[list[float], ...]:
    found = tuple([float(value) for value in row] for row in rows)
    if len({len(row) for row in found}) != 1 or not found[0]:
        raise ValueError("another number of groups")
    if not all(math.isfinite(value) for row in found for value in row):
        raise ValueError("a gate that is no number")
    return found


def _most(rows: Sequence[Sequence[float]]) -> float:
    return max(abs(value) for row in rows for value in row)


def _small(value: float) -> str:
    return f"{value:.2g}"
