"""PAD-UFES-20, whole: all its photographs, for those who split all sources of a build together.

Whose it is and which files are expected says `pad_ufes_20`, which splits it by itself.
"""

from pathlib import Path
from typing import ClassVar

from skinflow_jax.data.sources.case import Caption, Case
from skinflow_jax.data.sources.id_lists import bare
from skinflow_jax.data.sources.image_files import ImageFiles
from skinflow_jax.data.sources.pad_ufes_20 import COLUMNS, DIAGNOSES, REGIONS
from skinflow_jax.data.sources.patient_facts import age, known, size, skin_type
from skinflow_jax.data.sources.pictures import Picture
from skinflow_jax.data.sources.table import read_table
from skinflow_jax.data.sources.table_row import TableRow
from skinflow_jax.data.sources.whole_source import TableOptions, WholeSource


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
                gender=row.text("gender").lower(),
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
