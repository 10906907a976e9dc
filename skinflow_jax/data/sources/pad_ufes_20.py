"""PAD-UFES-20: clinical photographs of six skin conditions with patient metadata.

Pacheco et al., "PAD-UFES-20: a skin lesion dataset composed of patient data and clinical images
collected from smartphones", Data in Brief 2020 (Mendeley Data, zr7vgbcyr2). Expected under the data
root: `metadata.csv`, and the images in `images/` or `imgs_part_1/` … as `.png` or `.jpg`.
"""

import csv
import math
from pathlib import Path

import numpy as np

from skinflow_jax.clinical.measures import size_value
from skinflow_jax.data.images import load_image
from skinflow_jax.data.sources.case import Caption, Case
from skinflow_jax.data.sources.group_split import split_by_group
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

# The held-out fifth is the same whatever is done with the rest: 47 of 235 images in the small
# release, 460 of 2,298 in the full one.
FRACTIONS = {"heldout": 0.2, "warmup": 0.4, "rl": 0.4}


class PadUfes20Source:
    """One split of PAD-UFES-20, cut by patient.

    Args:
        data_root: folder with `metadata.csv` and the images.
        split: "warmup" (40 % of the images), "rl" (40 %) or "heldout" (20 %).
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
        rows = _read_table(self.table)
        members = split_by_group(
            [row["patient_id"] for _, row in rows],
            [row["diagnostic"] for _, row in rows],
            FRACTIONS,
            seed,
        )[split]
        self._rows = [rows[i] for i in members][:count]
        if not self._rows:
            raise InputError(f"{self.table}: {len(rows)} rows are too few for a split {split!r}")
        self._images = _list_images(self.root)

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
            case_id=Path(row["img_id"]).stem,
            group=row["patient_id"],
            caption=self._caption(line, row),
            diagnosis=self._diagnosis(line, row),
            attributes=self._attributes(line, row),
        )

    def image(self, index: int) -> np.ndarray:
        """The photograph, uint8 [H, W, 3]; raises InputError naming a missing or damaged file."""
        line, row = self._rows[index]
        stem = Path(row["img_id"]).stem
        if stem not in self._images:
            raise InputError(
                f"{self.table} row {line}: no image {stem}.png or .jpg under {self.root}/images "
                "or imgs_part_*; add the file or remove the row"
            )
        return load_image(self._images[stem])

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
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not 0 <= value < 1000:
            raise InputError(
                f"{self.table} row {line}: {column} is {text!r}, expected a number or nothing"
            )
        return value


def _read_table(path: Path) -> list[tuple[int, dict[str, str]]]:
    """The rows with their line numbers, cells stripped; every row names a patient and an image."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restval="")
            missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
            if missing:
                raise InputError(
                    f"{path}: needs a column {missing[0]!r} (has {len(reader.fieldnames or ())} "
                    "columns); use the metadata.csv of PAD-UFES-20"
                )
            rows = [(reader.line_num, {c: row[c].strip() for c in COLUMNS}) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"{path}: cannot read this table ({error}); --data-root must be the folder of "
            "PAD-UFES-20 with metadata.csv in it"
        ) from error
    if not rows:
        raise InputError(f"{path}: has no rows")
    for line, row in rows:
        for column in ("patient_id", "img_id"):
            if not row[column]:
                raise InputError(f"{path} row {line}: {column} is empty; name it or remove the row")
    return rows


def _list_images(root: Path) -> dict[str, Path]:
    """Images by stem: the table says `.png` where users may hold `.jpg`."""
    folders = [root / "images", *sorted(root.glob("imgs_part_*"))]
    found = sorted(
        path
        for folder in folders
        for path in folder.rglob("*")
        if path.suffix.lower() in (".png", ".jpg", ".jpeg")
    )
    if not found:
        raise InputError(f"{root}: no .png or .jpg files in images/ or imgs_part_*/")
    return {path.stem: path for path in found}
