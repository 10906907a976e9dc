"""Derm1M: a million images with text from atlases, papers, videos and forums.

Yan et al., "Derm1M: A Million-scale Vision-Language Dataset Aligned with Clinical Ontology
Knowledge for Dermatology", ICCV 2025 (CC BY-NC 4.0, on request). Expected under the data root: the
table, such as `Derm1M_v2_pretrain.csv`, and the images that it names, as many as there are.
"""

import re
from pathlib import Path
from typing import ClassVar

from skinflow_jax.data.sources.case import Case
from skinflow_jax.data.sources.diagnosis_names import canonical_name
from skinflow_jax.data.sources.image_files import ImageFiles
from skinflow_jax.data.sources.partial import with_images
from skinflow_jax.data.sources.patient_facts import caption_of, known, location
from skinflow_jax.data.sources.pictures import Picture
from skinflow_jax.data.sources.table import read_table
from skinflow_jax.data.sources.table_row import TableRow
from skinflow_jax.data.sources.whole_source import TableOptions, WholeSource

# "No age information", "No definitive diagnosis", "No visual concepts": phrases for nothing.
_NOTHING = re.compile(
    r"(no|not|without|unknown|unspecified)\b.{0,40}"
    r"\b(information|diagnosis|concepts?|label|location|specified|mentioned|provided|available)\.?",
    re.IGNORECASE,
)
_YEARS = re.compile(r"([0-9]{1,3})(?: ?[- ]?(?:years?|yrs?|y/?o)\b.{0,20})?", re.IGNORECASE)
_TEXTS = ("caption", "truncated_caption", "symptoms", "skin_concept", "body_location")


class Derm1mSource(WholeSource[TableRow]):
    """The images that are there, each its own group: the table names no patient.

    Frames of one video and figures of one paper show the same lesion; only their pixels tell. The
    texts are columns, since they name the disease.
    """

    Options = TableOptions
    name: ClassVar[str] = "derm1m"
    note: ClassVar[str] = "Derm1M, Yan et al. 2025: CC BY-NC 4.0, on request"

    def __init__(self, root: str | Path, options: TableOptions | None = None):
        """Reads the table and lists the images; decodes none."""
        options = options or TableOptions()
        root = Path(root)
        path = options.table_in(root, "Derm1M_v2_pretrain.csv")
        table = read_table(
            path, ("filename", "disease_label"), remedy="give Derm1M's table", free_text=_TEXTS
        )
        rows, repeated = table.unique("filename")
        self._images = ImageFiles(root / (options.images or ""))
        self._entries, absent = with_images(
            rows, self._images, lambda row: row.raw("filename"), path, ImageFiles.has_named
        )
        self.remarks = (*table.remarks, *repeated, *absent)
        self.diagnoses = tuple(sorted({_diagnosis(row) for row in self._entries} - {""}))

    def _case(self, row: TableRow) -> Case:
        name = row.needed("filename")
        place = stated(row, "body_location")
        concepts = [part.strip() for part in stated(row, "skin_concept").split(",")]
        years = _YEARS.fullmatch(stated(row, "age"))
        return Case(
            case_id=name,
            group=name,
            caption=caption_of(concepts) | known(location=location(place)),
            diagnosis=_diagnosis(row),
            attributes=known(
                age=int(years[1]) if years and int(years[1]) <= 120 else None,
                sex=stated(row, "gender").casefold(),
                site=place,
            ),
            columns=row.columns(),
        )

    def _pictures(self, row: TableRow) -> list[Picture]:
        return [self._images.named(row.needed("filename"), row.where("filename"))]


def stated(row: TableRow, column: str) -> str:
    """The cell, "" where it is a phrase for nothing."""
    text = row.text(column)
    return "" if _NOTHING.fullmatch(text) else text


def _diagnosis(row: TableRow) -> str:
    """The label; else the deepest level of the hierarchy, a path by commas."""
    path = stated(row, "hierarchical_disease_label").split(",")
    label = stated(row, "disease_label") or path[-1].strip()
    return "" if row.fault else canonical_name(label)
