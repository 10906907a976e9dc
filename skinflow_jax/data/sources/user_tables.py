"""A table of the user's own: which of its columns is what stands in the config."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

from skinflow_jax.clinical.schema import Schema
from skinflow_jax.data.sources.case import Caption, Case
from skinflow_jax.data.sources.diagnosis_names import canonical_name
from skinflow_jax.data.sources.image_files import ImageFiles
from skinflow_jax.data.sources.patient_facts import age, known, sex, skin_type
from skinflow_jax.data.sources.pictures import Picture
from skinflow_jax.data.sources.row_fields import check_characters, marked
from skinflow_jax.data.sources.table import read_table
from skinflow_jax.data.sources.table_row import TableRow
from skinflow_jax.data.sources.whole_source import TableOptions, WholeSource
from skinflow_jax.errors import ConfigError, InputError
from skinflow_jax.typed_fields import Several, Text

_COLUMN = Annotated[str, Text()]
_FACTS = {"fitzpatrick": skin_type, "age": age, "sex": sex}


@dataclass(frozen=True)
class CsvOptions(TableOptions):
    """The columns of a CSV file with a header.

    `image_columns`: one for each image of a case, paths below the folder of images; a case may
    leave later ones empty. `views`: what each shows, such as ("clinical", "dermoscopic").
    `mask_column`: an image, white on the lesion of the first image, where a case has one.
    `id_column`: what tells cases apart, else the first image. `group_column`: the patient or
    lesion, else each case is its own group. `labels`: the owner's label to the name of a diagnosis;
    when given, another label is refused. `caption`: a field of the schema to its column.
    `attributes`: a fact for subgroups, such as fitzpatrick, age or sex, to its column.
    """

    image_columns: Annotated[tuple[_COLUMN, ...], Several()] = ("image",)
    views: tuple[str, ...] = ()
    id_column: _COLUMN | None = None
    group_column: _COLUMN | None = None
    diagnosis_column: _COLUMN | None = None
    split_column: _COLUMN | None = None
    mask_column: _COLUMN | None = None
    prompt_column: _COLUMN | None = None
    answer_column: _COLUMN | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    caption: Mapping[_COLUMN, _COLUMN] = field(default_factory=dict)
    attributes: Mapping[str, _COLUMN] = field(default_factory=dict)

    def __post_init__(self):
        super().__post_init__()
        if self.views and len(self.views) != len(self.image_columns):
            raise ConfigError(
                f"data.options.views names {len(self.views)} views of {len(self.image_columns)} "
                "image_columns; name one each"
            )

    @property
    def named(self) -> list[str]:
        """All columns that the table must have."""
        single = (self.id_column, self.group_column, self.diagnosis_column, self.split_column)
        columns = (*self.image_columns, self.mask_column, *single)
        columns += (self.prompt_column, self.answer_column)
        columns += (*self.caption.values(), *self.attributes.values())
        return list(dict.fromkeys(column for column in columns if column))


class CsvSource(WholeSource[TableRow]):
    """The rows of a CSV file, each a case; all its columns are in `Case.columns`."""

    Options = CsvOptions
    name: ClassVar[str] = "csv"

    def __init__(self, root: str | Path, options: CsvOptions | None = None):
        """Reads the table and lists the images; decodes none."""
        self.options = options or CsvOptions()
        root = Path(root)
        path = self._table(root)
        table = read_table(
            path,
            self.options.named,
            remedy="name its columns in data.options (image_columns, diagnosis_column, …)",
            free_text=tuple(filter(None, (self.options.prompt_column, self.options.answer_column))),
        )
        self._key = self.options.id_column or self.options.image_columns[0]
        self._entries, repeated = table.unique(self._key)
        self.remarks = (*table.remarks, *repeated)
        self._images = ImageFiles(root / (self.options.images or ""))
        self.diagnoses = tuple(sorted({self._name(row) for row in self._entries} - {""}))

    def take_schema(self, schema: Schema) -> None:
        """As `WholeSource.take_schema`."""
        for name in self.options.caption:
            if name not in schema.fields:
                raise ConfigError(
                    f"data.options.caption names {name!r}, which is no field of the caption "
                    f"schema: choose from {', '.join(schema.fields)}"
                )
        super().take_schema(schema)

    def _table(self, root: Path) -> Path:
        if self.options.table is not None:
            return root / self.options.table
        found = sorted(root.glob("*.csv"))
        if len(found) != 1:
            raise InputError(
                f"{root}: holds {len(found)} CSV files; name one as data.options.table"
            )
        return found[0]

    def _name(self, row: TableRow) -> str:
        """The diagnosis, "" where the row has none or one that is not in `labels`."""
        label = row.raw(self.options.diagnosis_column or "")
        if row.fault or not row.text(self.options.diagnosis_column or ""):
            return ""
        if self.options.labels:
            return canonical_name(self.options.labels.get(label, ""))
        return canonical_name(label)

    def _case(self, row: TableRow) -> Case:
        names = self.options
        case_id = row.needed(self._key)
        if names.labels and row.text(names.diagnosis_column or ""):
            row.choice(names.diagnosis_column, names.labels)
        images = [column for column in names.image_columns if row.text(column)]
        if not images:
            raise InputError(f"{row.where(names.image_columns[0])} is empty; name the image")
        views = dict(zip(names.image_columns, names.views, strict=False))
        return Case(
            case_id=case_id,
            group=row.needed(names.group_column) if names.group_column else case_id,
            caption=self._caption(row),
            diagnosis=self._name(row),
            attributes=known(**{fact: _fact(row, fact, c) for fact, c in names.attributes.items()}),
            views=tuple(views.get(column, "") for column in images),
            prompt=self._question(row, len(images)),
            answer=row.raw(names.answer_column or ""),
            columns=row.columns(),
            split=row.text(names.split_column or ""),
            mask=bool(row.text(names.mask_column or "")),
        )

    def _question(self, row: TableRow, images: int) -> str:
        column = self.options.prompt_column
        if not column:
            return ""
        question = marked(row.needed(column), images, row.where(column))
        check_characters(question, row.where(column))
        return question

    def _caption(self, row: TableRow) -> Caption:
        found = {}
        for name, column in self.options.caption.items():
            known = self.schema.fields[name]
            words = [part.strip() for part in row.text(column).split("|") if part.strip()]
            values = [known.canonical(word) for word in words]
            if None in values:
                raise row.wrong(column, f"{', '.join(known.values)}, parted by |")
            if len(values) > 1 and not known.many:
                raise row.wrong(column, f"one value: {name} has no more")
            if values:
                found[name] = values[0] if len(values) == 1 else values
        return found

    def _pictures(self, row: TableRow) -> list[Picture]:
        columns = [column for column in self.options.image_columns if row.text(column)]
        return [self._images.named(row.text(column), row.where(column)) for column in columns]

    def _mask(self, row: TableRow) -> Picture | None:
        column = self.options.mask_column or ""
        return self._images.named(row.text(column), row.where(column)) if row.text(column) else None


def _fact(row: TableRow, fact: str, column: str) -> Any:
    return _FACTS[fact](row, column) if fact in _FACTS else row.text(column)
