"""A run on disk: train state and facts, one atomic Orbax checkpoint a step that can be trusted.

A state is saved only if all of it is finite. What is saved carries a fingerprint of its arrays and,
once complete, the checksums of its files; both are compared before a state is used. A damaged step
is named and an earlier one taken.
"""

import dataclasses
import math
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
from orbax.checkpoint import v1 as ocp

from skinflow_jax.checkpoints.agreement import by_the_first, together
from skinflow_jax.checkpoints.checksums import FILE as CHECKSUMS
from skinflow_jax.checkpoints.checksums import write_checksums
from skinflow_jax.checkpoints.fingerprint import fingerprint
from skinflow_jax.checkpoints.named_tensors import check_kind, named_leaves, nested, with_leaves
from skinflow_jax.checkpoints.reading import (
    MODEL_CONFIG,
    STATE,
    load_step,
    model_config_of,
    newest_whole,
    read_arrays,
    seal_of,
    warn,
)
from skinflow_jax.checkpoints.step_folders import (
    METRICS,
    Retention,
    check_names,
    finished_steps,
    make_way,
    read_seal,
    remove_leftovers,
    remove_step,
    sealed,
    step_folders,
)
from skinflow_jax.checkpoints.storage_errors import SilentThreads, explained, explaining
from skinflow_jax.errors import InputError, RunError
from skinflow_jax.models.vlm import Vlm, abstract_model
from skinflow_jax.parallel import as_read, module_shardings
from skinflow_jax.parallel.agreement import gather
from skinflow_jax.storage.paths import absolute, exists, is_folder, make_folder

_CHUNK_BYTES = 2**24

__all__ = ["RunCheckpoints", "load_model", "named_leaves", "read_facts"]


class RunCheckpoints:
    """The checkpoints of one run, written in the background; a context manager.

    A save that was interrupted, by kill -9 too, leaves the earlier checkpoints as they were. All
    processes of a run call each method; the first of them writes checksums and removes what is no
    longer kept.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        keep: int = 2,
        keep_every: int | None = None,
        keep_best: int = 0,
        best_metric: str | None = None,
        best_is_max: bool = True,
        frugal: bool = False,
        say: Callable[[str], None] = warn,
    ):
        """`folder` is made if absent. Opening removes what an interrupted save left: only the run
        itself may open it.

        Args:
          folder: the run's folder of checkpoints.
          keep: how many of the latest stay.
          keep_every: steps that this divides stay too.
          keep_best: so many with the best `best_metric` stay too.
          best_metric: a name among the `metrics` that are saved.
          best_is_max: whether more of it is better.
          frugal: hold no second copy of a state on its way to disk: its arrays are written one
            after the other, in more and smaller files.
          say: told in one line what is passed over or removed.

        Raises:
          InputError: the folder cannot be written, or a file has the name of a step.
        """
        self._folder = absolute(folder)
        self._retention = Retention(keep, keep_every, keep_best, best_metric, best_is_max)
        self._frugal, self._say = frugal, say
        self._thread = ThreadPoolExecutor(1, "checkpoints")
        self._pending: Future | None = None
        self._restored: int | None = None
        self._written: set[int] = set()
        self._found = gather(together(self._prepare))[0]
        self._silent = SilentThreads().__enter__()

    def _prepare(self) -> int | None:
        with explaining(self._folder):
            make_folder(self._folder)
            check_names(self._folder)
            if jax.process_index() == 0:
                remove_leftovers(self._folder)
            return max(self.steps(), default=None)

    def steps(self) -> list[int]:
        """The steps of finished checkpoints, in order; a damaged one may be among them."""
        with explaining(self._folder):
            return finished_steps(self._folder)

    @property
    def latest_step(self) -> int | None:
        """The step of the latest checkpoint, one still being written included; None without any."""
        known = self._written if self._found is None else {*self._written, self._found}
        return max(known, default=None)

    def save(
        self,
        step: int,
        state: Any,
        data_iterator: None = None,
        *,
        facts: dict[str, Any],
        metrics: dict[str, float] | None = None,
        wait: bool = False,
    ) -> None:
        """Begin to save; waits for a save still under way. A step already saved is left alone.

        After a `restore` of an earlier step, later steps that this run did not write belong to
        another history: they are removed once the first step of the new one is complete.

        Args:
          step: names the checkpoint.
          state: a pytree of arrays with a field `model`, a Vlm. It may be donated afterwards.
          data_iterator: None: the place in the data is one of the facts. Scripts still give it.
          facts: small, of JSON types; the model's config is added.
          metrics: figures of this step, for `best_metric`; those that are not finite are left out.
          wait: return only when the checkpoint is complete.

        Raises:
          RunError: a tensor is not finite, by name, and nothing was written; or this or the save
            before failed, by its cause.
        """
        if data_iterator is not None:
            raise TypeError("checkpoints hold no data iterator: put its position into facts")
        if step in self._written or step == self._restored:
            return
        self.wait()
        arrays = fingerprint(state)
        if arrays.not_finite:
            raise RunError(_not_finite(self._folder, step, arrays.not_finite))
        old = together(lambda: self._make_room(step))
        if gather(old is None)[0]:
            return
        facts = {**facts, MODEL_CONFIG: dataclasses.asdict(state.model.config)}
        # A reward that scored nothing has a mean of NaN: it cannot be the best of anything.
        figures = {name: x for name, x in (metrics or {}).items() if math.isfinite(x)}
        if self._retention.best and self._retention.metric not in figures:
            self._say(_no_rank(step, self._retention.metric, figures))
        facts = sealed(facts, step=step, **seal_of(state, arrays), **{METRICS: figures})
        with explaining(self._folder), _orbax_context(state if self._frugal else None):
            response = ocp.save_checkpointables_async(
                self._folder / str(step),
                {STATE: nested(named_leaves(state))},
                custom_metadata=facts,
            )
        self._written.add(step)
        self._pending = self._thread.submit(self._finish, response, step, old)
        if wait:
            self.wait()

    def _make_room(self, step: int) -> list[int] | None:
        """Steps that the new checkpoint replaces; None where a whole one of this step is there.

        What is in the place of the new one is moved out of its way.
        """
        if jax.process_index() != 0:
            return []
        with explaining(self._folder):
            there = [s for s in step_folders(self._folder) if s not in self._written]
            if self._restored is None and step in there and self._is_whole(step):
                return None
            if step in there:
                make_way(self._folder, step)
        since = self._restored
        return [] if since is None else [s for s in there if s > since and s != step]

    def _is_whole(self, step: int) -> bool:
        return newest_whole(self._folder, before=step + 1) == step

    def _finish(self, response, step: int, old: list[int]) -> None:
        """In the background: until the checkpoint is complete, its sums, what is to go."""
        response.result()
        if jax.process_index() == 0:
            write_checksums(self._folder / str(step))
            self._remove(old)
            self._remove(sorted(set(self.steps()) - self._retention.kept(self._metrics())))
            remove_leftovers(self._folder)

    def drop_later(self) -> None:
        """Remove the steps after the restored one: a history that is left on purpose.

        Before the run's other files are cut to that step, or a kill would leave the two apart.
        """
        if self._restored is not None and jax.process_index() == 0:
            self.wait()
            with explaining(self._folder):
                self._remove([s for s in step_folders(self._folder) if s > self._restored])

    def _remove(self, steps: list[int]) -> None:
        for step in steps:
            remove_step(self._folder, step)

    def _metrics(self) -> dict[int, dict[str, float]]:
        """By finished step; none for one whose facts cannot be read."""
        found = {}
        for step in self.steps():
            try:
                found[step] = read_seal(self._folder / str(step))[1].get(METRICS, {})
            except InputError:
                found[step] = {}
        return found

    def restore(self, abstract_state: Any, *, step: int | None = None):
        """A state, its facts and its step: `(state, facts, step)`.

        Args:
          abstract_state: the state with ShapeDtypeStructs for arrays, or a state to copy shapes
            from; an array goes where its `sharding` says, to the first device when that is None.
          step: which checkpoint; None for the newest that is whole. Damaged ones that are passed
            over are named.

        Raises:
          InputError: no checkpoint, a damaged one, with the newest that is whole, or it holds other
            tensors than `abstract_state`, by name.
        """
        self.wait()

        def load(where: Path):
            def layout(facts):
                check_kind(model_config_of(facts, where), abstract_state.model.config, where)
                return abstract_state

            return read_arrays(where, layout, say=self._say)

        (found, facts), step = load_step(self._folder, step, load, self._say)
        self._restored = self._found = step
        self._pending = self._thread.submit(self._sum_if_killed, self._folder / str(step))
        return with_leaves(abstract_state, found), facts, step

    def _sum_if_killed(self, where: Path) -> None:
        """Sum a checkpoint whose save was killed before its sums: its arrays were just compared."""
        summed = exists(where / CHECKSUMS)
        if jax.process_index() == 0 and not summed and STATE in read_seal(where)[1]:
            write_checksums(where)

    def wait(self) -> None:
        """Until all saved so far is on disk. Raises what the writing raised, by its cause."""
        pending, self._pending = self._pending, None
        if pending is not None:
            with explaining(self._folder):
                pending.result()

    def close(self) -> None:
        """Wait, then release the thread."""
        try:
            self.wait()
        finally:
            self._thread.shutdown()
            self._silent.__exit__()

    def __enter__(self) -> "RunCheckpoints":
        return self

    def __exit__(self, kind, error, trace) -> None:
        try:
            self.close()
        except Exception as failed:
            if error is None:
                raise
            # What ended the run matters more, but the person must know that this is not saved.
            self._say(str(explained(failed, self._folder)))


def load_model(
    folder: str | Path, *, step: int | None = None, mesh=None, dtype: str = "float32"
) -> Vlm:
    """The model alone from a run's checkpoints; the run may still be writing.

    Args:
      folder: the run's folder of checkpoints.
      step: which one; None for the newest. A damaged one is refused, with the newest that is
        whole: an older model in its place would be another one than was asked for.
      mesh: place the parameters by the training rules on this mesh; None for one device.
      dtype: of the parameters, but for those that are read in float32: cast as they are read.

    Raises:
      InputError: no such folder, no finished checkpoint in it, a damaged one, or not of this
        program's model.
    """
    folder = _existing(folder)
    if step is None:
        step = by_the_first(lambda: max(finished_steps(folder), default=None))

    def load(where: Path) -> Vlm:
        wanted = {}

        def layout(facts):
            model = abstract_model(model_config_of(facts, where))
            wanted["model"] = jax.eval_shape(lambda model: as_read(model, dtype), model)
            if mesh is not None:
                shardings = module_shardings(wanted["model"], mesh)
                wanted["model"] = jax.tree.map(_at, wanted["model"], shardings)
            return wanted

        found, _ = read_arrays(where, layout, part="model/")
        return with_leaves(wanted, found)["model"]

    return load_step(folder, step, load, warn)[0]


def read_facts(folder: str | Path, step: int | None = None) -> dict[str, Any]:
    """What was saved with a checkpoint beside its arrays, which are not read.

    `step`: None for the newest whose facts are whole. Raises InputError as `load_model` does. No
    other process is asked.
    """
    facts, _ = load_step(_existing(folder), step, lambda where: read_seal(where)[0], warn)
    return facts


def _orbax_context(state: Any = None) -> ocp.Context:
    """`state`: to be written frugally; None: fast.

    Folders are made before a save returns: where that fails in the background, Orbax waits for
    them for ten minutes.
    """
    context = ocp.Context()
    context.asynchronous.create_directories_asynchronously = False
    if state is not None:
        # One database for all arrays is written when it is complete, and held until then.
        context.array.saving.use_ocdbt = False
        context.array.saving.storage_options.chunk_byte_size = _CHUNK_BYTES
        largest = max(leaf.nbytes for leaf in jax.tree.leaves(state))
        context.memory.write_concurrent_bytes = largest + 1
        context.memory.transfer_concurrent_bytes = largest + 1
    return context


def _existing(folder: str | Path) -> Path:
    folder = absolute(folder)
    if not is_folder(folder):
        raise InputError(f"{folder} is not a folder: give the checkpoints folder of a run")
    return folder


def _at(leaf, sharding) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def _no_rank(step: int, metric: str, figures: dict[str, float]) -> str:
    return (
        f"step {step} has no {metric}, by which the best checkpoints are kept, and is none of "
        f"them; it has {', '.join(sorted(figures)) or 'no metrics'}"
    )


def _not_finite(folder: Path, step: int, names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return (
        f"step {step}: not finite: {', '.join(names[:3])}{more}; nothing was saved. Earlier "
        f"checkpoints in {folder} are untouched: go on from one with a lower "
        "optimizer.learning_rate or optimizer.clip_norm"
    )
