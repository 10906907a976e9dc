"""A model's sizes as Hugging Face `config.json` fields and back.

Written in the flat form of the published checkpoints, which every transformers release with
Qwen2.5-VL reads; the nested form that transformers 5 saves is read too.
"""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skinflow_jax.checkpoints.hf_fields import (
    NOT_CARRIED,
    ROPE,
    TEXT,
    TEXT_DEFAULTS,
    TEXT_NAMES,
    TOP,
    TOP_DEFAULTS,
    VISION,
    VISION_DEFAULTS,
    VISION_NAMES,
    VISION_ROPE,
)
from skinflow_jax.errors import ConfigError, InputError
from skinflow_jax.json_file import read_json
from skinflow_jax.models.config import TextConfig, VisionConfig, VlmConfig
from skinflow_jax.typed_fields import shown

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


def config_to_hf(config: VlmConfig, source: Mapping[str, Any] | None = None) -> dict:
    """The fields of `config.json`.

    `source`: that of the folder that the model descends from, whose harmless fields stay.
    """
    text, vision = config.text, config.vision
    kind, rope = PLAIN, {}
    if vision.dve is not None:
        kind = DYNAMIC | {"dve": dataclasses.asdict(vision.dve)}
    if vision.rope_theta != VisionConfig.rope_theta:  # of transformers 5 alone
        rope = {"rope_parameters": {"rope_theta": vision.rope_theta}}
    fields = {
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
        **{theirs: getattr(text, ours) for ours, theirs in TEXT_NAMES.items()},
        "vision_config": {
            "model_type": "qwen2_5_vl",
            "hidden_act": "silu",
            "in_chans": vision.in_channels,
            "spatial_patch_size": vision.patch_size,
            "tokens_per_second": 2,
            "initializer_range": config.initializer_range,
            **{theirs: getattr(vision, ours) for ours, theirs in VISION_NAMES.items()},
            **rope,
        },
    }
    return fields if source is None else _with_harmless(fields, source)


def _with_harmless(fields: dict[str, Any], source: Mapping[str, Any]) -> dict[str, Any]:
    """`fields` and what `source` states of what nothing here reads."""
    text = {k: v for k, v in source.items() if k in TOP.harmless or k in TEXT.harmless}
    nested = source.get("text_config") or {}
    text |= {k: v for k, v in nested.items() if k in TEXT.harmless}
    vision = source.get("vision_config") or {}
    vision = {k: v for k, v in vision.items() if k in VISION.harmless}
    # transformers' default, which it writes nowhere; the published files state another.
    vision.setdefault("tokens_per_second", 4)
    bos = nested.get("bos_token_id", source.get("bos_token_id"))
    fields |= {} if bos is None else {"bos_token_id": bos}
    tower = fields["vision_config"] | _told(vision)
    return fields | _told(text) | {"vision_config": tower}


def _told(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What is stated, without what another program or folder notes of itself."""
    return {k: v for k, v in fields.items() if v is not None and k not in NOT_CARRIED}


def generation_to_hf(config: VlmConfig, source: Mapping[str, Any] | None = None) -> dict:
    """The fields of `generation_config.json`: those of `source`, with the model's own ids."""
    bos = (source or {}).get("bos_token_id")
    return {
        **({"do_sample": False} if source is None else _told(source)),
        "bos_token_id": config.pad_token_id if bos is None else bos,
        "eos_token_id": list(config.eos_token_ids),
        "pad_token_id": config.pad_token_id,
    }


@dataclass(frozen=True)
class Stated:
    """A config.json, checked field by field; transformers' defaults where it says nothing.

    `top`, `text`, `vision`: the fields that are read, by the names that they have there.
    """

    path: Path
    top: Mapping[str, Any]
    text: Mapping[str, Any]
    vision: Mapping[str, Any]

    def first(self, name: str) -> Any:
        """A field of the language model, or where it has none of the whole; None for neither."""
        return self.text.get(name) if self.text.get(name) is not None else self.top.get(name)


def read_config(folder: Path) -> Stated:
    """The config.json of a folder, in the flat form of the published checkpoints or nested.

    Raises InputError naming the field that is not known, or not what this program computes.
    """
    path = folder / "config.json"
    whole = read_json(path)
    _check_kind(whole, path)
    # transformers takes the language model's fields from the top where nothing is nested.
    outer = {name: whole[name] for name in whole if name in TEXT and name not in TOP}
    top = TOP.checked({k: v for k, v in whole.items() if k not in outer}, path)
    outer = TEXT.checked(outer, path)
    text, nested = outer, whole.get("text_config") is not None
    if nested:
        text = TEXT.checked(whole["text_config"], path, "text_config.")
    vision = VISION.checked(whole.get("vision_config") or {}, path, "vision_config.")
    stated = Stated(
        path, TOP_DEFAULTS | outer | top, TEXT_DEFAULTS | text, VISION_DEFAULTS | vision
    )
    _check_twice(TOP_DEFAULTS | top, text, path)
    if nested:
        _check_twice(stated.text, outer, path)
        if _rope(outer, path) not in (Rope(), _rope(text, path)):
            raise InputError(
                f"{path}: rope_theta and rope_scaling or rope_parameters are others in text_config "
                "than outside: correct the ones that are wrong"
            )
    _check_shapes(stated, outer)
    return stated


def _check_kind(whole: Mapping[str, Any], path: Path) -> None:
    """Raise InputError unless it is Qwen2.5-VL, as published or with our dynamic vision encoder."""
    kinds = {kind["model_type"]: kind for kind in (PLAIN, DYNAMIC)}
    model_type = whole.get("model_type")
    if not isinstance(model_type, str) or model_type not in kinds:
        raise InputError(
            f"{path}: model_type is {shown(model_type)}; only {' and '.join(kinds)} can be imported"
        )
    kind = kinds[model_type]
    if whole.get("architectures") not in (None, kind["architectures"]):
        raise InputError(
            f"{path}: architectures is {shown(whole['architectures'])}; of model_type {model_type} "
            f"only {kind['architectures'][0]} can be imported"
        )
    files, known = whole.get("auto_map") or {}, kind.get("auto_map", {})
    # transformers puts the folder that the files came from before the name.
    ours = isinstance(files, dict) and all(
        isinstance(name, str) and name.split("--")[-1] == known.get(key)
        for key, name in files.items()
    )
    if not ours:
        raise InputError(
            f"{path}: auto_map is {shown(files)}: the model needs Python files of its own, which "
            "are not run here; use a model without them"
        )
    if (whole.get("dve") is None) == (kind is DYNAMIC):
        raise InputError(f"{path}: dve and model_type {model_type} do not go together: correct it")


def _check_twice(one: Mapping[str, Any], other: Mapping[str, Any], path: Path) -> None:
    """Raise InputError where `other` states a field of `one` again, as another value."""
    for name, value in other.items():
        if value is None or name in _MAY_DIFFER or name not in one or one[name] == value:
            continue
        raise InputError(
            f"{path}: {name} is {shown(one[name])} in one place and {shown(value)} in another: "
            "correct the one that is wrong"
        )


# Either place makes the head tied; ids are sought in an order; rope is compared as a whole.
_MAY_DIFFER = {
    *("tie_word_embeddings", "eos_token_id", "pad_token_id", "bos_token_id"),
    *("rope_theta", "rope_scaling", "rope_parameters"),
}


def _check_shapes(stated: Stated, outer: Mapping[str, Any]) -> None:
    """Raise InputError where one field contradicts what others make of the model."""
    text, vision, layers = stated.text, stated.vision, stated.text["num_hidden_layers"]
    full, head = ["full_attention"] * layers, text["hidden_size"] // text["num_attention_heads"]
    for name, found, made, by in (
        ("in_chans", vision.get("in_chans"), vision["in_channels"], "in_channels"),
        (
            "spatial_patch_size",
            vision.get("spatial_patch_size"),
            vision["patch_size"],
            "patch_size",
        ),
        ("head_dim", text.get("head_dim"), head, "hidden_size and num_attention_heads"),
        ("layer_types", text.get("layer_types"), full, f"num_hidden_layers={layers}"),
        ("layer_types", outer.get("layer_types"), full, f"num_hidden_layers={layers}"),
    ):
        if found is not None and found != made:
            raise InputError(
                f"{stated.path}: {name} is {shown(found)}, and with its {by} only {shown(made)} is "
                "supported: correct the one that is wrong, or use a model with that"
            )


@dataclass(frozen=True)
class Rope:
    """Of the language model; the defaults are transformers'."""

    theta: float = 1e6
    mrope_section: tuple[int, int, int] = (16, 24, 24)


def _rope(text: Mapping[str, Any], path: Path) -> Rope:
    """Of `rope_scaling`, which comes first, or `rope_parameters`, and a theta in it or beside."""
    scaling, parameters = (
        ROPE.checked(text.get(group) or {}, path, f"{group}.")
        for group in ("rope_scaling", "rope_parameters")
    )
    rope = scaling if text.get("rope_scaling") else parameters
    theta = rope.get("rope_theta", text.get("rope_theta", Rope.theta))
    return Rope(theta, rope.get("mrope_section", Rope.mrope_section))


def _vision_theta(vision: Mapping[str, Any], path: Path) -> float:
    rope = vision.get("rope_parameters") or {}
    rope = VISION_ROPE.checked(rope, path, "vision_config.rope_parameters.")
    return rope.get("rope_theta", vision.get("rope_theta", VisionConfig.rope_theta))


def vlm_config(
    stated: Stated, name: str, *, eos_ids: tuple[int, ...], pad_id: int | None
) -> VlmConfig:
    """The model that a config.json describes; without a pad it is the bos, as Qwen has it."""
    top, text, vision, path = stated.top, stated.text, stated.vision, stated.path
    rope = _rope(text, path)
    sizes = {ours: text[theirs] for ours, theirs in TEXT_NAMES.items()}
    if sizes["num_kv_heads"] is None:
        sizes["num_kv_heads"] = sizes["num_heads"]
    if pad_id is None:
        pad_id = stated.first("bos_token_id")
    try:
        return VlmConfig(
            name=name,
            vision=VisionConfig(
                rope_theta=_vision_theta(vision, path),
                dve=top.get("dve"),
                **{ours: vision[theirs] for ours, theirs in VISION_NAMES.items()},
            ),
            text=TextConfig(
                rope_theta=rope.theta,
                mrope_section=rope.mrope_section,
                tie_word_embeddings=top["tie_word_embeddings"]
                or bool(text.get("tie_word_embeddings")),
                **sizes,
            ),
            eos_token_ids=eos_ids,
            pad_token_id=eos_ids[0] if pad_id is None else pad_id,
            initializer_range=stated.first("initializer_range") or VlmConfig.initializer_range,
            **{name: top[name] for name in TOP_DEFAULTS if name.endswith("_id")},
        )
    except ConfigError as error:
        raise InputError(f"{path}: {_in_their_words(str(error))}: correct it") from error


def _in_their_words(message: str) -> str:
    """A message about our config's fields, by the names that they have in the file."""
    for group, names, place in (
        ("text", TEXT_NAMES, ""),
        ("vision", VISION_NAMES, "vision_config."),
    ):
        for ours, theirs in names.items():
            message = re.sub(rf"\b{group}\.{ours}\b", place + theirs, message)
    return message


def ends_of(
    generation: Mapping[str, Any], stated: Stated, where: Path
) -> tuple[tuple[int, ...] | None, int | None]:
    """(ids that end an answer, id that pads): of generation_config.json, else config.json.

    None where neither says. Raises InputError for what is no id of the vocabulary.
    """
    eos, pad, _ = (
        _id_of(name, generation, stated, where)
        for name in ("eos_token_id", "pad_token_id", "bos_token_id")
    )
    return eos, None if pad is None else pad[0]


def _id_of(name: str, generation, stated: Stated, where: Path) -> tuple[int, ...] | None:
    file = "config.json" if generation.get(name) is None else "generation_config.json"
    found = generation.get(name)
    found = stated.first(name) if found is None else found
    if found is None:
        return None
    ids = found if isinstance(found, list) else [found]
    rows = stated.text["vocab_size"]
    if not ids or not all(type(i) is int and 0 <= i < rows for i in ids):
        raise InputError(
            f"{where / file}: {name}={shown(found)} must name tokens, from 0 to {rows - 1}: "
            "correct it"
        )
    return tuple(ids)
