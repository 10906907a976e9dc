"""HAM10000: 10,015 dermoscopic images of pigmented lesions, seven classes.

Tschandl, Rosendahl, Kittler, "The HAM10000 dataset, a large collection of multi-source
dermatoscopic images of common pigmented skin lesions", Scientific Data 2018 (Harvard Dataverse,
doi 10.7910/DVN/DBW86T), CC BY-NC 4.0. Expected under the data root: `HAM10000_metadata.csv` (or
without its ending) and the images `ISIC_….jpg` in any folder; masks `ISIC_…_segmentation.png` where
there are any.
"""

from pathlib import Path
from typing import ClassVar

from skinflow_jax.data.sources.case import Case
from skinflow_jax.data.sources.image_files import ImageFiles
from skinflow_jax.data.sources.patient_facts import age, known, sex
from skinflow_jax.data.sources.pictures import Picture
from skinflow_jax.data.sources.table import contradicting, read_table
from skinflow_jax.data.sources.table_row import TableRow
from skinflow_jax.data.sources.whole_source import TableOptions, WholeSource

DIAGNOSES = {
    "akiec": "intraepithelial keratinocytic neoplasia",
    "bcc": "basal cell carcinoma",
    "bkl": "benign keratosis",
    "df": "dermatofibroma",
    "mel": "melanoma",
    "nv": "melanocytic naevus",
    "vasc": "benign vascular lesion",
}
_COLUMNS = ("lesion_id", "image_id", "dx", "age", "sex", "localization")


class Ham10000Source(WholeSource[TableRow]):
    """Every image of HAM10000, grouped by lesion.

    No caption field is taken: a dermoscopic image does not show where on the body it is, nor its
    scale. The site is an attribute. A lesion with several diagnoses is left out.
    """

    Options = TableOptions
    name: ClassVar[str] = "ham10000"
    note: ClassVar[str] = "HAM10000, Tschandl et al. 2018: CC BY-NC 4.0, not for commercial use"
    diagnoses = tuple(DIAGNOSES.values())

    def __init__(self, root: str | Path, options: TableOptions | None = None):
        """Reads the table and lists the images; decodes none."""
        options = options or TableOptions()
        root = Path(root)
        # The archive calls its table so, without an ending.
        path = options.table_in(root, "HAM10000_metadata.csv", "HAM10000_metadata")
        table = read_table(path, _COLUMNS, remedy="the data root must be HAM10000's folder")
        rows, repeated = table.unique("image_id")
        self._entries, torn = contradicting(rows, "lesion_id", "dx")
        self.remarks = (*table.remarks, *repeated, *torn)
        self._images = ImageFiles(root / (options.images or ""))

    def _case(self, row: TableRow) -> Case:
        case_id = row.needed("image_id")
        return Case(
            case_id=case_id,
            group=row.needed("lesion_id"),
            caption={},
            diagnosis=DIAGNOSES[row.choice("dx", DIAGNOSES)],
            attributes=known(
                age=age(row, "age"),
                sex=sex(row, "sex"),
                site=row.text("localization"),
                view="dermoscopic",
            ),
            views=("dermoscopic",),
            columns=row.columns(),
            mask=self._mask(row) is not None,
        )

    def _pictures(self, row: TableRow) -> list[Picture]:
        return [self._images.by_stem(row.needed("image_id"), row.where("image_id"))]

    def _mask(self, row: TableRow) -> Picture | None:
        return self._images.mask_of(row.needed("image_id"), row.where("image_id"))
