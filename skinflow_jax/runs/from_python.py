"""The commands train, evaluate and generate, called from Python: a script or a notebook.

What the command line does around a command is done here too, as far as it is a caller's to have:
compiled programs are kept (unless JAX has been told otherwise), libraries' notices are kept quiet.
Errors are raised (see `errors`), none ends the process. In the main thread a run takes Ctrl-C and
SIGTERM as the command does, which includes that it ends the process when a step does not finish
within the grace; in other threads it leaves signals alone. Several processes first join each other
by `skinflow_jax.parallel.processes.start_processes`, then all call the same function.
"""

import logging
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from os import PathLike
from typing import Annotated, Any

import jax
import numpy as np
from PIL import Image

from skinflow_jax.clinical import CLINICAL, Schema
from skinflow_jax.config import RunConfig, config_of
from skinflow_jax.data.images import load_image
from skinflow_jax.data.tasks import TASKS
from skinflow_jax.errors import ConfigError, InputError
from skinflow_jax.evaluation.generate import answer, generation_mesh
from skinflow_jax.evaluation.summary import Summary
from skinflow_jax.models.vlm import ComputeConfig
from skinflow_jax.parallel import use_mesh
from skinflow_jax.parallel.compilation_cache import use_compilation_cache
from skinflow_jax.runs import evaluate as evaluation
from skinflow_jax.runs import train as training
from skinflow_jax.runs.opening import (
    Policy,
    check_checkpoint,
    open_checkpoint,
    stored_config,
    stored_schema,
    stored_sizes,
    use_stored_ontology,
)
from skinflow_jax.runs.robustness import Robust
from skinflow_jax.storage.paths import storage_path
from skinflow_jax.training.stop_signals import GRACE
from skinflow_jax.typed_fields import Finite, OneOf, Whole, shown, typed

Folder = str | PathLike[str]
Picture = Folder | np.ndarray | Image.Image
"""An image: a file, uint8 `[H, W, 3]`, or Pillow's."""
_COUNT = Annotated[int, Whole(1)]
_ANY = Annotated[int, Whole(0)]
_SECONDS = Annotated[float, Finite(above=0)]
_DTYPE = Annotated[str, OneOf(("float32", "bfloat16"))]


def train(
    config: RunConfig | Mapping[str, Any],
    workdir: Folder,
    *,
    resume: bool = False,
    records: Folder | None = None,
    step: int | None = None,
    allow_changed: Collection[str] = (),
    grace: float = GRACE,
) -> Policy:
    """Run `config` in `workdir`, as `skinflow train`; the policy is for `evaluate` and `generate`.

    Args:
      config: of `load_config`, or the nested values that a config file returns.
      workdir: where the run writes; may be in a bucket.
      resume: go on from the newest whole checkpoint in `workdir`, if there is one.
      records: where records are built or found; by default in the workdir.
      step: resume from this step's checkpoint; later ones are removed.
      allow_changed: names of config fields that a resume may change, or "data".
      grace: seconds from SIGTERM or Ctrl-C to the end of the process.

    Raises ConfigError, InputError, RunError, and StartAgain or Interrupted after a signal.
    """
    config = _prepared(config)
    if isinstance(allow_changed, str):
        raise ConfigError(f"allow_changed={allow_changed!r} is one text: give a list of names")
    if config.model.init_from is not None:
        check_checkpoint(storage_path(config.model.init_from))
    return training.train(
        config,
        _place(workdir, "workdir"),
        resume=_argument(bool, resume, "resume"),
        records_folder=None if records is None else _place(records, "records"),
        step=None if step is None else _argument(_COUNT, step, "step"),
        allow_changed=allow_changed,
        grace=_argument(_SECONDS, grace, "grace"),
    )


def evaluate(
    config: RunConfig | Mapping[str, Any] | None,
    checkpoint: Policy | Folder,
    *,
    out: Folder | None = None,
    records: Folder | None = None,
    dtype: str | None = None,
    robustness: Collection[str] | None = None,
    robustness_cases: int | None = None,
    attention: int = 0,
) -> Summary:
    """Evaluate on the held-out cases of `config`, as `skinflow evaluate`, and print the table.

    Args:
      config: None for the one that a run's folder was made with.
      checkpoint: what `train` returned, a workdir, or a folder in Hugging Face format.
      out: for metrics.json and predictions.jsonl; by default eval/<step> of the run.
      records: where records are built or found; by default those of the run.
      dtype: of weights and activations, where a folder is read.
      robustness: names of degradations of the images (docs/robustness.md), under which some of the
        cases are evaluated too, into robustness.json; () for all.
      robustness_cases: how many; by default 100, drawn.
      attention: in how many of the cases to look at where the model looks, into attention.json and
        attention.npz (docs/attention.md).

    Raises ConfigError, InputError and RunError.
    """
    further = _robust(robustness, robustness_cases), _argument(_ANY, attention, "attention")
    opened = isinstance(checkpoint, Policy)
    place = checkpoint.workdir if opened else _place(checkpoint, "checkpoint")
    if config is None:
        config = None if place is None else stored_config(place)
        if config is None:
            raise ConfigError("nothing says what to evaluate on: give a config")
    out = None if out is None else _place(out, "out")
    records = None if records is None else _place(records, "records")
    if not opened:
        dtype = None if dtype is None else _argument(_DTYPE, dtype, "dtype")
        return evaluation.evaluate(_prepared(config), place, out, records, dtype, *further)
    if dtype is not None:
        raise ConfigError(f"dtype={shown(dtype)}: a policy has its own; give its folder")
    return evaluation.evaluate_opened(_prepared(config), checkpoint, out, records, *further)


def generate(
    checkpoint: Policy | Folder,
    images: Iterable[Picture | Sequence[Picture]],
    *,
    task: str | None = None,
    prompt: str | None = None,
    max_tokens: int = 512,
    max_pixels: int | None = None,
    dtype: str = "float32",
) -> list[str]:
    """The model's greedy answers, one a case, as it writes them (see `skinflow_jax.clinical`).

    Args:
      checkpoint: what `train` returned, a workdir, or a folder in Hugging Face format.
      images: the cases; each is an image, or several of one lesion.
      task: what is asked: "diagnosis", the default, or "caption".
      prompt: a question of yours in its place; the images stand where it says "<image>", or in
        front.
      max_tokens: of an answer.
      max_pixels: larger images are resized; by default as in training.
      dtype: of activations, and of weights where a folder is read.

    Raises ConfigError for a wrong argument, InputError naming an image or folder that is bad. The
    answers are not a diagnosis: this is research software.
    """
    _quiet()
    if jax.process_count() > 1:
        raise ConfigError("generate is for one process")
    max_tokens = _argument(_COUNT, max_tokens, "max_tokens")
    max_pixels = None if max_pixels is None else _argument(_COUNT, max_pixels, "max_pixels")
    dtype = _argument(_DTYPE, dtype, "dtype")
    mesh, name = None, "the policy"
    opened = isinstance(checkpoint, Policy)
    made = checkpoint.workdir if opened else _place(checkpoint, "checkpoint")
    if made:
        use_stored_ontology(made)
    asked = _question(task, prompt, stored_schema(made) if made else CLINICAL)
    cases = [_case(case, number) for number, case in enumerate(_listed(images))]
    if not opened:
        name = str(checkpoint)
        check_checkpoint(made)
        if jax.device_count() > 1:
            mesh = generation_mesh(stored_sizes(made))
        checkpoint = open_checkpoint(made, mesh, dtype=dtype)
    low, high = checkpoint.pixel_range(max_pixels, name=name, remedy="give max_pixels")
    with use_mesh(mesh):
        return [
            answer(
                checkpoint.model,
                checkpoint.tokenizer,
                case,
                asked,
                max_tokens=max_tokens,
                min_pixels=low,
                max_pixels=high,
                compute=ComputeConfig(dtype),
            )
            for case in cases
        ]


def _robust(names: Collection[str] | None, cases: int | None) -> Robust | None:
    listed = isinstance(names, Collection) and not isinstance(names, str)
    if names is not None and not (listed and all(isinstance(name, str) for name in names)):
        raise ConfigError(f"robustness={shown(names)}: give a list of names, or () for all")
    if names is None and cases is not None:
        raise ConfigError("robustness_cases goes with robustness: give both, or neither")
    cases = None if cases is None else _argument(_COUNT, cases, "robustness_cases")
    return Robust.asked(None if names is None else tuple(names), cases)


def _place(path: Folder, name: str):
    """A folder that an argument names."""
    if not isinstance(path, str | PathLike) or not os.fspath(path):
        what = ", or the policy that train returned" if name == "checkpoint" else ""
        raise ConfigError(f"{name}={shown(path)}: give the path of a folder{what}")
    return storage_path(path)


def _argument(hint, value, name: str):
    try:
        return typed(hint, value, name)
    except ConfigError as error:
        raise ConfigError(str(error).removeprefix("config ")) from None


def _prepared(config: RunConfig | Mapping[str, Any]) -> RunConfig:
    _quiet()
    if isinstance(config, RunConfig):
        return config
    if not isinstance(config, Mapping) and not hasattr(config, "to_dict"):
        raise ConfigError(f"config is {type(config).__name__}: give what load_config returns")
    return config_of(config.to_dict() if hasattr(config, "to_dict") else config)


def _quiet() -> None:
    logging.getLogger("absl").setLevel(logging.ERROR)
    use_compilation_cache()


def _question(task: str | None, prompt: str | None, schema: Schema) -> str:
    if prompt is not None and task is not None:
        raise ConfigError("give a task or a prompt, not both")
    if prompt is not None:
        if not isinstance(prompt, str) or not prompt.strip():
            raise ConfigError(f"prompt={shown(prompt)}: ask something, or give a task")
        return prompt
    asked = {name: entry.wording(schema) for name, entry in TASKS.items() if entry.template}
    if (task or "diagnosis") not in asked:
        raise ConfigError(f"task={task!r} is unknown: choose from {', '.join(asked)}")
    return asked[task or "diagnosis"]


def _listed(images) -> list:
    if isinstance(images, str | PathLike | np.ndarray | Image.Image):
        raise ConfigError("images is one image: give a list of cases, [image]")
    if not isinstance(images, Iterable):
        raise ConfigError(f"images={shown(images)}: give a list of cases")
    return list(images)


def _case(case: Picture | Sequence[Picture], number: int) -> list[np.ndarray]:
    views = case if isinstance(case, list | tuple) else [case]
    if not views:
        raise InputError(f"images[{number}] has no image")
    return [_pixels(view, f"images[{number}]") for view in views]


def _pixels(image: Picture, where: str) -> np.ndarray:
    if isinstance(image, str | PathLike):
        return load_image(image)
    if isinstance(image, Image.Image):
        image = np.asarray(image.convert("RGB"))
    found = getattr(image, "dtype", type(image).__name__), getattr(image, "shape", ())
    if found[0] != np.uint8 or len(found[1]) != 3 or found[1][-1] != 3 or not image.size:
        raise InputError(
            f"{where} is {found[0]} {list(found[1])}: "
            "give a file, a Pillow image or uint8 [H, W, 3]"
        )
    return image
