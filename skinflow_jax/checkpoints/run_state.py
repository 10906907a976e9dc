"""A run on disk: train state, place in the data and facts, one atomic Orbax checkpoint a step.

Arrays are stored under readable names, the path of attributes, keys and places that leads to them
(`model/decoder/layers/q/kernel`), so that a checkpoint that does not fit can be described.
"""

import dataclasses
from pathlib import Path
from typing import Any

import jax
from jax.sharding import SingleDeviceSharding
from orbax.checkpoint import v1 as ocp

from skinflow_jax.errors import ConfigError, InputError
from skinflow_jax.models.config import VlmConfig
from skinflow_jax.models.vlm import Vlm, abstract_model
from skinflow_jax.parallel import module_shardings
from skinflow_jax.typed_fields import from_dict

_STATE, _DATA, _MODEL_CONFIG = "state", "data", "model_config"


class RunCheckpoints:
    """The checkpoints of one run, written in the background; a context manager.

    A save that was interrupted, by kill -9 too, leaves the earlier checkpoints as they were.
    """

    def __init__(self, folder: str | Path, *, keep: int = 2):
        """`folder` is made if absent; the latest `keep` checkpoints are kept.

        Opening removes what an interrupted save left, so only the run itself may open it.
        """
        self._folder = Path(folder).absolute()
        self._checkpointer = ocp.training.Checkpointer(
            self._folder,
            preservation_policy=ocp.training.preservation_policies.LatestN(keep),
            cleanup_tmp_directories=True,
        )

    @property
    def latest_step(self) -> int | None:
        """The step of the latest checkpoint, one still being written included; None without any."""
        latest = self._checkpointer.latest
        return None if latest is None else latest.step

    def save(self, step: int, state: Any, data_iterator, *, facts: dict) -> None:
        """Begin to save; waits for a save still under way. A step already saved is left alone.

        Args:
          step: names the checkpoint.
          state: a pytree of arrays with a field `model`, a Vlm. It may be donated afterwards.
          data_iterator: a Grain iterator, or None.
          facts: small, of JSON types; the model's config is added.
        """
        if step == self.latest_step:
            return
        parts = {_STATE: _nested(named_leaves(state))}
        if data_iterator is not None:
            parts[_DATA] = data_iterator
        facts = {**facts, _MODEL_CONFIG: dataclasses.asdict(state.model.config)}
        self._checkpointer.save_checkpointables_async(
            step, parts, custom_metadata=facts, force=True
        )

    def restore(self, abstract_state: Any, data_iterator, *, step: int | None = None):
        """The state of the latest checkpoint (or of `step`) and its facts: `(state, facts)`.

        Args:
          abstract_state: the state with ShapeDtypeStructs for arrays, or a state to copy shapes
            from; an array goes where its `sharding` says, to the first device when that is None.
          data_iterator: put where it was at the time; None leaves the place in the data unread.
          step: which checkpoint.

        Raises:
          InputError: no checkpoint, or it holds other tensors than `abstract_state`, by name.
        """
        metadata = _metadata(self._checkpointer, self._folder, step)
        expected = named_leaves(abstract_state)
        where = self._folder / str(metadata.step)
        _check_kind(_config_of(metadata.custom_metadata, where), abstract_state.model.config, where)
        _check_tensors(named_leaves(metadata.metadata), expected, where)
        parts = {_STATE: _nested({name: _target(leaf) for name, leaf in expected.items()})}
        if data_iterator is not None:
            parts[_DATA] = data_iterator
        found = self._checkpointer.load_checkpointables(metadata.step, parts)[_STATE]
        return _with_leaves(abstract_state, found), dict(metadata.custom_metadata)

    def wait(self) -> None:
        """Until everything saved so far is on disk. Raises what the writing raised."""
        self._checkpointer.wait()

    def close(self) -> None:
        """Wait, then release the folder."""
        self._checkpointer.close()

    def __enter__(self) -> "RunCheckpoints":
        return self

    def __exit__(self, *_) -> None:
        self.close()


def load_model(folder: str | Path, *, step: int | None = None, mesh=None) -> Vlm:
    """The model alone from a run's checkpoints; the run may still be writing.

    Args:
      folder: the run's folder of checkpoints.
      step: which one; None for the latest.
      mesh: place the parameters by the training rules on this mesh; None for one device.

    Raises:
      InputError: no such folder, no finished checkpoint in it, or not of this program's model.
    """
    folder = Path(folder).absolute()
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder: give the checkpoints folder of a run")
    context = ocp.Context()
    context.pytree.loading.partial_load = True
    with ocp.training.Checkpointer(folder, context=context) as checkpointer:
        metadata = _metadata(checkpointer, folder, step)
        config = _config_of(metadata.custom_metadata, folder)
        wanted = {"model": abstract_model(config)}
        if mesh is not None:
            wanted = jax.tree.map(_at, wanted, {"model": module_shardings(wanted["model"], mesh)})
        stored = named_leaves({"model": metadata.metadata.get("model", {})})
        expected = named_leaves(wanted)
        _check_tensors(stored, expected, folder / str(metadata.step))
        parts = {_STATE: _nested({name: _target(leaf) for name, leaf in expected.items()})}
        found = checkpointer.load_checkpointables(metadata.step, parts)[_STATE]
    return _with_leaves(wanted, found)["model"]


def _metadata(checkpointer, folder: Path, step: int | None):
    steps = [checkpoint.step for checkpoint in checkpointer.checkpoints]
    if not steps:
        raise InputError(f"{folder} holds no finished checkpoint: is this the folder of a run?")
    if step is not None and step not in steps:
        raise InputError(f"{folder} holds no checkpoint of step {step}: there are {steps}")
    return checkpointer.metadata(steps[-1] if step is None else step)


def _config_of(facts: dict, folder: Path) -> VlmConfig:
    try:
        return from_dict(VlmConfig, facts[_MODEL_CONFIG])
    except (KeyError, ConfigError) as error:
        raise InputError(
            f"{folder}: the checkpoint's facts hold no model config of this version ({error})"
        ) from error


def _key_name(key) -> str:
    for attribute in ("name", "key", "idx"):
        if hasattr(key, attribute):
            return str(getattr(key, attribute))
    return str(key)


def named_leaves(tree: Any) -> dict[str, Any]:
    """Leaves by name, in the tree's order. An nnx.Param's inner `value` is left out of the name."""
    named = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        names = [_key_name(key) for key in path]
        if len(names) > 1 and names[-1] == "value":
            names.pop()
        named["/".join(names)] = leaf
    return named


def _nested(named: dict[str, Any]) -> dict[str, Any]:
    root = {}
    for name, leaf in named.items():
        *parents, last = name.split("/")
        place = root
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = leaf
    return root


def _with_leaves(tree: Any, found: dict[str, Any]) -> Any:
    named = named_leaves(found)
    return jax.tree.unflatten(jax.tree.structure(tree), [named[n] for n in named_leaves(tree)])


def _at(leaf, sharding) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def _target(leaf) -> jax.ShapeDtypeStruct:
    return _at(leaf, getattr(leaf, "sharding", None) or SingleDeviceSharding(jax.devices()[0]))


def _check_kind(stored: VlmConfig, expected: VlmConfig, where: Path) -> None:
    for name, was, asked in (
        ("dve", stored.vision.dve, expected.vision.dve),
        ("lora", stored.lora, expected.lora),
        ("trainable", stored.trainable, expected.trainable),
    ):
        if was != asked:
            raise InputError(
                f"{where}: model.{name} is {was} in the checkpoint, {asked} in the config; "
                "resume with the config the run was started with"
            )


def _check_tensors(stored: dict[str, Any], expected: dict[str, Any], where: Path) -> None:
    """Raise InputError naming the first tensor that is missing, left over or of another shape."""
    for name, leaf in expected.items():
        if name not in stored:
            raise InputError(f"{where}: no tensor {name}; the run was made with another config")
        if tuple(stored[name].shape) != tuple(leaf.shape):
            raise InputError(
                f"{where}: tensor {name} has shape {tuple(stored[name].shape)}, the config asks "
                f"for {tuple(leaf.shape)}; resume with the config the run was started with"
            )
    extra = sorted(set(stored) - set(expected))
    if extra:
        raise InputError(
            f"{where}: {len(extra)} tensors that the config does not have, the first {extra[0]}; "
            "resume with the config the run was started with"
        )
