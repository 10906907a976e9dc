"""A model's sizes as Hugging Face `config.json` fields and back.

Written in the flat form of the published checkpoints, which every transformers release with
Qwen2.5-VL reads; the nested form that transformers 5 saves is read too.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from skinflow_jax.errors import ConfigError, InputError
from skinflow_jax.json_file import read_json
from skinflow_jax.models.config import DveConfig, TextConfig, VisionConfig, VlmConfig
from skinflow_jax.typed_fields import from_dict, shown

_VISION = {
    "depth": "depth",
    "hidden_size": "hidden_size",
    "intermediate_size": "intermediate_size",
    "num_heads": "num_heads",
    "patch_size": "patch_size",
    "temporal_patch_size": "temporal_patch_size",
    "merge_size": "spatial_merge_size",
    "window_size": "window_size",
    "out_hidden_size": "out_hidden_size",
}
_TEXT = {
    "vocab_size": "vocab_size",
    "hidden_size": "hidden_size",
    "intermediate_size": "intermediate_size",
    "num_layers": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "num_kv_heads": "num_key_value_heads",
    "norm_eps": "rms_norm_eps",
    "max_position_embeddings": "max_position_embeddings",
}

PLAIN = {"architectures": ["Qwen2_5_VLForConditionalGeneration"], "model_type": "qwen2_5_vl"}
# The classes in `torch_dve`, which the exported folder carries.
DYNAMIC = {
    "architectures": ["SkinflowForConditionalGeneration"],
    "model_type": "skinflow_qwen2_5_vl",
    "auto_map": {
        "AutoConfig": "configuration_skinflow.SkinflowConfig",
        "AutoModelForImageTextToText": "modeling_skinflow.SkinflowForConditionalGeneration",
    },
}


def config_to_hf(config: VlmConfig) -> dict:
    """The fields of `config.json`."""
    text, vision = config.text, config.vision
    kind = PLAIN
    if vision.dve is not None:
        kind = DYNAMIC | {"dve": dataclasses.asdict(vision.dve)}
    return {
        **kind,
        "attention_dropout": 0.0,
        "bos_token_id": config.pad_token_id,
        "eos_token_id": config.eos_token_ids[0],
        "pad_token_id": config.pad_token_id,
        "image_token_id": config.image_token_id,
        "video_token_id": config.video_token_id,
        "vision_start_token_id": config.vision_start_token_id,
        "vision_end_token_id": config.vision_end_token_id,
        "hidden_act": "silu",
        "initializer_range": config.initializer_range,
        "rope_theta": text.rope_theta,
        "rope_scaling": {"type": "mrope", "mrope_section": list(text.mrope_section)},
        "tie_word_embeddings": text.tie_word_embeddings,
        "torch_dtype": "float32",
        "use_cache": True,
        "use_sliding_window": False,
        **{theirs: getattr(text, ours) for ours, theirs in _TEXT.items()},
        "vision_config": {
            "model_type": "qwen2_5_vl",
            "hidden_act": "silu",
            "in_channels": vision.in_channels,
            "in_chans": vision.in_channels,
            "spatial_patch_size": vision.patch_size,
            "tokens_per_second": 2,
            "fullatt_block_indexes": list(vision.full_attention_blocks),
            "initializer_range": config.initializer_range,
            **{theirs: getattr(vision, ours) for ours, theirs in _VISION.items()},
        },
    }


def stated_ends(
    folder: Path, generation: Mapping[str, Any]
) -> tuple[tuple[int, ...] | None, int | None]:
    """(ids that end an answer, id that pads) as the folder's configs state them; None: they do not.

    `generation`: the fields of generation_config.json, which come first.
    """
    path = folder / "config.json"
    top = read_json(path)
    text = _group(top, "text_config", path)
    places = (generation, text, top)
    eos, pad = (
        next((p[name] for p in places if p.get(name) is not None), None)
        for name in ("eos_token_id", "pad_token_id")
    )
    eos = eos if eos is None or isinstance(eos, list) else [eos]
    for ids in (eos, None if pad is None else [pad]):
        if ids is not None and not (ids and all(type(i) is int and i >= 0 for i in ids)):
            raise InputError(
                f"{folder}: eos_token_id and pad_token_id must be ids of tokens, not {shown(ids)}: "
                "correct generation_config.json or config.json"
            )
    return None if eos is None else tuple(eos), pad


def _group(top: Mapping[str, Any], name: str, path: Path) -> Mapping[str, Any]:
    """A config in the config; the whole where it is flat."""
    found = top.get(name)
    if found is not None and not isinstance(found, dict):
        raise InputError(f"{path}: {name} must be an object, not {shown(found)}: restore the file")
    return found or top


def config_from_hf(
    folder: Path, *, eos_ids: tuple[int, ...] | None, pad_id: int | None
) -> VlmConfig:
    """The sizes that a Hugging Face model folder states in its config.json.

    `eos_ids`, `pad_id`: see `stated_ends`; without a pad it is the bos.
    """
    path = folder / "config.json"
    top = read_json(path)
    known = [PLAIN["model_type"], DYNAMIC["model_type"]]
    if top.get("model_type") not in known:
        raise InputError(
            f"{path}: model_type is {top.get('model_type')!r}; only {' and '.join(known)} can be "
            "imported"
        )
    dynamic = top["model_type"] == DYNAMIC["model_type"]
    text = _group(top, "text_config", path)
    vision = top.get("vision_config") or {}
    rope = text.get("rope_parameters") or text.get("rope_scaling") or {}
    if eos_ids is None:
        raise InputError(f"{path} states no eos_token_id, and there is no tokenizer: restore it")
    try:
        return VlmConfig(
            name=folder.name,
            vision=VisionConfig(
                in_channels=vision.get("in_channels", vision.get("in_chans", 3)),
                full_attention_blocks=tuple(vision["fullatt_block_indexes"]),
                dve=from_dict(DveConfig, top["dve"], "dve.") if dynamic else None,
                **{ours: vision[theirs] for ours, theirs in _VISION.items() if theirs in vision},
            ),
            text=TextConfig(
                rope_theta=float(rope.get("rope_theta", text.get("rope_theta", 1e6))),
                mrope_section=tuple(rope["mrope_section"]),
                tie_word_embeddings=top.get("tie_word_embeddings", False),
                **{ours: text[theirs] for ours, theirs in _TEXT.items()},
            ),
            image_token_id=top["image_token_id"],
            video_token_id=top["video_token_id"],
            vision_start_token_id=top["vision_start_token_id"],
            vision_end_token_id=top["vision_end_token_id"],
            eos_token_ids=eos_ids,
            pad_token_id=pad_id if pad_id is not None else text["bos_token_id"],
            initializer_range=top.get("initializer_range", text.get("initializer_range", 0.02)),
        )
    except KeyError as error:
        raise InputError(
            f"{path} lacks the field {error}: it is not a Qwen2.5-VL config"
        ) from error
    except (ConfigError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is not a usable Qwen2.5-VL config: {error}") from error
