"""SCIN, Skin Condition Image Network: photographs that people took of their own skin.

Ward et al., "Creating an Empirical Dermatology Dataset Through Crowdsourcing With Web Search
Advertisements", JAMA Network Open 2024 (SCIN Data Use License). Expected under the data root:
`scin_cases.csv` and `scin_labels.csv`, in it or in `dataset/`, and the images `<number>.png` that
they name.
"""

import ast
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from skinflow_jax.data.sources.case import Caption, Case
from skinflow_jax.data.sources.diagnosis_names import canonical_name
from skinflow_jax.data.sources.image_files import ImageFiles
from skinflow_jax.data.sources.patient_facts import known, location, sex, skin_type
from skinflow_jax.data.sources.pictures import Picture
from skinflow_jax.data.sources.table import read_table
from skinflow_jax.data.sources.table_row import TableRow
from skinflow_jax.data.sources.whole_source import WholeSource
from skinflow_jax.errors import InputError
from skinflow_jax.typed_fields import Place, check_fields

WEIGHTED = "weighted_skin_condition_label"
_TYPE_BY_DOCTOR = "dermatologist_fitzpatrick_skin_type_label_1"
_PATHS = tuple(f"image_{n}_path" for n in (1, 2, 3))
_UNSAID = ("OTHER_OR_UNSPECIFIED", "AGE_UNKNOWN", "PREFER_NOT_TO_SAY")
_LONGEST = 10_000  # characters of a dictionary: no case has more than some twenty conditions
_PLACE = Annotated[str, Place()]


@dataclass(frozen=True)
class ScinOptions:
    """The two tables and the folder of `images`, below the data root."""

    cases: _PLACE = "scin_cases.csv"
    labels: _PLACE = "scin_labels.csv"
    images: _PLACE | None = None

    def __post_init__(self):
        check_fields(self, "data.options.")


class ScinSource(WholeSource[TableRow]):
    """Every case, with one to three images and the weights that dermatologists gave diagnoses.

    `Case.soft` are the weights where there are several, `Case.diagnosis` the heaviest. A case that
    nobody could diagnose has none. The body part is a caption field where it is one.
    """

    Options = ScinOptions
    name: ClassVar[str] = "scin"
    note: ClassVar[str] = "SCIN, Ward et al. 2024: SCIN Data Use License, no identification"

    def __init__(self, root: str | Path, options: ScinOptions | None = None):
        """Reads the tables and lists the images; decodes none."""
        options = options or self.Options()
        root = Path(root)
        cases = read_table(
            _in(root, options.cases), ("case_id", *_PATHS), remedy="give SCIN's scin_cases.csv"
        )
        labels = read_table(
            _in(root, options.labels), ("case_id", WEIGHTED), remedy="give SCIN's scin_labels.csv"
        )
        rows, repeated = cases.unique("case_id")
        told, torn = labels.unique("case_id")
        self._labels = {row.raw("case_id"): row for row in told}
        unsure = {row.raw("case_id") for row in labels.rows} - set(self._labels) - {""}
        self._entries = [row for row in rows if row.raw("case_id") not in unsure]
        self.remarks = (*cases.remarks, *labels.remarks, *repeated, *torn)
        self._images = ImageFiles(root / (options.images or ""))
        self.diagnoses = tuple(sorted({name for row in told for name in _names(row)}))

    def _case(self, row: TableRow) -> Case:
        case_id = row.needed("case_id")
        label = self._labels.get(case_id)
        weights = soft_labels(label) if label else {}
        by_doctor = skin_type(label, _TYPE_BY_DOCTOR) if label else None
        return Case(
            case_id=case_id,
            group=case_id,
            caption=_caption(row),
            diagnosis=max(weights, key=weights.get, default=""),
            attributes=known(
                fitzpatrick=skin_type(row, "fitzpatrick_skin_type") or by_doctor,
                age_group=_age_group(_said(row, "age_group")),
                sex=sex(row, "sex_at_birth") if _said(row, "sex_at_birth") else "",
                monk=label.whole("monk_skin_tone_label_us", 1, 10) if label else None,
            ),
            views=tuple(_view(row, path) for path in _paths(row)),
            soft=weights if len(weights) > 1 else {},
            columns=row.columns() | (label.columns() if label else {}),
        )

    def _pictures(self, row: TableRow) -> list[Picture]:
        return [self._images.named(row.text(path), row.where(path)) for path in _paths(row)]


def soft_labels(row: TableRow) -> dict[str, float]:
    """The weights of a row's diagnoses, heaviest first, which sum to 1; empty where it has none.

    The cell is a Python dictionary written as text. Conditions that are one in the ontology are
    added up. Raises InputError where it is something else.
    """
    text = row.text(WEIGHTED)
    if not text:
        return {}
    try:
        stated = ast.literal_eval(text) if len(text) <= _LONGEST else None
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        stated = None
    if not isinstance(stated, dict) or not all(map(_is_weight, stated.items())):
        raise row.wrong(WEIGHTED, "a dictionary of conditions and weights like {'Eczema': 0.41}")
    weights: dict[str, float] = {}
    for label, weight in stated.items():
        name = canonical_name(label)
        weights[name] = weights.get(name, 0) + weight
    total = sum(weights.values())
    ordered = sorted(weights.items(), key=lambda item: (-item[1], item[0]))
    return {name: weight / total for name, weight in ordered if weight}


def _is_weight(entry: tuple) -> bool:
    label, weight = entry
    number = isinstance(weight, (int, float)) and not isinstance(weight, bool)
    named = isinstance(label, str) and bool(label.strip())
    return named and number and math.isfinite(weight) and 0 < weight <= 1e6


def _names(row: TableRow) -> dict[str, float]:
    try:
        return soft_labels(row)
    except InputError:  # the case will say so
        return {}


def _in(root: Path, name: str) -> Path:
    """The table in the root, or in the folder `dataset` that the download makes."""
    inner = root / "dataset" / name
    return inner if inner.is_file() and not (root / name).is_file() else root / name


def _paths(row: TableRow) -> list[str]:
    """The columns that name an image; raises InputError where none does."""
    found = [path for path in _PATHS if row.text(path)]
    if not found:
        raise InputError(f"{row.where(_PATHS[0])} and the others are empty; remove the row")
    return found


def _view(row: TableRow, path: str) -> str:
    kind = row.text(path.replace("_path", "_shot_type"))
    return "" if kind in _UNSAID else kind.casefold().replace("_", "-")


def _said(row: TableRow, column: str) -> str:
    text = row.text(column)
    return "" if text in _UNSAID else text


def _age_group(text: str) -> str:
    """AGE_40_TO_49 as "40-49", AGE_80_OR_ABOVE as "80+"."""
    return text.removeprefix("AGE_").replace("_TO_", "-").replace("_OR_ABOVE", "+")


def _caption(row: TableRow) -> Caption:
    prefix = "body_parts_"
    parts = [
        column[len(prefix) :].replace("_", " ")
        for column in row.places
        if column.casefold().startswith(prefix) and row.text(column) == "YES"
    ]
    return known(location=location(parts[0])) if len(parts) == 1 else {}
