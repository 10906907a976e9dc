"""PAD-UFES-20: clinical photographs of six skin conditions with patient metadata.

Pacheco et al., "PAD-UFES-20: a skin lesion dataset composed of patient data and clinical images
collected from smartphones", Data in Brief 2020 (Mendeley Data, zr7vgbcyr2). Expected under the data
root: `metadata.csv`, and the images in `images/` or `imgs_part_1/` … as `.png` or `.jpg`.
"""

from pathlib import Path
from typing import ClassVar

from skinflow_jax.data.sources.case import Caption, Case
from skinflow_jax.data.sources.id_lists import bare
from skinflow_jax.data.sources.image_files import ImageFiles
from skinflow_jax.data.sources.patient_facts import age, known, size, skin_type
from skinflow_jax.data.sources.pictures import Picture
from skinflow_jax.data.sources.table import read_table
from skinflow_jax.data.sources.table_row import TableRow
from skinflow_jax.data.sources.whole_source import TableOptions, WholeSource

DIAGNOSES = {
    "ACK": "actinic keratosis",
    "BCC": "basal cell carcinoma",
    "MEL": "melanoma",
    "NEV": "melanocytic naevus",
    "SCC": "squamous cell carcinoma",
    "SEK": "seborrhoeic keratosis",
}
REGIONS = frozenset(
    {
        *("ABDOMEN", "ARM", "BACK", "CHEST", "EAR", "FACE", "FOOT"),
        *("FOREARM", "HAND", "LIP", "NECK", "NOSE", "SCALP", "THIGH"),
    }
)
COLUMNS = (
    *("patient_id", "img_id", "diagnostic", "region", "diameter_1", "diameter_2"),
    *("fitspatrick", "age", "gender"),
)


class PadUfesSource(WholeSource[TableRow]):
    """Every photograph, grouped by patient.

    Of the table's columns the caption has what can be seen and is certain, the site and the size;
    history (itch, grew, hurt, …) and whether a biopsy was taken are columns only.
    """

    Options = TableOptions
    name: ClassVar[str] = "pad_ufes_20"
    note: ClassVar[str] = "PAD-UFES-20, Pacheco et al. 2020: CC BY 4.0"
    diagnoses = tuple(DIAGNOSES.values())

    def __init__(self, root: str | Path, options: TableOptions | None = None):
        """Reads the table and lists the images; decodes none."""
        options = options or TableOptions()
        root = Path(root)
        table = read_table(
            options.table_in(root, "metadata.csv"),
            COLUMNS,
            remedy="the data root must be PAD-UFES-20's folder",
        )
        self._entries, repeated = table.unique("img_id")
        self.remarks = (*table.remarks, *repeated)
        self._images = ImageFiles(root / (options.images or ""))

    def _case(self, row: TableRow) -> Case:
        return Case(
            case_id=bare(row.needed("img_id")),
            group=row.needed("patient_id"),
            caption=_caption(row),
            diagnosis=DIAGNOSES[row.choice("diagnostic", DIAGNOSES)],
            attributes=known(
                fitzpatrick=skin_type(row, "fitspatrick"),
                age=age(row, "age"),
                sex=row.text("gender").lower(),
            ),
            views=("clinical",),
            columns=row.columns(),
        )

    def _pictures(self, row: TableRow) -> list[Picture]:
        # The table says .png where copies are .jpg.
        return [self._images.by_stem(bare(row.needed("img_id")), row.where("img_id"))]


def _caption(row: TableRow) -> Caption:
    diameters = [row.number(column, 0, 1000) for column in ("diameter_1", "diameter_2")]
    region = row.choice("region", REGIONS) if row.text("region") else ""
    # The larger diameter is only known when both are; the data set writes 0 for not measured.
    return known(size=size(max(diameters) if all(diameters) else None), location=region.lower())
