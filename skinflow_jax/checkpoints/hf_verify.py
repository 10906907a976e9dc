"""A Hugging Face folder computed here and by transformers, layer group by layer group."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from skinflow_jax.checkpoints.hf_import import load_pretrained
from skinflow_jax.checkpoints.torch_reference import (
    check_torch,
    load_reference,
    reference_answer,
    reference_states,
    transformers_may_not,
)
from skinflow_jax.errors import RunError, printable
from skinflow_jax.models.config import VlmConfig
from skinflow_jax.models.forward import forward_logits
from skinflow_jax.models.inputs import build_inputs, token_count
from skinflow_jax.models.layer_states import layer_states
from skinflow_jax.models.vlm import Vlm

# In float32 both are within 1e-5 of what is exact; another formula is seldom within 1e-2.
LIMIT = 1e-3
TOKENS = 8
# Not a multiple of a window's 8 x 8 patches, and of two sizes.
GRIDS = ((12, 6), (4, 10))


@dataclass(frozen=True)
class Comparison:
    """Largest difference of a group of layers' outputs, and their root mean square."""

    group: str
    difference: float
    scale: float

    @property
    def equal(self) -> bool:
        """Whether they agree, up to rounding; what is not finite does not."""
        return math.isfinite(self.scale) and self.difference <= LIMIT * self.scale


def verify(folder: Path, *, trust_remote_code: bool = False) -> None:
    """Print how far transformers' outputs are from ours, group by group, in the order of depth.

    Raises:
      InputError: there is no torch, the folder cannot be loaded, or it brings code of others and
        `trust_remote_code` is False.
      RunError: a group's outputs or the greedy tokens differ; it names the first.
    """
    check_torch()
    found = compare(load_pretrained(folder), folder, trust_remote_code=trust_remote_code)
    table = Table(
        "layers", "largest difference", "scale", "", title="against transformers, float32"
    )
    for row in found:
        state = "equal" if row.equal else "DIFFERS"
        table.add_row(row.group, f"{row.difference:.1e}", f"{row.scale:.2g}", state)
    Console().print(table)
    for row in found:
        if not row.equal:
            raise RunError(
                f"{folder}: {row.group}: the largest difference to transformers is "
                f"{row.difference:.1e} where values are of size {row.scale:.2g}"
            )
    print(printable(f"{folder}: the same in transformers, {TOKENS} greedy tokens too"))


def compare(
    model: Vlm, folder: Path, *, trust_remote_code: bool = False, seed: int = 0
) -> list[Comparison]:
    """How far what transformers loads from `folder` is from `model`, in the order of depth.

    The prompt is text drawn by `seed` around two images of noise. The last row is of the greedy
    tokens: how much less likely, in logits, ours is to say the least likely of theirs than its own.
    """
    arrays, inputs = _prompt(model.config, np.random.default_rng(seed))
    reference = load_reference(folder, trust_remote_code=trust_remote_code)
    with transformers_may_not("compute", folder):
        theirs = reference_states(reference, arrays)
        answer = reference_answer(reference, arrays, TOKENS)
    groups: dict[str, list[tuple[float, float]]] = {}
    for name, ours in layer_states(model, inputs):
        pair = _difference(ours, theirs[name]), _size(theirs[name])
        groups.setdefault(_group(name, model.config), []).append(pair)
    rows = [Comparison(group, *max(pairs, key=_badness)) for group, pairs in groups.items()]
    return [*rows, Comparison("greedy tokens", _regret(model, arrays, answer), rows[-1].scale)]


def _prompt(config: VlmConfig, rng: np.random.Generator):
    """A processor's arrays of one prompt, and the model's inputs of the same."""
    special = {config.image_token_id, config.video_token_id, config.pad_token_id}
    special |= {config.vision_start_token_id, config.vision_end_token_id, *config.eos_token_ids}
    words = [i for i in range(min(config.text.vocab_size, 30_000)) if i not in special]
    ids = list(rng.choice(words, 6))
    images = []
    for grid in GRIDS:
        placeholders = [config.image_token_id] * token_count(grid, config.vision)
        ids += [config.vision_start_token_id, *placeholders, config.vision_end_token_id]
        ids += list(rng.choice(words, 4))
        patches = rng.normal(size=(math.prod(grid), config.vision.patch_dim))
        images.append((patches.astype(np.float32), grid))
    arrays = {
        "input_ids": np.array([ids], np.int64),
        "pixel_values": np.concatenate([patches for patches, _ in images]),
        "image_grid_thw": np.array([(1, *grid) for grid in GRIDS], np.int64),
    }
    return arrays, build_inputs([np.array(ids)], [images], config)


def _group(name: str, config: VlmConfig) -> str:
    """A quarter of the vision blocks or of the decoder layers, by first and last."""
    kind, _, index = name.rpartition(" ")
    if not kind:
        return name
    depth = config.vision.depth if kind == "vision block" else config.text.num_layers
    size = math.ceil(depth / 4)
    first = int(index) // size * size
    last = min(first + size, depth) - 1
    return f"{kind} {first}" if first == last else f"{kind}s {first} to {last}"


def _difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.abs(ours - theirs).max()) if ours.shape == theirs.shape else math.inf


def _size(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64))))


def _badness(pair: tuple[float, float]) -> float:
    ratio = pair[0] / max(pair[1], 1e-30)
    return math.inf if math.isnan(ratio) else ratio


def _regret(model: Vlm, arrays: dict[str, np.ndarray], answer: np.ndarray) -> float:
    """By how much ours prefers another token than the answer's, at most; 0 where it says the same.

    Given the answer so far: as long as the tokens agree, that is what ours would have before it.
    """
    ids = np.concatenate([arrays["input_ids"], answer[None]], axis=1)
    logits = forward_logits(model, **arrays | {"input_ids": ids})[0]
    predictions = logits[-len(answer) - 1 : -1]
    chosen = np.take_along_axis(predictions, answer[:, None], axis=1)[:, 0]
    return float((predictions.max(axis=1) - chosen).max())
