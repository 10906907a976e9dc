"""A folder of images, one folder a class: `melanoma/a.jpg`, or `train/melanoma/a.jpg`."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from skinflow_jax.data.sources.case import Case
from skinflow_jax.data.sources.diagnosis_names import canonical_name
from skinflow_jax.data.sources.image_files import ImageFiles
from skinflow_jax.data.sources.pictures import Picture
from skinflow_jax.data.sources.whole_source import WholeSource
from skinflow_jax.errors import ConfigError, InputError, printable
from skinflow_jax.typed_fields import check_fields

SPLITS = ("train", "training", "val", "valid", "validation", "test", "testing")


@dataclass(frozen=True)
class FolderOptions:
    """What the names of folders and files mean.

    `labels`: a folder's name to the name of a diagnosis; when given, another folder is refused.
    `group_pattern`: a regular expression with one group that finds the patient or lesion in the
    path below the root, such as "(P[0-9]+)_"; without it each image is its own group.
    """

    labels: Mapping[str, str] = field(default_factory=dict)
    group_pattern: str = ""

    def __post_init__(self):
        check_fields(self, "data.options.")
        try:
            groups = re.compile(self.group_pattern).groups
        except (re.error, OverflowError, RecursionError) as error:
            raise ConfigError(
                f"data.options.group_pattern={self.group_pattern!r} is no regular expression "
                f"({error}); correct it"
            ) from error
        if self.group_pattern and groups != 1:
            raise ConfigError(
                f"data.options.group_pattern={self.group_pattern!r} has {groups} groups; put "
                "parentheses around what names the patient or lesion"
            )


class FolderSource(WholeSource[Path]):
    """Every image in a folder of its class, or below it.

    Where all folders of the root are called train, val, test or so, they are splits, and the
    folders in them the classes. Underscores and hyphens of a folder's name are spaces.
    """

    Options = FolderOptions
    name: ClassVar[str] = "folder"

    def __init__(self, root: str | Path, options: FolderOptions | None = None):
        """Lists the images; decodes none."""
        self.options = options or FolderOptions()
        self.root = Path(root)
        self._images = ImageFiles(self.root)
        paths = self._images.paths()
        top = {path.relative_to(self.root).parts[0] for path in paths if path.parent != self.root}
        self._split_level = bool(top) and all(name.casefold() in SPLITS for name in top)
        depth = 2 + self._split_level
        self._entries = [p for p in paths if len(p.relative_to(self.root).parts) >= depth]
        if not self._entries:
            raise InputError(
                f"{self.root}: no image stands in a folder of its class; make a folder a class, "
                "such as melanoma/a.jpg"
            )
        bare = [path for path in paths if len(path.relative_to(self.root).parts) < depth]
        self.remarks = (
            *_counted(bare, "images left out, they stand in no folder of a class"),
            *_counted(self._images.others, "files left out, they are no images by their endings"),
        )
        self.diagnoses = tuple(sorted({self._name(self._label(p)) for p in self._entries} - {""}))

    def _label(self, path: Path) -> str:
        folder = path.relative_to(self.root).parts[1 if self._split_level else 0]
        return unicodedata.normalize("NFC", folder).strip()

    def _name(self, label: str) -> str:
        if self.options.labels:
            return canonical_name(self.options.labels.get(label, ""))
        return canonical_name(re.sub(r"[_-]+", " ", label))

    def _case(self, path: Path) -> Case:
        label, name = self._label(path), path.relative_to(self.root).as_posix()
        if not name.isprintable():
            raise InputError(
                f"{printable(str(path))}: its name holds what is no UTF-8 or does not print; "
                "rename it"
            )
        if self.options.labels and label not in self.options.labels:
            choices = ", ".join(self.options.labels)
            raise InputError(
                f"{path}: its folder {label!r} is none of data.options.labels: {choices}"
            )
        if not self._name(label):
            raise InputError(f"{path}: its folder has a blank name; call it after its class")
        return Case(
            case_id=name,
            group=self._group(path, name),
            caption={},
            diagnosis=self._name(label),
            split=path.relative_to(self.root).parts[0] if self._split_level else "",
        )

    def _group(self, path: Path, name: str) -> str:
        if not self.options.group_pattern:
            return name
        found = re.search(self.options.group_pattern, name)
        if found is None or not found[1]:
            raise InputError(
                f"{path}: data.options.group_pattern {self.options.group_pattern!r} finds no "
                "patient in it; rename the file or correct the pattern"
            )
        return found[1]

    def _pictures(self, path: Path) -> list[Picture]:
        return [self._images.at(path, "folder")]


def _counted(paths: list[Path], what: str) -> tuple[str, ...]:
    return (f"{len(paths):,} {what}, first {printable(str(paths[0]))}",) if paths else ()
