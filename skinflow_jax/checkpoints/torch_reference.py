"""transformers' own model of a Hugging Face folder, and what its layers give. Needs torch."""

import contextlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from skinflow_jax.checkpoints.hf_export import TORCH_FILES
from skinflow_jax.errors import InputError, one_line
from skinflow_jax.json_file import read_json

_OURS = {"configuration_skinflow.SkinflowConfig"}
_OURS |= {"modeling_skinflow.SkinflowForConditionalGeneration"}


def check_torch() -> None:
    """Raise InputError where torch or transformers is not installed."""
    missing = [n for n in ("torch", "transformers") if importlib.util.find_spec(n) is None]
    if missing:
        raise InputError(
            f"{' and '.join(missing)} not installed, which this compares with: "
            f"pip install {' '.join(missing)}"
        )


def load_reference(folder: Path, *, trust_remote_code: bool = False) -> Any:
    """The folder's model in PyTorch, float32, for evaluation.

    Code in the folder that is byte by byte what we ship is not run: ours is. Other code needs
    `trust_remote_code`. Raises InputError where it is not given, or transformers cannot load it.
    """
    import torch
    from transformers import AutoModelForImageTextToText

    options = {"dtype": torch.float32, "local_files_only": True, "use_safetensors": True}
    load = AutoModelForImageTextToText.from_pretrained
    code = read_json(folder / "config.json").get("auto_map")
    if _is_our_code(folder, code):
        if code:
            from skinflow_jax.checkpoints.torch_dve import modeling_skinflow

            load = modeling_skinflow.SkinflowForConditionalGeneration.from_pretrained
    elif trust_remote_code:
        options["trust_remote_code"] = True
    else:
        raise InputError(
            f"{folder} brings Python code that is not ours: read it, and add --trust-remote-code "
            "to run it"
        )
    with transformers_may_not("load", folder), _no_progress_bar():
        return load(folder, **options).eval()


@contextlib.contextmanager
def transformers_may_not(do: str, folder: Path) -> Iterator[None]:
    """An error in the block, transformers', torch's or of the folder's own code, as InputError."""
    try:
        yield
    except Exception as error:
        raise InputError(f"{folder}: transformers cannot {do} it ({one_line(error)})") from error


@contextlib.contextmanager
def _no_progress_bar() -> Iterator[None]:
    """It would stand on stderr, which is for what went wrong."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _is_our_code(folder: Path, auto_map: Any) -> bool:
    """Whether the folder asks for no code of its own, or for what we ship and holds just that."""
    shipped = {file.name: file.read_bytes() for file in TORCH_FILES}
    asked = set(auto_map.values()) if isinstance(auto_map, dict) else {auto_map} - {None}
    if not asked <= _OURS:
        return False
    return not asked or all(
        (folder / name).is_file() and (folder / name).read_bytes() == content
        for name, content in shipped.items()
    )


def reference_states(model: Any, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Outputs by layer, `[tokens, width]`, of one unpadded prompt: see `layer_states`."""
    import torch

    found: dict[str, np.ndarray] = {}

    def keep(name):
        def hook(_, __, output):
            state = output[0] if isinstance(output, tuple) else output
            found[name] = state.reshape(-1, state.shape[-1]).float().numpy()

        return hook

    tower, text = model.model.visual, model.model.language_model
    layers = {f"vision block {i}": block for i, block in enumerate(tower.blocks)}
    layers |= {"merger": tower.merger}
    layers |= {f"decoder layer {i}": layer for i, layer in enumerate(text.layers)}
    layers |= {"head": model.lm_head}
    hooks = [layer.register_forward_hook(keep(name)) for name, layer in layers.items()]
    try:
        with torch.no_grad():
            model(**_tensors(model, arrays))
    finally:
        for hook in hooks:
            hook.remove()
    return found


def reference_answer(model: Any, arrays: dict[str, np.ndarray], tokens: int) -> np.ndarray:
    """Greedy tokens that follow the prompt, int `[<= tokens]`, by the settings of no file."""
    import torch
    from transformers import GenerationConfig

    model.generation_config = GenerationConfig(
        do_sample=False, max_new_tokens=tokens, pad_token_id=0, eos_token_id=None
    )
    with torch.no_grad():
        ids = model.generate(**_tensors(model, arrays))
    return ids[0, arrays["input_ids"].shape[1] :].numpy()


def _tensors(model: Any, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    import torch

    is_image = arrays["input_ids"] == model.config.image_token_id
    tensors = arrays | {"mm_token_type_ids": is_image.astype(np.int64)}
    tensors["attention_mask"] = np.ones_like(arrays["input_ids"])
    return {name: torch.from_numpy(array) for name, array in tensors.items()}
