"""The ISIC archive: exports of its metadata, before and after its diagnoses became a path of five.

International Skin Imaging Collaboration, isic-archive.com; each image has a licence of its own.
Expected under the data root: `metadata.csv` as the archive exports it and the images `ISIC_….jpg`,
as many as there are.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from skinflow_jax.data.sources.case import Caption, Case
from skinflow_jax.data.sources.diagnosis_names import canonical_name, known_name
from skinflow_jax.data.sources.image_files import ImageFiles
from skinflow_jax.data.sources.partial import with_images
from skinflow_jax.data.sources.patient_facts import age, known, location, sex, size, skin_type
from skinflow_jax.data.sources.pictures import Picture
from skinflow_jax.data.sources.table import contradicting, read_table
from skinflow_jax.data.sources.table_row import TableRow
from skinflow_jax.data.sources.whole_source import TableOptions, WholeSource
from skinflow_jax.errors import InputError

LEVELS = tuple(f"diagnosis_{level}" for level in range(1, 6))
_SITES = ("anatom_site_special", *(f"anatom_site_{n}" for n in range(5, 0, -1)))
_VIEWS = {
    "dermoscopic": "dermoscopic",
    "clinical: close-up": "close-up",
    "clinical: overview": "overview",
    "tbp tile: close-up": "close-up",
    "tbp tile: overview": "overview",
}


@dataclass(frozen=True)
class IsicOptions(TableOptions):
    """`licences`: only images under one of these, such as ("CC-0", "CC-BY"); all when empty."""

    licences: tuple[str, ...] = ()


class IsicSource(WholeSource[TableRow]):
    """The images of an export that are there, grouped by patient, or by lesion where it has none.

    The diagnosis is the deepest level that the ontology knows, else the deepest as it stands; the
    first level alone, benign or malignant, is an attribute and no diagnosis. Site and size are
    caption fields of clinical views only: a dermoscopic image shows neither.
    """

    Options = IsicOptions
    name: ClassVar[str] = "isic"
    note: ClassVar[str] = "ISIC archive: each image has its own licence, see the attribute licence"

    def __init__(self, root: str | Path, options: IsicOptions | None = None):
        """Reads the table and lists the images; decodes none."""
        options = options or self.Options()
        root = Path(root)
        path = options.table_in(root, "metadata.csv")
        table = read_table(path, ["isic_id"], remedy="give an export of the ISIC archive")
        if not {"benign_malignant", "diagnosis", LEVELS[0]} & set(table.header):
            raise InputError(
                f"{path}: has neither diagnosis_1 nor diagnosis nor benign_malignant; export the "
                "metadata with its diagnoses"
            )
        rows, repeated = table.unique("isic_id")
        rows, licences = of_licences(rows, options.licences, path)
        rows, torn = contradicting(rows, "lesion_id", certain_level(table.header))
        self._images = ImageFiles(root / (options.images or ""))
        self._entries, absent = with_images(rows, self._images, _id, path)
        self.remarks = (*table.remarks, *repeated, *licences, *torn, *absent)
        self._patients = patients_of_lesions(table.rows)
        self.diagnoses = diagnoses_of(self._entries)

    def _case(self, row: TableRow) -> Case:
        return isic_case(row, self._patients, mask=self._mask(row) is not None)

    def _pictures(self, row: TableRow) -> list[Picture]:
        return [self._images.by_stem(row.needed("isic_id"), row.where("isic_id"))]

    def _mask(self, row: TableRow) -> Picture | None:
        return self._images.mask_of(row.needed("isic_id"), row.where("isic_id"))


def _id(row: TableRow) -> str:
    return row.raw("isic_id")


def of_licences(
    rows: list[TableRow], licences: tuple[str, ...], path: Path
) -> tuple[list[TableRow], tuple[str, ...]]:
    """The rows under one of `licences`, and a line about the others.

    Raises InputError where no row is.
    """
    if not licences:
        return rows, ()
    others = Counter(
        row.raw("copyright_license") or "no licence"
        for row in rows
        if row.raw("copyright_license") not in licences
    )
    kept = [row for row in rows if row.raw("copyright_license") in licences]
    counted = ", ".join(f"{name} ({count:,})" for name, count in sorted(others.items()))
    if not kept:
        raise InputError(
            f"{path}: no image is under {' or '.join(licences)}; its licences are {counted}"
        )
    return kept, (f"rows left out by data.options.licences: {counted}",) if others else ()


def certain_level(header: tuple[str, ...]) -> str:
    """The column in which two images of a lesion cannot differ unless one is wrong.

    Deeper levels may be known of one image only.
    """
    return next((c for c in (LEVELS[0], "benign_malignant") if c in header), "diagnosis")


def patients_of_lesions(rows: list[TableRow]) -> dict[str, str]:
    """The patient of each lesion, known where any image of the lesion names one."""
    return {
        row.raw("lesion_id"): row.raw("patient_id")
        for row in rows
        if row.raw("lesion_id") and row.raw("patient_id")
    }


def diagnoses_of(rows: list[TableRow]) -> tuple[str, ...]:
    """All diagnoses of the rows that can be read, sorted."""
    return tuple(sorted({diagnosis(row) for row in rows if not row.fault} - {""}))


def diagnosis(row: TableRow) -> str:
    """The deepest level that is known; of exports before 2024 the one diagnosis."""
    levels = [row.text(level) for level in LEVELS[:0:-1]]
    stated = [text for text in (*levels, row.text("diagnosis")) if text]
    names = (known_name(text) for text in stated)
    return next(filter(None, names), canonical_name(stated[0]) if stated else "")


def isic_case(row: TableRow, patients: Mapping[str, str], *, mask: bool = False) -> Case:
    """A case of a row of the archive; `patients` are those of lesions; `mask`: as in `Case`."""
    case_id, lesion = row.needed("isic_id"), row.text("lesion_id")
    image_type = row.text("image_type").casefold()
    view = _VIEWS.get(image_type, image_type)
    site = next(filter(None, map(row.text, _SITES)), row.text("anatom_site_general"))
    return Case(
        case_id=case_id,
        group=row.text("patient_id") or patients.get(lesion) or lesion or case_id,
        caption={} if view in ("", "dermoscopic") else _caption(row),
        diagnosis=diagnosis(row),
        attributes=known(
            fitzpatrick=skin_type(row, "fitzpatrick_skin_type"),
            age=age(row, "age_approx"),
            sex=sex(row, "sex"),
            site=site,
            malignancy=(row.text(LEVELS[0]) or row.text("benign_malignant")).casefold(),
            licence=row.text("copyright_license"),
            view=view,
        ),
        views=(view,),
        columns=row.columns(),
        mask=mask,
    )


def _caption(row: TableRow) -> Caption:
    sites = map(row.text, (*_SITES, "anatom_site_general"))
    return known(
        size=size(row.number("clin_size_long_diam_mm", 0, 1000)),
        location=next(filter(None, map(location, filter(None, sites))), ""),
    )
