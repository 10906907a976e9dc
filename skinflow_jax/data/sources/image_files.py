"""The image files of a data set, found by what its tables say: a path, a name or a stem.

Nothing outside the folder is ever opened, whatever a table or a link says: who prepares a table for
others must not be able to read their files.
"""

import os
import re
from collections import defaultdict
from pathlib import Path, PurePath, PurePosixPath

from skinflow_jax.data.sources.pictures import FilePicture, file_digest
from skinflow_jax.errors import InputError, printable, shortened

SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif"),
    *(".heic", ".heif", ".avif"),  # found, to be refused by their names
)
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/")


class ImageFiles:
    """The images in `root` and the folders below it.

    Args:
        root: the data set's folder, or the folder of its images; it may itself be a link.

    Raises InputError where it is no folder.
    """

    def __init__(self, root: Path):
        self.root = root
        if not root.is_dir():
            raise InputError(f"{root} is no folder: give the one that holds the images")
        self._real = root.resolve()
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        self._by_stem: dict[str, list[Path]] = defaultdict(list)
        self._walked: set[Path] = set()
        self._links: list[Path] = []
        self.others: list[Path] = []  # files that are no images by their endings, nor hidden
        self._walk()

    def _walk(self) -> None:
        for folder, folders, names in os.walk(self.root):
            folders.sort()
            here = Path(folder)
            # os.walk does not go into links: what they lead to is here already, or outside.
            links = [here / name for name in folders if (here / name).is_symlink()]
            self._links += [link for link in links if not self._inside(link)]
            for name in sorted(names):
                stem, suffix = os.path.splitext(name)
                if suffix.lower() in SUFFIXES:
                    path = here / name
                    self._walked.add(path)
                    self._by_name[name.casefold()].append(path)
                    self._by_stem[stem].append(path)
                elif not name.startswith("."):
                    self.others.append(here / name)

    def __len__(self) -> int:
        """The number of image files."""
        return sum(map(len, self._by_name.values()))

    def at(self, path: Path, where: str) -> FilePicture:
        """One of `paths`; raises InputError where it is a link that leaves the root."""
        return self._checked(path, where)

    def paths(self) -> list[Path]:
        """All of them, sorted."""
        return sorted(path for paths in self._by_name.values() for path in paths)

    def has_stem(self, stem: str) -> bool:
        """Whether there is an image of that name, whatever its ending."""
        return stem in self._by_stem

    def by_stem(self, stem: str, where: str) -> FilePicture:
        """The image `stem` with any ending; `where` says which cell names it, for messages.

        Raises InputError where there is none, or several that differ.
        """
        found = self._by_stem.get(stem)
        if not found:
            raise self._absent(f"{stem}.jpg (or another ending)", where)
        return self._only(found, where)

    def mask_of(self, stem: str, where: str) -> FilePicture | None:
        """The mask of an image as ISIC's challenges name it, `<stem>_segmentation.png`."""
        name = f"{stem}_segmentation"
        return self.by_stem(name, where) if self.has_stem(name) else None

    def named(self, text: str, where: str) -> FilePicture:
        """The image at the path `text` below the root, whose upper folders may lack or be more.

        Archives are unpacked with and without them. Raises InputError where there is none, several
        that differ, or where the path is an address or leaves the root.
        """
        named = shortened(printable(text), 100)
        if _ADDRESS.match(text):
            raise InputError(
                f"{where} is the address {named}: images are not fetched; download it and give its "
                "path"
            )
        if "\0" in text or not PurePosixPath(text).name:
            raise InputError(f"{where} is {named!r}, which names no file; give a path")
        parts = PurePosixPath(text.replace("\\", "/"))
        if ".." in parts.parts or (parts.is_absolute() and not self._inside(Path(parts))):
            raise InputError(f"{where} is {named}, which leaves {self.root}; give a path below it")
        found = self._candidates(parts)
        if not found:
            raise self._absent(named, where)
        return self._only(found, where)

    def has_named(self, text: str) -> bool:
        """Whether `named` would find something, wherever it lies."""
        return bool(self._candidates(PurePosixPath(text.replace("\\", "/"))))

    def _candidates(self, parts: PurePosixPath) -> list[Path]:
        """The file at that path, or those whose path ends like it as far as both go.

        The same name in another folder is another image. Cameras and archives differ in the case
        of letters.
        """
        stated = _reversed(parts)
        found = []
        for path in self._by_name.get(parts.name.casefold(), ()):
            pairs = zip(_reversed(path.relative_to(self.root)), stated, strict=False)
            if all(own == other for own, other in pairs):
                found.append(path)
        exact = self.root / parts
        if exact in found or (not found and exact.is_file()):
            return [exact]
        return found

    def _only(self, found: list[Path], where: str) -> FilePicture:
        first, *others = [self._checked(path, where) for path in found]
        for other in others:
            if file_digest(other.path) != file_digest(first.path):
                raise InputError(
                    f"{where}: {first.path} and {other.path} differ; remove the one that is wrong"
                )
        return first

    def _checked(self, path: Path, where: str) -> FilePicture:
        if not self._inside(path):
            raise InputError(
                f"{where}: {path} is a link that leaves {self.root}; copy the file, or give the "
                "folder that it leads to"
            )
        return FilePicture(path)

    def _inside(self, path: Path) -> bool:
        # Of what the walk found, which goes into no linked folder, only a link can lead elsewhere.
        if path in self._walked and not os.path.islink(path):
            return True
        try:
            return path.resolve().is_relative_to(self._real)
        except (OSError, RuntimeError):  # a link to itself
            return False

    def _absent(self, named: str, where: str) -> InputError:
        links = ""
        if self._links:
            links = f" (the link {self._links[0]} leaves it and was not followed)"
        return InputError(
            f"{where}: no image {named} below {self.root}{links}; add the file or remove the row"
        )


def _reversed(path: PurePath) -> list[str]:
    return [part.casefold() for part in reversed(path.parts)]
