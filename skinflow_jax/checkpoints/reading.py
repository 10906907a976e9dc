"""A checkpoint read so that nothing damaged is used: files, facts and arrays are compared first."""

import contextlib
import functools
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import jax
from jax.sharding import SingleDeviceSharding
from orbax.checkpoint import v1 as ocp

from skinflow_jax.checkpoints.agreement import by_the_first, together
from skinflow_jax.checkpoints.checksums import Damaged, Unreadable, check_files
from skinflow_jax.checkpoints.fingerprint import Fingerprint, fingerprint
from skinflow_jax.checkpoints.named_tensors import check_tensors, layout_hash, named_leaves, nested
from skinflow_jax.checkpoints.step_folders import read_seal, step_folders
from skinflow_jax.checkpoints.storage_errors import (
    SilentThreads,
    cause,
    hush_abandoned_work,
    is_ours,
)
from skinflow_jax.errors import ConfigError, InputError, one_line, printable
from skinflow_jax.models.config import VlmConfig
from skinflow_jax.storage.paths import is_bucket
from skinflow_jax.typed_fields import from_dict

STATE, MODEL_CONFIG, _LAYOUT = "state", "model_config", "layout"

T = TypeVar("T")
Say = Callable[[str], None]


def warn(text: str) -> None:
    """One line on stderr, from the first process."""
    if jax.process_index() == 0:
        print("skinflow:", printable(text), file=sys.stderr)


def newest_whole(folder: Path, *, before: int | None = None) -> int | None:
    """The newest step (earlier than `before`) whose files are whole; None without any.

    This process compares all of them itself.
    """
    for step in reversed(step_folders(folder)):
        if before is None or step < before:
            with contextlib.suppress(InputError):
                _check(folder / str(step), alone=True)
                return step
    return None


def whole_checkpoint(
    folder: Path, step: int | None = None, say: Say = warn
) -> tuple[int, dict[str, Any]]:
    """(step, facts) of the checkpoint that `load_step` takes, its files compared, no array read.

    All processes of a run must ask.
    """

    def load(where: Path) -> dict[str, Any]:
        return together(functools.partial(_check, where))[0]

    facts, found = load_step(folder, step, load, say)
    return found, facts


def load_step(folder: Path, step: int | None, load: Callable[[Path], T], say: Say) -> tuple[T, int]:
    """`load` of a step's folder and the step: the one asked for, or the newest that is whole.

    What is passed over is told to `say`. Raises InputError, in one line with the damage and the
    newest step that is whole, when the step asked for is damaged, or all are.
    """
    # Another machine's view of a shared folder may be some seconds old.
    steps = by_the_first(functools.partial(step_folders, folder))
    if not steps:
        raise InputError(f"{folder} holds no finished checkpoint: is this the folder of a run?")
    if step is not None and step not in steps:
        raise InputError(f"{folder} holds no checkpoint of step {step}: there are {steps}")
    passed: list[Damaged] = []
    for candidate in reversed(steps) if step is None else [step]:
        try:
            found = load(folder / str(candidate))
        except Unreadable as damage:
            raise InputError(f"{damage}; {_way_out(folder, candidate)}") from damage
        except Damaged as damage:
            passed.append(damage)
        else:
            for damage in passed:
                say(f"{damage}; step {candidate} is taken, the newest checkpoint that is whole")
            return found, candidate
    way_out = "no checkpoint there is whole" if step is None else _way_out(folder, step)
    raise InputError(f"{passed[0]}; {way_out}") from passed[0]


def _way_out(folder: Path, step: int) -> str:
    whole = newest_whole(folder, before=step)
    if whole is None:
        return "no earlier checkpoint is whole"
    return f"the newest earlier one that is whole is of step {whole}: take it with --step={whole}"


def read_arrays(
    where: Path,
    layout: Callable[[dict[str, Any]], Any],
    *,
    part: str = "",
    say: Say = warn,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arrays in a step's folder, nested by the parts of their names, and its facts.

    Args:
      where: the step's folder.
      layout: from the facts, what is wanted: a pytree of ShapeDtypeStructs or arrays. An array
        goes where its `sharding` says, to the first device when that is None; it is compared in
        the type that was saved, and then cast.
      part: only tensors whose names begin so are looked at.
      say: told where nothing can be compared, the checkpoint being an old one.

    Raises:
      Damaged: the folder is not what was saved.
      InputError: it holds other tensors than are wanted, by name.
    """
    facts, seal, stored = together(functools.partial(_described, where, part))
    expected = named_leaves(layout(facts))
    check_tensors(stored, expected, where)
    targets = {name: _target(leaf, stored[name].dtype) for name, leaf in expected.items()}
    dtypes = {name: leaf.dtype for name, leaf in expected.items()}
    found, arrays = _loaded(where, targets, dtypes, partial=bool(part))
    key = _seal_key(part)
    if key not in seal:
        say(f"{where} was saved by an earlier version, without checksums: it is read unchecked")
    elif arrays.of() != seal[key]:
        raise Damaged(f"{where} is damaged: its arrays are not those that were saved")
    return found, facts


def _loaded(
    where: Path, targets: dict[str, jax.ShapeDtypeStruct], dtypes: dict[str, Any], *, partial: bool
) -> tuple[dict[str, Any], Fingerprint]:
    """The arrays in `dtypes`, nested by the parts of their names, and the fingerprint as stored.

    Orbax holds what it reads twice. Where one process reads a part, which no other waits for, or
    where types differ, the arrays come one by one, the largest first: beside all there is never a
    second large one, nor more than one in the type that is stored.
    """
    parts = [targets]
    cast = any(target.dtype != dtypes[name] for name, target in targets.items())
    if partial and (cast or jax.process_count() == 1):
        ordered = sorted(targets.items(), key=lambda one: -math.prod(one[1].shape))
        parts = [{name: target} for name, target in ordered]
    found, sums = {}, {}
    for part in parts:
        context = ocp.Context()
        context.pytree.loading.partial_load = partial
        with _damage_told(where), SilentThreads(), context:
            read = ocp.load_checkpointables(where, {STATE: nested(part)})[STATE]
        sums |= fingerprint(read).sums
        found |= {name: x.astype(dtypes[name]) for name, x in named_leaves(read).items()}
        del read
    return nested(found), Fingerprint(sums, [])


def seal_of(state: Any, arrays: Fingerprint) -> dict[str, str]:
    """What a checkpoint says of its arrays: hashes of their layout, of all, of the model's."""
    hashes = {_seal_key(part): arrays.of(part) for part in ("", "model/")}
    return {_LAYOUT: layout_hash(named_leaves(state)), **hashes}


def _seal_key(part: str) -> str:
    return part.rstrip("/") or STATE


def model_config_of(facts: dict[str, Any], where: Path) -> VlmConfig:
    """The sizes of a checkpoint's model. Raises InputError where this version has no such model."""
    try:
        return from_dict(VlmConfig, facts[MODEL_CONFIG])
    except (KeyError, TypeError, ConfigError) as error:
        raise InputError(
            f"{where}: the checkpoint's facts hold no model config of this version ({error})"
        ) from error


def _check(where: Path, *, alone: bool = False) -> tuple[dict[str, Any], dict[str, Any]]:
    """Compare the files; facts and seal. Several processes share the reading unless `alone`."""
    part, parts = (0, 1) if alone else (jax.process_index(), jax.process_count())
    with _damage_told(where):
        check_files(where, part=part, parts=parts)
        return read_seal(where)


def _described(where: Path, part: str):
    facts, seal = _check(where)
    with _damage_told(where), SilentThreads():
        stored = named_leaves(ocp.checkpointables_metadata(where).metadata[STATE])
        if seal.get(_LAYOUT) not in (None, layout_hash(stored)):
            raise Damaged(f"{where} is damaged: it lists other tensors than were saved")
        return facts, seal, {n: x for n, x in stored.items() if n.startswith(part)}


def _target(leaf, stored) -> jax.ShapeDtypeStruct:
    """What is read, in the type that is `stored`, for `leaf`."""
    sharding = getattr(leaf, "sharding", None) or SingleDeviceSharding(jax.devices()[0])
    return jax.ShapeDtypeStruct(leaf.shape, stored, sharding=sharding)


@contextlib.contextmanager
def _damage_told(where: Path) -> Iterator[None]:
    """A library's error on reading `where` leaves the block as what it means."""
    try:
        yield
    except Exception as error:
        if is_ours(error):
            raise
        hush_abandoned_work()
        told = cause(error, where)
        if isinstance(told, InputError):
            raise Unreadable(str(told)) from error
        if told is not None:
            raise told from error
        if "RESOURCE_EXHAUSTED" in str(error):
            raise
        if is_bucket(where):  # no reason to pass it over: the network is as likely
            raise Unreadable(f"{where} cannot be read ({one_line(error)})") from error
        raise Damaged(f"{where} is damaged: it cannot be read ({one_line(error)})") from error
