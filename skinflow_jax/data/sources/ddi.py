"""DDI, Diverse Dermatology Images: 656 clinical photographs across skin tones, proven by pathology.

Daneshjou et al., "Disparities in dermatology AI performance on a diverse, curated clinical image
set", Science Advances 2022 (Stanford AIMI; research use, no redistribution). Expected under the
data root: `ddi_metadata.csv` and the images that it names.
"""

from pathlib import Path
from typing import ClassVar

from skinflow_jax.data.sources.case import Case
from skinflow_jax.data.sources.diagnosis_names import canonical_name
from skinflow_jax.data.sources.image_files import ImageFiles
from skinflow_jax.data.sources.patient_facts import known
from skinflow_jax.data.sources.pictures import Picture
from skinflow_jax.data.sources.table import read_table
from skinflow_jax.data.sources.table_row import TableRow
from skinflow_jax.data.sources.whole_source import TableOptions, WholeSource

TONES = {"12": "1-2", "34": "3-4", "56": "5-6"}
_MALIGNANT = {"true": "malignant", "1": "malignant", "false": "benign", "0": "benign"}
_COLUMNS = ("DDI_ID", "DDI_file", "skin_tone", "malignant", "disease")


class DdiSource(WholeSource[TableRow]):
    """Every photograph; the table names no patient, so each is its own group.

    Skin types are told in pairs: the attribute is `fitzpatrick_pair`, "1-2", "3-4" or "5-6".
    """

    Options = TableOptions
    name: ClassVar[str] = "ddi"
    note: ClassVar[str] = "DDI, Daneshjou et al. 2022: for research only, not to be passed on"

    def __init__(self, root: str | Path, options: TableOptions | None = None):
        """Reads the table and lists the images; decodes none."""
        options = options or TableOptions()
        root = Path(root)
        table = read_table(
            options.table_in(root, "ddi_metadata.csv"), _COLUMNS, remedy="give DDI's own table"
        )
        self._entries, repeated = table.unique("DDI_file")
        self.remarks = (*table.remarks, *repeated)
        self._images = ImageFiles(root / (options.images or ""))
        self.diagnoses = tuple(sorted({_name(row) for row in self._entries} - {""}))

    def _case(self, row: TableRow) -> Case:
        file = row.needed("DDI_file")
        row.needed("disease")
        tone = row.choice("skin_tone", TONES) if row.text("skin_tone") else ""
        malignant = row.text("malignant").casefold()
        if malignant and malignant not in _MALIGNANT:
            raise row.wrong("malignant", "True, False or nothing")
        return Case(
            case_id=row.text("DDI_ID") or file,
            group=row.text("DDI_ID") or file,
            caption={},
            diagnosis=_name(row),
            attributes=known(
                fitzpatrick_pair=TONES.get(tone), malignancy=_MALIGNANT.get(malignant)
            ),
            views=("clinical",),
            columns=row.columns(),
        )

    def _pictures(self, row: TableRow) -> list[Picture]:
        return [self._images.named(row.needed("DDI_file"), row.where("DDI_file"))]


def _name(row: TableRow) -> str:
    return canonical_name(row.raw("disease").replace("-", " "))
