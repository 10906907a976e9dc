"""MILK10k: 5,240 lesions, each with a clinical close-up and a dermoscopic image.

MILK study team, "MILK10k", ISIC Archive 2025 (doi 10.34970/648456), CC BY-NC 4.0. Expected under
the data root: `MILK10k_Training_Metadata.csv` (a row an image), `MILK10k_Training_GroundTruth.csv`
(a row a lesion, one class 1), `MILK10k_Training_Supplement.csv` where it is there, and the images
`<isic_id>.jpg` in any folder.
"""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from skinflow_jax.data.sources.case import Case
from skinflow_jax.data.sources.image_files import ImageFiles
from skinflow_jax.data.sources.patient_facts import age, known, location, sex
from skinflow_jax.data.sources.pictures import Picture
from skinflow_jax.data.sources.table import differing, read_table
from skinflow_jax.data.sources.table_row import TableRow
from skinflow_jax.data.sources.whole_source import TableOptions, WholeSource
from skinflow_jax.errors import InputError
from skinflow_jax.typed_fields import Place

DIAGNOSES = {
    "AKIEC": "intraepithelial keratinocytic neoplasia",
    "BCC": "basal cell carcinoma",
    "BEN_OTH": "other benign proliferation",
    "BKL": "benign keratosis",
    "DF": "dermatofibroma",
    "INF": "inflammatory or infectious condition",
    "MAL_OTH": "other malignant proliferation",
    "MEL": "melanoma",
    "NV": "melanocytic naevus",
    "SCCKA": "squamous cell carcinoma",
    "VASC": "benign vascular lesion",
}
_OF_LESION = ("age_approx", "sex", "skin_tone_class", "site")
VIEWS = {"clinical: close-up": "close-up", "dermoscopic": "dermoscopic"}


@dataclass(frozen=True)
class Milk10kOptions(TableOptions):
    """`truth` and `supplement`: the two other tables, below the data root."""

    truth: Annotated[str, Place()] = "MILK10k_Training_GroundTruth.csv"
    supplement: Annotated[str, Place()] = "MILK10k_Training_Supplement.csv"


class Milk10kSource(WholeSource[list[TableRow]]):
    """Every lesion, with its images in the order clinical, dermoscopic.

    The site is a caption field: the clinical close-up may show it. A lesion without a row in the
    truth table has no diagnosis.
    """

    Options = Milk10kOptions
    name: ClassVar[str] = "milk10k"
    note: ClassVar[str] = "MILK10k, MILK study team 2025: CC BY-NC 4.0"
    diagnoses = tuple(DIAGNOSES.values())

    def __init__(self, root: str | Path, options: Milk10kOptions | None = None):
        """Reads the tables and lists the images; decodes none."""
        options = options or self.Options()
        root = Path(root)
        needed = ("lesion_id", "image_type", "isic_id")
        path = options.table_in(root, "MILK10k_Training_Metadata.csv")
        table = read_table(path, needed, remedy="give MILK10k's metadata")
        rows, repeated = table.unique("isic_id")
        lesions = defaultdict(list)
        for row in rows:
            lesions[row.raw("lesion_id") or f"row {row.line}"].append(row)
        truth = read_table(
            root / options.truth, ("lesion_id", *DIAGNOSES), remedy="give MILK10k's truth table"
        )
        told, torn = truth.unique("lesion_id")
        self._truth = {row.raw("lesion_id"): row for row in told}
        unsure = {row.raw("lesion_id") for row in truth.rows} - set(self._truth)
        self._entries = [rows for lesion, rows in lesions.items() if lesion not in unsure]
        self.remarks = (*table.remarks, *truth.remarks, *repeated, *torn)
        self._supplement = _by_image(root / options.supplement)
        self._images = ImageFiles(root / (options.images or ""))

    def _case(self, rows: list[TableRow]) -> Case:
        rows = _in_order(rows)
        first = rows[0]
        lesion = first.needed("lesion_id")
        truth = self._truth.get(lesion)
        stated = [self._supplement.get(row.raw("isic_id")) for row in rows]
        extra = next(filter(None, stated), None)
        by_view = {VIEWS[row.choice("image_type", VIEWS)]: row.columns() for row in rows}
        return Case(
            case_id=lesion,
            group=lesion,
            caption=known(location=location(first.text("site"))),
            diagnosis=_diagnosis(truth) if truth else "",
            attributes=known(
                age=age(first, "age_approx"),
                sex=sex(first, "sex"),
                site=first.text("site"),
                skin_tone_class=first.whole("skin_tone_class", 0, 5),
                licence=first.text("copyright_license"),
            ),
            views=tuple(by_view),
            columns=by_view
            | (truth.columns() if truth else {})
            | (extra.columns() if extra else {}),
        )

    def _pictures(self, rows: list[TableRow]) -> list[Picture]:
        return [
            self._images.by_stem(row.needed("isic_id"), row.where("isic_id"))
            for row in _in_order(rows)
        ]


def _in_order(rows: list[TableRow]) -> list[TableRow]:
    """Clinical before dermoscopic; raises InputError where the rows of a lesion contradict."""
    kinds = [row.choice("image_type", VIEWS) for row in rows]
    if len(set(kinds)) < len(kinds):
        raise InputError(
            f"{rows[-1].where('image_type')}: lesion {rows[-1].raw('lesion_id')} has several "
            "images of one kind; remove the surplus rows"
        )
    torn = [column for column in differing(rows) if column in _OF_LESION]
    if torn:
        raise InputError(
            f"{rows[0].path} row {rows[0].line}: the two images of lesion "
            f"{rows[0].raw('lesion_id')} differ in {', '.join(torn)}; correct the rows"
        )
    return sorted(rows, key=lambda row: list(VIEWS).index(row.raw("image_type")))


def _diagnosis(row: TableRow) -> str:
    """The class whose cell is 1; raises InputError where it is not exactly one."""
    ones = [code for code in DIAGNOSES if row.whole(code, 0, 1)]
    if len(ones) != 1:
        stated = " and ".join(ones) or "no class"
        raise InputError(
            f"{row.where('lesion_id')} {row.raw('lesion_id')} has {stated} as its truth; exactly "
            "one is 1: correct the row"
        )
    return DIAGNOSES[ones[0]]


def _by_image(path: Path) -> dict[str, TableRow]:
    if not path.is_file():
        return {}
    rows, _ = read_table(path, ["isic_id"], remedy="give MILK10k's supplement").unique("isic_id")
    return {row.raw("isic_id"): row for row in rows}
