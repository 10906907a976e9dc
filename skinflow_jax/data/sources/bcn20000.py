"""BCN20000: 18,946 dermoscopic images from Barcelona, many of lesions that are hard to tell.

Hernández-Pérez et al., "BCN20000: Dermoscopic Lesions in the Wild", Scientific Data 2024,
CC BY-NC 4.0. Expected under the data root: the table, and the images in any folder. Two forms of
the table are read: the authors' (`bcn_filename`, `diagnosis`, …) and the ISIC archive's export of
the collection (`isic_id`, `diagnosis_1` …).
"""

from pathlib import Path
from typing import ClassVar

from skinflow_jax.data.sources.case import Case
from skinflow_jax.data.sources.id_lists import bare
from skinflow_jax.data.sources.image_files import ImageFiles
from skinflow_jax.data.sources.isic import certain_level, diagnoses_of, isic_case
from skinflow_jax.data.sources.patient_facts import age, known, sex
from skinflow_jax.data.sources.pictures import Picture
from skinflow_jax.data.sources.table import contradicting, read_table
from skinflow_jax.data.sources.table_row import TableRow
from skinflow_jax.data.sources.whole_source import TableOptions, WholeSource
from skinflow_jax.errors import InputError

DIAGNOSES = {
    "AK": "actinic keratosis",
    "BCC": "basal cell carcinoma",
    "BKL": "benign keratosis",
    "DF": "dermatofibroma",
    "MEL": "melanoma",
    "NV": "melanocytic naevus",
    "SCC": "squamous cell carcinoma",
    "VASC": "benign vascular lesion",
    "OOD": "",
}
"""OOD, out of distribution, is no diagnosis."""
_TABLES = ("bcn_20k_train.csv", "BCN20000_metadata.csv", "metadata.csv")


class Bcn20000Source(WholeSource[TableRow]):
    """Every image of the table, grouped by lesion; no caption field (see `ham10000`)."""

    Options = TableOptions
    name: ClassVar[str] = "bcn20000"
    note: ClassVar[str] = "BCN20000, Hernández-Pérez et al. 2024: CC BY-NC 4.0"

    def __init__(self, root: str | Path, options: TableOptions | None = None):
        """Reads the table and lists the images; decodes none."""
        options = options or TableOptions()
        root = Path(root)
        path = options.table_in(root, *_TABLES)
        table = read_table(path, ["lesion_id"], remedy="the data root must be BCN20000's folder")
        self._id = next((c for c in ("isic_id", "bcn_filename") if c in table.header), "")
        if not self._id:
            raise InputError(f"{path}: has neither isic_id nor bcn_filename; give BCN20000's table")
        rows, repeated = table.unique(self._id)
        label = "diagnosis" if self._id == "bcn_filename" else certain_level(table.header)
        self._entries, torn = contradicting(rows, "lesion_id", label)
        self.remarks = (*table.remarks, *repeated, *torn)
        self._images = ImageFiles(root / (options.images or ""))
        own = tuple(name for name in DIAGNOSES.values() if name)
        self.diagnoses = own if self._id == "bcn_filename" else diagnoses_of(self._entries)

    def _case(self, row: TableRow) -> Case:
        if self._id == "isic_id":
            return isic_case(row, {}, mask=self._mask(row) is not None)
        case_id = bare(row.needed("bcn_filename"))
        label = row.choice("diagnosis", DIAGNOSES) if row.text("diagnosis") else "OOD"
        return Case(
            case_id=case_id,
            group=row.text("lesion_id") or case_id,
            caption={},
            diagnosis=DIAGNOSES[label],
            attributes=known(
                age=age(row, "age_approx"),
                sex=sex(row, "sex"),
                site=row.text("anatom_site_special") or row.text("anatom_site_general"),
                view="dermoscopic",
            ),
            views=("dermoscopic",),
            columns=row.columns(),
            mask=self._mask(row) is not None,
        )

    def _pictures(self, row: TableRow) -> list[Picture]:
        return [self._images.by_stem(bare(row.needed(self._id)), row.where(self._id))]

    def _mask(self, row: TableRow) -> Picture | None:
        return self._images.mask_of(bare(row.needed(self._id)), row.where(self._id))
