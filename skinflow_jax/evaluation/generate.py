"""Answers about images: the caption and the ranked diagnoses, for `skinflow generate`."""

import textwrap
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from skinflow_jax.clinical import CLINICAL, Schema, find, parse_caption, parse_diagnoses
from skinflow_jax.data.chat import prompt_ids
from skinflow_jax.data.images import patchify, resize
from skinflow_jax.data.sources.case import MARK
from skinflow_jax.data.tasks import PAPERS, TASKS
from skinflow_jax.errors import ConfigError, InputError, printable, shortened
from skinflow_jax.models.config import VlmConfig
from skinflow_jax.models.inputs import build_inputs
from skinflow_jax.models.vlm import DEFAULT_COMPUTE, ComputeConfig, Vlm, abstract_model
from skinflow_jax.parallel import MeshConfig, check_divides, make_mesh, use_mesh
from skinflow_jax.parallel.sharding import MOST_UNDIVIDED, undivided
from skinflow_jax.rl.sampler import sample
from skinflow_jax.rl.token_choice import GREEDY

_WIDTH = 80
_MOST_SHOWN = 4_000
"""Characters of an answer that is not well-formed."""


def answer(
    model: Vlm,
    tokenizer,
    images: Sequence[np.ndarray],
    prompt: str,
    *,
    max_tokens: int,
    min_pixels: int,
    max_pixels: int,
    compute: ComputeConfig = DEFAULT_COMPUTE,
) -> str:
    """The model's greedy answer to a prompt about images, uint8 `[H, W, 3]` each.

    The images stand where the prompt has `MARK`, or in front where it has none. `min_pixels` and
    `max_pixels` are the budget of training. Raises InputError where an image is too long and thin,
    or prompt or chat template have not one placeholder for each.
    """
    config = model.config
    small = [resize(image, min_pixels=min_pixels, max_pixels=max_pixels) for image in images]
    row = [patchify(image, config.vision) for image in small]
    asked = prompt if MARK in prompt else MARK * len(images) + prompt
    ids = prompt_ids(tokenizer, asked, [grid for _, grid in row], config)
    rollout = sample(
        model,
        build_inputs([ids], [row], config),
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
    model: Vlm,
    tokenizer,
    cases: Mapping[str, Sequence[np.ndarray]],
    *,
    prompt: str | None = None,
    schema: Schema = CLINICAL,
    mesh: Mesh | None = None,
    **options,
) -> None:
    """Print caption and diagnoses of each case, or the answer to `prompt`.

    `cases`: the images of each, by its name; `schema`: of captions; `options` go to `answer`.
    """
    asked = {task: TASKS[task].wording(schema) for task in PAPERS}
    if prompt:
        asked = {"question": prompt}
    for name, images in cases.items():
        print(f"\n{printable(name)}")
        for task, words in asked.items():
            try:
                with use_mesh(mesh):
                    text = answer(model, tokenizer, images, words, **options)
            except InputError as error:
                raise InputError(f"{name}: {error}") from error
            print(describe(task, text, schema))
    print("\nResearch software: not a medical device. The answers are not a diagnosis.")


def describe(task: str, text: str, schema: Schema = CLINICAL) -> str:
    """An answer for people; one that is not well-formed is shown as it is, with the reason."""
    if task == "question":
        return "\n  ".join(["answer", *_wrapped(text)])
    parsed = parse_caption(text, schema) if task == "caption" else parse_diagnoses(text)
    if task == "caption" and parsed.fields is not None:
        width = max(map(len, parsed.fields), default=0)
        listed = {k: printable(", ".join(values)) for k, values in parsed.fields.items()}
        lines = [f"  {k:<{width}}  {values}" for k, values in listed.items()]
        return "\n".join(["caption", *lines])
    if task == "diagnosis" and parsed.names is not None:
        names = enumerate(parsed.names, start=1)
        lines = [f"  {i}. {printable(name)}{_class_of(name)}" for i, name in names]
        return "\n".join(["diagnoses, most likely first", *lines])
    shown = _wrapped(text) or ["(empty)"]
    return "\n  ".join([f"{task}: not well-formed ({parsed.reason})", *shown])


def _wrapped(text: str) -> list[str]:
    """Lines of model text for a terminal, which obeys none of it."""
    words = (printable(word) for word in shortened(text, _MOST_SHOWN).split())
    return textwrap.wrap(" ".join(words), _WIDTH - 2)


def _class_of(name: str) -> str:
    """Nature of a tumour, and urgency, of a diagnosis that is known."""
    disease = find(name)
    if disease is None:
        return "  (not in the ontology)"
    if not disease.answerable:
        return "  (too broad to act on)"
    nature = f"{disease.nature} tumour, " if disease.tumour else ""
    return f"  ({nature}{disease.urgency})"
