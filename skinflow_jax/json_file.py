"""JSON objects in files: one reader, one wording of what is wrong with them, one writer."""

import contextlib
import json
import math
import os
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skinflow_jax.errors import ConfigError, InputError, printable, shortened
from skinflow_jax.typed_fields import shown, typed


def read_json(path: Path) -> dict[str, Any]:
    """The object in `path`; a byte order mark before it is passed over.

    Raises InputError naming the file when it is absent or cannot be read, is not JSON, names a key
    twice in one object, holds a number that is not finite, or holds something else than an object.
    """
    try:
        found = json.loads(
            path.read_bytes().decode("utf-8-sig"),
            object_pairs_hook=unique_keys,
            parse_constant=_finite,
            parse_float=_finite,
        )
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist: is its folder the right one?") from error
    except (IsADirectoryError, NotADirectoryError, PermissionError) as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not valid JSON: not UTF-8 text: restore the file") from error
    except RecursionError as error:
        raise InputError(
            f"{path} is not valid JSON: it is nested too deeply: restore the file"
        ) from error
    except ValueError as error:
        check_fetched(path)
        raise InputError(f"{path} is not valid JSON ({error}): restore the file") from error
    if not isinstance(found, dict):
        raise InputError(
            f"{path} must hold a JSON object, not a {type(found).__name__}: restore the file"
        )
    return found


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write an object as `read_json` reads it, indented, for people too."""
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def json_line(content: Any) -> str:
    """JSON on one line, whose text comes back equal from any reader, line by line, in UTF-8.

    Where something in it is not printable, all that is not ASCII is escaped: separators of lines
    that some readers split at, direction marks that a terminal obeys, lone surrogates that cannot
    be written. Two of these that make a pair come back as the one character that they stand for.
    """
    text = json.dumps(content, ensure_ascii=False)
    return text if text.isprintable() else json.dumps(content)


def check_fetched(path: Path) -> None:
    """Raise InputError where what should be a file is only a pointer to it, or cannot be read.

    A git clone without Git LFS leaves such a pointer, a cache that was cleaned or copied without
    its blobs a link that leads nowhere: that is not the same as no file.
    """
    if not path.is_file():
        if os.path.lexists(path):
            kind = "a link that leads nowhere" if path.is_symlink() else "no file"
            raise InputError(f"{path} is {kind}: fetch the folder again")
        return
    with _readable(path) as file:
        if file.read(len(_POINTER)) == _POINTER:
            raise InputError(
                f"{path} is a pointer of Git LFS, not the file itself: fetch it by git lfs pull"
            )


@contextlib.contextmanager
def _readable(path: Path):
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error


_POINTER = b"version https://git-lfs"


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """For `object_pairs_hook`. Raises ValueError naming a key that occurs twice in an object."""
    found = dict(pairs)
    if len(found) < len(pairs):
        (twice, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {shortened(repr(twice), 60)} occurs twice")
    return found


def _finite(text: str) -> float:
    """A number as JSON writes it; `NaN` and `Infinity` are none, and 1e999 becomes infinite."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a finite number")
    return number


@dataclass(frozen=True)
class FieldTable:
    """Every field that an object of someone else's may hold; any other is refused by name.

    Attributes:
      read: name to its declared type (see `typed_fields.typed`).
      fixed: name to the values under which the file means what this program computes.
      harmless: name to its declared type, of what changes nothing here.
    """

    read: Mapping[str, Any] = field(default_factory=dict)
    fixed: Mapping[str, Collection[Any]] = field(default_factory=dict)
    harmless: Mapping[str, Any] = field(default_factory=dict)

    def __contains__(self, name: str) -> bool:
        return name in self.read or name in self.fixed or name in self.harmless

    def checked(self, stated: Any, path: Path, group: str = "") -> dict[str, Any]:
        """The fields of `read` that `stated` holds, as declared.

        `group`: the object in the file that `stated` is, with a dot. Raises InputError naming file,
        field, value and remedy.
        """
        if not isinstance(stated, Mapping):
            raise InputError(f"{path}: {group[:-1]}={shown(stated)} must be an object: correct it")
        for name, values in self.fixed.items():
            if name in stated and not any(_same(stated[name], value) for value in values):
                raise InputError(
                    f"{path}: {group}{name} is {shown(stated[name])}, and only "
                    f"{' or '.join(json.dumps(value) for value in values)} is supported: "
                    "use a model or file with that"
                )
        for name in stated:
            if name not in self:
                raise InputError(
                    f"{path}: {group}{shortened(printable(name), 60)} is a field that this "
                    "program does not know: remove it if it changes nothing in what is computed"
                )
        declared = {**self.read, **self.harmless}
        try:
            found = {
                name: typed(declared[name], value, group + name)
                for name, value in stated.items()
                if name in declared
            }
        except ConfigError as error:
            problem = printable(str(error)).removeprefix("config ")
            raise InputError(f"{path}: {problem}: correct it") from error
        return {name: value for name, value in found.items() if name in self.read}


def _same(value: Any, expected: Any) -> bool:
    """Equal as JSON has it: true is not 1, but 1 is 1.0."""
    if isinstance(expected, list):
        alike = isinstance(value, list) and len(value) == len(expected)
        return alike and all(map(_same, value, expected))
    return isinstance(value, bool) == isinstance(expected, bool) and value == expected
