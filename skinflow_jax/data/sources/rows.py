"""Rows as training stacks write them: each with its images, its own question and its answer.

One reader for the rows of TRL, EasyR1, verl, ms-swift, LLaMA-Factory, VLM-R1 and OpenRLHF, as JSON
Lines, a JSON array, parquet or CSV (see `row_fields` for their forms).
"""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from skinflow_jax.clinical.names import find
from skinflow_jax.data.sources.case import Case
from skinflow_jax.data.sources.diagnosis_names import canonical_name
from skinflow_jax.data.sources.image_files import ImageFiles
from skinflow_jax.data.sources.pictures import BytesPicture, Picture, from_base64
from skinflow_jax.data.sources.row_fields import (
    RowContent,
    answer_words,
    as_text,
    check_characters,
    looked_up,
    read_row,
)
from skinflow_jax.data.sources.row_files import RowFile, open_rows, row_digest
from skinflow_jax.data.sources.whole_source import WholeSource
from skinflow_jax.errors import InputError, printable, shortened
from skinflow_jax.typed_fields import Place, check_fields, shown

Entry = tuple[RowFile, int]
_IMAGE_FIELDS = ("bytes", "path", "image")  # of an image that is an object of its own
_NO_ROWS = ("dataset_info.json", "dataset_infos.json")  # LLaMA-Factory's and Hugging Face's lists


@dataclass(frozen=True)
class RowsOptions:
    """Which files hold the rows, and what their owner calls the fields.

    `files`: below the data root; all of this kind in it when empty. `images`: the folder that paths
    of images start from. A field "" is looked for under its usual names; `a.b` is b inside a. The
    group of a row is the row itself unless `group_field` names the patient or lesion. `mask_field`:
    an image, white on the lesion of the first image.
    """

    files: tuple[Annotated[str, Place()], ...] = ()
    images: Annotated[str, Place()] | None = None
    prompt_field: str = ""
    answer_field: str = ""
    image_field: str = ""
    id_field: str = "id"
    group_field: str = ""
    diagnosis_field: str = ""
    split_field: str = ""
    mask_field: str = ""

    def __post_init__(self):
        check_fields(self, "data.options.")


class RowsSource(WholeSource[Entry]):
    """The rows of some files, each a case with its own prompt and answer.

    `Case.diagnosis` is the field that the options name, or else the answer where it is the name of
    a disease. Every field but question and images is in `Case.columns`, the answer's too, so that a
    reward finds it under its owner's name.

    Raises InputError where there is no file or none can be read.
    """

    Options = RowsOptions
    name: ClassVar[str] = "jsonl"
    suffixes: ClassVar[tuple[str, ...]] = (".jsonl", ".json")

    def __init__(self, root: str | Path, options: RowsOptions | None = None):
        """Reads each row once, for its id; decodes no image."""
        self.options = options or self.Options()
        self.root = Path(root)
        self._images = ImageFiles(self.root / (self.options.images or ""))
        files = [open_rows(path) for path in self._files()]
        rows = [(file, index) for file in files for index in range(len(file))]
        self._entries, self.remarks, self.diagnoses = self._unique(rows)

    def _files(self) -> list[Path]:
        if self.options.files:
            return [self.root / name for name in self.options.files]
        found = sorted(
            path
            for path in self.root.iterdir()
            if path.suffix.lower() in self.suffixes and path.name not in _NO_ROWS
        )
        if not found:
            raise InputError(
                f"{self.root}: holds no {' or '.join(self.suffixes)}; give the folder of the rows, "
                "or their files as data.options.files"
            )
        return found

    def _unique(self, rows: list[Entry]):
        """Rows whose id no other has, remarks about the others, and all diagnoses."""
        by_id: dict[str, list[tuple[Entry, str]]] = defaultdict(list)
        names = set()
        for entry in rows:
            file, index = entry
            where = file.where(index)
            try:
                row = file.row(index)
                names.add(self._diagnosis(row, self._content(row, where).answer))
                key, digest = self._id(row) or where, row_digest(row)
            except InputError:  # it will say so itself
                key, digest = where, ""
            by_id[key].append((entry, digest))
        kept, remarks = [], []
        for key, alike in by_id.items():
            agree = len({digest for _, digest in alike}) == 1
            if agree:
                kept.append(alike[0][0])
            if len(alike) > 1:
                where = ", ".join(file.where(index) for (file, index), _ in alike[:5])
                what = "agree: the later" if agree else "differ: all"
                remarks.append(
                    f"rows of id {shortened(printable(key), 60)} {what} left out: {where}"
                )
        return kept, tuple(remarks), tuple(sorted(names - {""}))

    def _id(self, row: dict[str, Any]) -> str:
        return as_text(looked_up(row, self.options.id_field)) if self.options.id_field else ""

    def _content(self, row: dict[str, Any], where: str) -> RowContent:
        names = self.options
        return read_row(
            row,
            where,
            prompt=names.prompt_field,
            answer=names.answer_field,
            image=names.image_field,
        )

    def _diagnosis(self, row: dict[str, Any], answer: str) -> str:
        if self.options.diagnosis_field:
            return canonical_name(as_text(looked_up(row, self.options.diagnosis_field)))
        found = find(answer_words(answer))
        return found.name if found else ""

    def _case(self, entry: Entry) -> Case:
        file, index = entry
        row, where = file.row(index), file.where(index)
        content = self._content(row, where)
        case_id = self._id(row) or where.removeprefix(f"{self.root}/")
        group = self._group(row, where) or case_id
        split = as_text(looked_up(row, self.options.split_field))
        diagnosis = self._diagnosis(row, content.answer)
        for text in (case_id, group, split, diagnosis):
            check_characters(text, where)
        return Case(
            case_id=case_id,
            group=group,
            caption={},
            diagnosis=diagnosis,
            views=("",) * len(content.images),
            prompt=content.prompt,
            answer=content.answer,
            columns={k: v for k, v in content.columns.items() if k != self.options.mask_field},
            split=split,
            mask=bool(self._mask(entry)),
        )

    def _group(self, row: dict[str, Any], where: str) -> str:
        name = self.options.group_field
        group = as_text(looked_up(row, name)) if name else ""
        if name and not group:
            raise InputError(
                f"{where}: {name} is empty: without it nobody knows whose image this is; fill it "
                "or remove the row"
            )
        return group

    def _pictures(self, entry: Entry) -> list[Picture]:
        file, index = entry
        where = file.where(index)
        images = self._content(file.row(index), where).images
        return [self._picture(image, f"{where}: image {n}") for n, image in enumerate(images, 1)]

    def _mask(self, entry: Entry) -> Picture | None:
        file, index = entry
        image = looked_up(file.row(index), self.options.mask_field)
        where = f"{file.where(index)}: {self.options.mask_field}"
        return self._picture(image, where) if image else None

    def _picture(self, image: Any, where: str) -> Picture:
        if isinstance(image, dict):
            image = next((image[key] for key in _IMAGE_FIELDS if image.get(key)), image)
        if isinstance(image, bytes):
            return BytesPicture(where, image)
        if not isinstance(image, str):
            raise InputError(
                f"{where} is {shown(image)}; give a path, base64, or bytes inside parquet"
            )
        return from_base64(image, where) or self._images.named(image.strip(), where)


class ParquetSource(RowsSource):
    """The rows of parquet files; needs `pip install 'skinflow-jax[parquet]'`."""

    name = "parquet"
    suffixes = (".parquet",)
