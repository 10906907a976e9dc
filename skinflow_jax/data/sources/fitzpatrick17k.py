"""Fitzpatrick17k: 16,577 clinical photographs of 114 conditions with skin types.

Groh et al., "Evaluating Deep Neural Networks Trained on Clinical Images in Dermatology with the
Fitzpatrick 17k Dataset", CVPR ISIC Workshop 2021, CC BY-NC-SA 3.0. Expected under the data root:
`fitzpatrick17k.csv` and images `<md5hash>.<any image ending>`, as many as there are. Where given:

* a list of what to keep, with its split, such as `Fitzpatrick17k-C.csv` (Abhishek et al.,
  "Investigating the Quality of DermaMNIST and Fitzpatrick17k", Scientific Data 2025, Zenodo
  12739457, CC BY-NC 4.0: `md5hash`, `partition`, …), or a list of what to leave out;
* SkinCon's concepts (Daneshjou et al., NeurIPS 2022): `ImageID` and 48 columns of 0 and 1;
* SkinCAP's captions (Zhou et al. 2024; no redistribution): `skincap_file_path`, `ori_file_path`,
  `caption_zh_polish_en`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from skinflow_jax.clinical.description import described
from skinflow_jax.clinical.names import find
from skinflow_jax.data.sources.case import Caption, Case
from skinflow_jax.data.sources.id_lists import bare, matched, read_ids
from skinflow_jax.data.sources.image_files import ImageFiles
from skinflow_jax.data.sources.partial import with_images
from skinflow_jax.data.sources.patient_facts import known, skin_type
from skinflow_jax.data.sources.pictures import Picture
from skinflow_jax.data.sources.skin_words import read_skincap, read_skincon
from skinflow_jax.data.sources.skincon_concepts import caption_of_concepts
from skinflow_jax.data.sources.table import read_table
from skinflow_jax.data.sources.table_row import TableRow
from skinflow_jax.data.sources.whole_source import TableOptions, WholeSource
from skinflow_jax.errors import InputError
from skinflow_jax.typed_fields import Place

NINE = (
    *("benign dermal", "benign epidermal", "benign melanocyte", "genodermatoses", "inflammatory"),
    *("malignant cutaneous lymphoma", "malignant dermal", "malignant epidermal"),
    "malignant melanoma",
)
THREE = ("benign", "malignant", "non-neoplastic")
_COLUMNS = (
    "md5hash",
    "fitzpatrick_scale",
    "label",
    "nine_partition_label",
    "three_partition_label",
)
_FILE = Annotated[str, Place()] | None


@dataclass(frozen=True)
class Fitzpatrick17kOptions(TableOptions):
    """Files below the data root; None for what is not there.

    `keep`, `exclude`: lists of md5 names, one a line or as a table with `md5hash`; a table that
    also has `partition` says the split. `exclude_qc`: checks of the owners whose rows are left out.
    """

    keep: _FILE = None
    exclude: _FILE = None
    skincon: _FILE = None
    skincap: _FILE = None
    exclude_qc: tuple[str, ...] = ("3 Wrongly labelled",)


class Fitzpatrick17kSource(WholeSource[TableRow]):
    """The photographs that are there, of the rows that the lists leave.

    The table names no patient: an image is its own group, and near-duplicates have to be found by
    their pixels. Captions come from SkinCon's concepts, and of fields that they leave open from
    what SkinCAP's text states; the text is a column, `skincap_caption`, since it may name the
    disease.
    """

    Options = Fitzpatrick17kOptions
    name: ClassVar[str] = "fitzpatrick17k"
    note: ClassVar[str] = (
        "Fitzpatrick17k, Groh et al. 2021: CC BY-NC-SA 3.0, not for commercial use; the images "
        "belong to the atlases they come from"
    )

    def __init__(self, root: str | Path, options: Fitzpatrick17kOptions | None = None):
        """Reads the tables and lists the images; decodes none."""
        self.options = options or self.Options()
        self.root = Path(root)
        self.table = path = self.options.table_in(self.root, "fitzpatrick17k.csv")
        table = read_table(path, _COLUMNS, remedy="the data root must hold Fitzpatrick17k's table")
        rows, repeated = table.unique("md5hash")
        self.remarks = (*table.remarks, *repeated)
        names = {_name(row) for row in table.rows}
        rows = self._listed(self._checked(rows), names)
        self._images = ImageFiles(self.root / (self.options.images or ""))
        self._entries, absent = with_images(rows, self._images, _name, path)
        self.remarks += absent
        self._concepts = self._joined(self.options.skincon, read_skincon, names)
        self._captions = self._joined(self.options.skincap, read_skincap, names)
        labels = {found.name for row in table.rows if (found := find(row.raw("label")))}
        self.diagnoses = tuple(sorted(labels))

    def _checked(self, rows: list[TableRow]) -> list[TableRow]:
        """Without the rows that the owners' check refuses."""
        refused = [row for row in rows if row.raw("qc") in self.options.exclude_qc]
        if refused and self.options.exclude_qc:
            kinds = ", ".join(sorted({row.raw("qc") for row in refused}))
            self.remarks += (f"{len(refused):,} rows left out by the owners' check: {kinds}",)
        return [
            row for row in rows if not row.raw("qc") or row.raw("qc") not in self.options.exclude_qc
        ]

    def _listed(self, rows: list[TableRow], names: set[str]) -> list[TableRow]:
        """What the lists of the options leave; fills the splits that one of them names.

        `names` are those of the whole table.
        """
        self._splits: dict[str, str] = {}
        for option, kept in ((self.options.keep, True), (self.options.exclude, False)):
            if option is None:
                continue
            path = self.root / option
            listed = read_ids(path, "md5hash")
            self.remarks += matched(listed, names, path, "in the table")
            before = len(rows)
            rows = [row for row in rows if not _name(row) or (_name(row) in listed) == kept]
            self.remarks += (f"{before - len(rows):,} of {before:,} rows left out by {path}",)
            if kept:
                self._splits = listed
        if not rows:
            raise InputError(f"{self.root}: the lists keep and exclude leave no row; mend them")
        return rows

    def _joined(self, option: str | None, read, names: set[str]) -> dict:
        if option is None:
            return {}
        path = self.root / option
        found, remarks = read(path, names)
        self.remarks += (*remarks, *matched(found, names, path, "in the table"))
        return found

    def _case(self, row: TableRow) -> Case:
        label = row.needed("label")
        disease = find(label)
        if disease is None:
            raise row.wrong("label", "one of the 114 conditions of Fitzpatrick17k")
        name = _name(row)
        concepts = self._concepts.get(name, [])
        extra = known(skincon=concepts or None, skincap_caption=self._captions.get(name))
        return Case(
            case_id=row.needed("md5hash"),
            group=name,
            caption=_targets(concepts, self._captions.get(name, "")),
            diagnosis=disease.name,
            attributes=known(
                fitzpatrick=skin_type(row, "fitzpatrick_scale"),
                nine_partition=row.choice("nine_partition_label", NINE),
                three_partition=row.choice("three_partition_label", THREE),
                quality=row.text("qc"),
            ),
            views=("clinical",),
            columns=row.columns() | extra,
            split=self._splits.get(name, ""),
        )

    def _pictures(self, row: TableRow) -> list[Picture]:
        row.needed("md5hash")
        return [self._images.by_stem(_name(row), row.where("md5hash"))]


def _targets(concepts: list[str], text: str) -> Caption:
    """Caption fields of SkinCon, else of SkinCAP: the first was annotated field by field."""
    stated = {field: v[0] if len(v) == 1 else v for field, v in described(text).items()}
    return stated | caption_of_concepts(concepts)


def _name(row: TableRow) -> str:
    return bare(row.raw("md5hash")) if row.raw("md5hash") else ""
