"""Derm7pt: 1,011 lesions with a clinical and a dermoscopic image and the seven-point checklist.

Kawahara et al., "Seven-point checklist and skin lesion classification using multitask multimodal
neural nets", IEEE JBHI 2019 (derm.cs.sfu.ca; research use, no redistribution). Expected under the
data root: `meta/meta.csv`, the images that it names in `images/`, and `meta/train_indexes.csv`,
`valid_indexes.csv`, `test_indexes.csv` where the authors' split is wanted.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from skinflow_jax.data.sources.case import Case
from skinflow_jax.data.sources.derm7pt_criteria import caption_of_criteria
from skinflow_jax.data.sources.diagnosis_names import known_name
from skinflow_jax.data.sources.image_files import ImageFiles
from skinflow_jax.data.sources.patient_facts import known, location, sex
from skinflow_jax.data.sources.pictures import Picture
from skinflow_jax.data.sources.table import read_table
from skinflow_jax.data.sources.table_row import TableRow
from skinflow_jax.data.sources.whole_source import TableOptions, WholeSource
from skinflow_jax.errors import InputError

# Kinds that the ontology does not tell apart, and two that are no diagnosis.
_DIAGNOSES = {
    "combined nevus": "melanocytic naevus",
    "recurrent nevus": "melanocytic naevus",
    "reed or spitz nevus": "Spitz naevus",
    "melanoma metastasis": "melanoma",
    "miscellaneous": "",
    "melanosis": "melanosis",
    "vascular lesion": "benign vascular lesion",
}
_FILES = ("clinic", "derm")
_SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class Derm7ptOptions(TableOptions):
    """`criteria`: captions state the seven criteria; the schema "dermoscopy" has a field for them.

    The clinical schema, which is used where none is named, has not.
    """

    criteria: bool = False


class Derm7ptSource(WholeSource[TableRow]):
    """Every lesion, with its images in the order clinical, dermoscopic.

    Thicknesses of melanoma are one diagnosis, in situ apart as the ontology has it. The seven
    criteria are columns, and caption fields where the options say so.
    """

    Options = Derm7ptOptions
    name: ClassVar[str] = "derm7pt"
    note: ClassVar[str] = "Derm7pt, Kawahara et al. 2019: for research only, not to be passed on"

    def __init__(self, root: str | Path, options: Derm7ptOptions | None = None):
        """Reads the tables and lists the images; decodes none."""
        options = options or self.Options()
        self._criteria = options.criteria
        root = Path(root)
        path = options.table_in(root, "meta/meta.csv")
        table = read_table(
            path,
            ("case_num", "diagnosis", *_FILES),
            remedy="the data root must be Derm7pt's release_v0",
            free_text=("notes",),
        )
        self._entries, repeated = table.unique("case_num")
        self.remarks = (*table.remarks, *repeated)
        self._images = ImageFiles(root / (options.images or ""))
        self._splits = _splits(path.parent, table.rows)
        self.diagnoses = tuple(sorted({_diagnosis(row) for row in self._entries} - {""}))

    def _case(self, row: TableRow) -> Case:
        case_id = row.needed("case_num")
        row.needed("diagnosis")
        return Case(
            case_id=case_id,
            group=case_id,
            caption=known(location=location(row.text("location")))
            | (caption_of_criteria(row) if self._criteria else {}),
            diagnosis=_diagnosis(row),
            attributes=known(
                sex=sex(row, "sex"), site=row.text("location"), elevation=row.text("elevation")
            ),
            views=("clinical", "dermoscopic"),
            columns=row.columns(),
            split=self._splits.get(row.line, ""),
        )

    def _pictures(self, row: TableRow) -> list[Picture]:
        return [self._images.named(row.needed(name), row.where(name)) for name in _FILES]


def _diagnosis(row: TableRow) -> str:
    label = row.raw("diagnosis").casefold()
    if label in _DIAGNOSES:
        return _DIAGNOSES[label]
    outside = label.partition("(")[0].strip()
    if "(in situ)" in label:
        outside += " in situ"
    return known_name(outside) or label


def _splits(folder: Path, rows: list[TableRow]) -> dict[int, str]:
    """The authors' split by the line of the row; their lists count rows from 0."""
    found: dict[int, str] = {}
    for split in _SPLITS:
        path = folder / f"{split}_indexes.csv"
        if not path.is_file():
            continue
        for entry in read_table(path, ["indexes"], remedy="give Derm7pt's list").rows:
            index = entry.whole("indexes", 0, len(rows) - 1)
            if index is None or found.setdefault(rows[index].line, split) != split:
                raise InputError(f"{entry.where('indexes')}: is empty or in two splits; mend it")
    return found
