"""Answers about single images: the caption and the ranked diagnoses, for `skinflow generate`."""

import textwrap
from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from skinflow_jax.clinical import find, parse_caption, parse_diagnoses
from skinflow_jax.data.chat import TASKS, prompt_ids
from skinflow_jax.data.images import patchify, resize
from skinflow_jax.errors import ConfigError, InputError, printable
from skinflow_jax.models.config import VlmConfig
from skinflow_jax.models.inputs import build_inputs
from skinflow_jax.models.vlm import DEFAULT_COMPUTE, ComputeConfig, Vlm, abstract_model
from skinflow_jax.parallel import MeshConfig, check_divides, make_mesh, use_mesh
from skinflow_jax.parallel.sharding import MOST_UNDIVIDED, undivided
from skinflow_jax.rl.sampler import sample
from skinflow_jax.rl.token_choice import GREEDY

_WIDTH = 80


def answer(
    model: Vlm,
    tokenizer,
    image: np.ndarray,
    task: str,
    *,
    max_tokens: int,
    min_pixels: int,
    max_pixels: int,
    compute: ComputeConfig = DEFAULT_COMPUTE,
) -> str:
    """The model's greedy answer to a task about an image, uint8 `[H, W, 3]`.

    `min_pixels` and `max_pixels` are the budget of training. Raises InputError where the image is
    too long and thin, or the chat template has not one placeholder for it.
    """
    config = model.config
    small = resize(image, min_pixels=min_pixels, max_pixels=max_pixels)
    patches, grid = patchify(small, config.vision)
    ids = prompt_ids(tokenizer, task, [grid], config)
    rollout = sample(
        model,
        build_inputs([ids], [[(patches, grid)]], config),
        jax.random.key(0),
        jnp.zeros(1, jnp.int32),
        GREEDY,
        group_size=1,
        max_tokens=max_tokens,
        compute=compute,
    )
    tokens, mask = np.asarray(rollout.tokens)[0, 0], np.asarray(rollout.mask)[0, 0]
    return tokenizer.decode(tokens[mask].tolist())


def generation_mesh(sizes: VlmConfig, tensor: int | None = None) -> Mesh | None:
    """The devices that a model is split over by its heads and widths; None for one.

    `tensor`: how many; by default the most that divide it. Raises ConfigError where there are not
    so many, or they do not divide it.
    """
    model, devices = abstract_model(sizes), jax.devices()
    if tensor is None:
        counts = range(len(devices), 0, -1)
        tensor = next(n for n in counts if undivided(model, "tensor", n)[0] <= MOST_UNDIVIDED)
    if tensor > len(devices):
        raise ConfigError(f"--tensor={tensor}: there are {len(devices)} devices")
    if tensor == 1:
        return None
    mesh = make_mesh(MeshConfig(tensor=tensor), devices[:tensor])
    check_divides(model, mesh)
    return mesh


def print_answers(
    model: Vlm, tokenizer, images: Mapping[Path, np.ndarray], *, mesh: Mesh | None = None, **options
) -> None:
    """Print caption and diagnoses of each image; `options` go to `answer`."""
    for path, image in images.items():
        print(f"\n{printable(str(path))}")
        for task in TASKS:
            try:
                with use_mesh(mesh):
                    text = answer(model, tokenizer, image, task, **options)
            except InputError as error:
                raise InputError(f"{path}: {error}") from error
            print(describe(task, text))
    print("\nResearch software: not a medical device. The answers are not a diagnosis.")


def describe(task: str, text: str) -> str:
    """An answer for people; one that is not well-formed is shown as it is, with the reason."""
    parsed = parse_caption(text) if task == "caption" else parse_diagnoses(text)
    if task == "caption" and parsed.fields is not None:
        width = max(map(len, parsed.fields), default=0)
        lines = [f"  {k:<{width}}  {', '.join(values)}" for k, values in parsed.fields.items()]
        return "\n".join(["caption", *lines])
    if task == "diagnosis" and parsed.names is not None:
        lines = [f"  {i}. {name}{_class_of(name)}" for i, name in enumerate(parsed.names, start=1)]
        return "\n".join(["diagnoses, most likely first", *lines])
    shown = textwrap.wrap(text, _WIDTH - 2) or ["(empty)"]
    return "\n  ".join([f"{task}: not well-formed ({parsed.reason})", *shown])


def _class_of(name: str) -> str:
    disease = find(name)
    return f"  ({disease.malignancy})" if disease else "  (not in the ontology)"
