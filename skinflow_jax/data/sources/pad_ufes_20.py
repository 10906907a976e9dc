"""PAD-UFES-20: clinical photographs of six skin conditions with patient metadata.

Pacheco et al., "PAD-UFES-20: a skin lesion dataset composed of patient data and clinical images
collected from smartphones", Data in Brief 2020 (Mendeley Data, zr7vgbcyr2). Expected under the data
root: `metadata.csv`, and the images in `images/` or `imgs_part_1/` … as `.png` or `.jpg`.
"""

import re
from pathlib import Path

import numpy as np

from skinflow_jax.clinical.measures import size_value
from skinflow_jax.data.images import load_image
from skinflow_jax.data.sources.case import Caption, Case
from skinflow_jax.data.sources.csv_table import Row, read_table
from skinflow_jax.data.sources.group_split import few_groups, split_by_group, united_groups
from skinflow_jax.data.sources.image_folder import ImageFolder
from skinflow_jax.data.sources.repeated_rows import without_repeats
from skinflow_jax.errors import ConfigError, InputError

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
_UNKNOWN = ("", "UNK", "nan")

_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]*)?")

# The small release of 235 images and 220 patients splits 95, 95 and 45 by seed 0. Held out comes
# last, so that of patients who share an image none is held out where another is trained on.
FRACTIONS = {"warmup": 0.4, "rl": 0.4, "heldout": 0.2}


class PadUfes20Source:
    """One split of PAD-UFES-20, cut by patient.

    Patients whose photographs are the same file are one group. Rows that repeat an image id are
    left out. `remarks` tells of both, and of diagnoses with fewer than two patients in the split.

    Args:
        data_root: folder with `metadata.csv` and the images.
        split: "warmup" (40 % of the patients), "rl" (40 %) or "heldout" (20 %), about.
        seed: which patients go where.
        count: at most this many cases, in the order of the table; all when None.

    Raises InputError naming the file, and the column or row, when the table is missing or lacks a
    needed column, a patient is not named, or there are no images; ConfigError on a wrong option.
    """

    name = "pad_ufes_20"
    diagnoses = tuple(DIAGNOSES.values())

    def __init__(
        self, *, data_root: str | Path, split: str, seed: int, count: int | None = None
    ) -> None:
        """Reads the table and lists the images; decodes none."""
        if split not in FRACTIONS:
            choices = ", ".join(FRACTIONS)
            raise ConfigError(f"pad_ufes_20 source: split is {split!r}, choose from {choices}")
        if count is not None and count < 1:
            raise ConfigError(f"pad_ufes_20 source: count is {count}, need at least 1")
        self.root = Path(data_root)
        self.table = self.root / "metadata.csv"
        rows, repeated = without_repeats(_read_table(self.table), "img_id")
        if not rows:
            raise InputError(f"{self.table}: no row is left: {repeated[1]}; mend the table")
        self._images = ImageFolder(
            self.root, [self.root / "images", *sorted(self.root.glob("imgs_part_*"))]
        )
        patient_of = {row["img_id"]: row["patient_id"] for _, row in rows}
        twins = self._images.same_images(patient_of)
        united = united_groups([patient_of[stem] for stem in stems] for stems in twins)
        self._group = {patient: group[0] for group in united for patient in group}
        splits = split_by_group(list(patient_of.values()), FRACTIONS, seed, united)
        self._rows = [rows[i] for i in splits[split]][:count]
        if not self._rows:
            raise InputError(f"{self.table}: {len(rows)} rows are too few for a split {split!r}")
        by_stem = {row["img_id"]: row for _, row in rows}
        self.remarks = (
            *repeated,
            *(self._shared_image(stems, by_stem) for stems in twins),
            *self._few_patients(split),
        )

    def __len__(self) -> int:
        """The number of cases."""
        return len(self._rows)

    def case(self, index: int) -> Case:
        """What the metadata truly knows: the site, and the size where both diameters are given.

        Not taken: `elevation` (a raised lesion may be papule, plaque or nodule), `itch`, `grew`,
        `hurt`, `changed`, `bleed` (history, not to be seen). One lesion is the subject of each
        photograph, but whether others are in view is not recorded.

        Raises InputError naming the file, row and column of a bad entry.
        """
        line, row = self._rows[index]
        return Case(
            case_id=row["img_id"],
            group=self._group.get(row["patient_id"], row["patient_id"]),
            caption=self._caption(line, row),
            diagnosis=self._diagnosis(line, row),
            attributes=self._attributes(line, row),
        )

    def images(self, index: int) -> list[np.ndarray]:
        """The photograph, uint8 [H, W, 3]; raises InputError naming a missing or damaged file."""
        return [load_image(self._images.path(self._stem_with_image(index)))]

    def image_digests(self, index: int) -> list[str]:
        """sha256 of the photograph's file; raises InputError naming one that is missing."""
        return [self._images.digest(self._stem_with_image(index))]

    def _stem_with_image(self, index: int) -> str:
        line, row = self._rows[index]
        stem = row["img_id"]
        if stem not in self._images:
            raise InputError(
                f"{self.table} row {line}: no image {stem}.png or .jpg under {self.root}/images "
                "or imgs_part_*; add the file or remove the row"
            )
        return stem

    def _shared_image(self, stems: list[str], rows: dict[str, dict[str, str]]) -> str:
        names = ", ".join(f"{stem} of patient {rows[stem]['patient_id']}" for stem in stems)
        patients = {rows[stem]["patient_id"] for stem in stems}
        diagnoses = {rows[stem]["diagnostic"] for stem in stems}
        united = "; these patients are one group, in one split" if len(patients) > 1 else ""
        unclear = f"; its diagnosis is {' and '.join(sorted(diagnoses))}" * (len(diagnoses) > 1)
        return f"same image under several names: {names}{united}{unclear}"

    def _few_patients(self, split: str) -> list[str]:
        rows = [row for _, row in self._rows]
        groups = [self._group.get(row["patient_id"], row["patient_id"]) for row in rows]
        names = [DIAGNOSES.get(row["diagnostic"], "") for row in rows]
        return [f"{split}: {line}" for line in few_groups(groups, names, self.diagnoses)]

    def _diagnosis(self, line: int, row: dict[str, str]) -> str:
        code = row["diagnostic"]
        if code not in DIAGNOSES:
            known = ", ".join(DIAGNOSES)
            raise InputError(
                f"{self.table} row {line}: diagnostic is {code!r}, expected one of {known}"
            )
        return DIAGNOSES[code]

    def _caption(self, line: int, row: dict[str, str]) -> Caption:
        caption: Caption = {}
        diameters = [self._number(line, row, key) for key in ("diameter_1", "diameter_2")]
        # The larger diameter is only known when both are; the data set writes 0 for not measured.
        if all(diameters):
            caption["size"] = size_value(f"{max(diameters):.2f} mm")
        region = row["region"]
        if region in REGIONS:
            caption["location"] = region.lower()
        elif region not in _UNKNOWN:
            raise InputError(
                f"{self.table} row {line}: region is {region!r}, expected one of "
                f"{', '.join(sorted(REGIONS))} or nothing"
            )
        return caption

    def _attributes(self, line: int, row: dict[str, str]) -> dict[str, int | str]:
        attributes: dict[str, int | str] = {}
        fitzpatrick = self._number(line, row, "fitspatrick")
        if fitzpatrick:
            if fitzpatrick not in range(1, 7):
                raise InputError(
                    f"{self.table} row {line}: fitspatrick is {row['fitspatrick']!r}, "
                    "expected 1 to 6 or nothing"
                )
            attributes["fitzpatrick"] = int(fitzpatrick)
        age = self._number(line, row, "age")
        if age is not None:
            attributes["age"] = int(age)
        if row["gender"] not in _UNKNOWN:
            attributes["gender"] = row["gender"].lower()
        return attributes

    def _number(self, line: int, row: dict[str, str], column: str) -> float | None:
        text = row[column]
        if text in _UNKNOWN:
            return None
        # float() would also take 1_0, the digits of other scripts, infinity.
        if not _NUMBER.fullmatch(text) or float(text) >= 1000:
            raise InputError(
                f"{self.table} row {line}: {column} is {text!r}, expected a number or nothing"
            )
        return float(text)


def _read_table(path: Path) -> list[Row]:
    """The rows; every one names a patient and, without suffix, an image in the folders of images.

    The suffix is left out because the table says `.png` where users may hold `.jpg`.
    """
    rows = read_table(
        path, COLUMNS, remedy="--data-root must be the folder of PAD-UFES-20 and its metadata.csv"
    )
    for line, row in rows:
        for column in ("patient_id", "img_id"):
            if not row[column]:
                raise InputError(f"{path} row {line}: {column} is empty; name it or remove the row")
        name = row["img_id"]
        row["img_id"] = Path(name).stem
        if not row["img_id"].strip(".") or "/" in name or "\\" in name:
            raise InputError(
                f"{path} row {line}: img_id is {name!r}, expected the name of a file in the folder "
                "of images"
            )
    return rows
