"""Small Hugging Face folders of JSON files: Qwen's own shapes and those that transformers saves."""

import json
from pathlib import Path

from transformers import Qwen2_5_VLConfig
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

IDS = {
    "image_token_id": 6,
    "video_token_id": 7,
    "vision_start_token_id": 4,
    "vision_end_token_id": 5,
}
TEXT = {
    "vocab_size": 1024,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
    "rms_norm_eps": 1e-6,
    "rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 500.0},
    "bos_token_id": 1,
    "eos_token_id": 3,
}
VISION = {
    "depth": 2,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_heads": 2,
    "out_hidden_size": 64,
    "fullatt_block_indexes": [1],
}
GENERATION = {
    "bos_token_id": 1,
    "pad_token_id": 1,
    "eos_token_id": [3, 1],
    "do_sample": True,
    "temperature": 1e-6,
    "repetition_penalty": 1.05,
    "transformers_version": "4.37.0",
}


def small_config(**changes) -> Qwen2_5_VLConfig:
    """Of a model that takes no time; `changes` are of the language model."""
    tied = changes.pop("tie_word_embeddings", False)
    return Qwen2_5_VLConfig(
        text_config={**TEXT, **changes},
        vision_config=dict(VISION),
        tie_word_embeddings=tied,
        **IDS,
    )


def flat(config: dict) -> dict:
    """A config that transformers 5 wrote, as the published checkpoints and transformers 4.41 do."""
    text = dict(config["text_config"])
    rope = text.pop("rope_parameters")
    for name in ("model_type", "layer_types", "dtype"):
        text.pop(name, None)
    vision = dict(config["vision_config"]) | {"model_type": "qwen2_5_vl", "in_chans": 3}
    vision.pop("rope_parameters")
    top = {k: v for k, v in config.items() if k not in ("text_config", "dtype")}
    return {
        **text,
        **top,
        "rope_theta": rope["rope_theta"],
        "rope_scaling": {"type": "mrope", "mrope_section": rope["mrope_section"]},
        "torch_dtype": "float32",
        "vision_config": vision,
    }


def doubled(config: dict) -> dict:
    """The same as transformers 4.52 to 4.55 do: the language model at the top and nested."""
    top = flat(config)
    scaling = top["rope_scaling"] | {"type": "default", "rope_type": "default"}
    text = {k: v for k, v in top.items() if k in config["text_config"]}
    nested = dict.fromkeys(("image_token_id", "video_token_id")) | {"sliding_window": None}
    text |= {**nested, "rope_theta": top["rope_theta"], "rope_scaling": scaling}
    text |= {"model_type": "qwen2_5_vl_text", "torch_dtype": "float32"}
    text["layer_types"] = ["full_attention"] * text["num_hidden_layers"]
    return top | {"rope_scaling": scaling, "text_config": text}


def processor() -> dict:
    """The processor_config.json of transformers 5."""
    images = json.loads(Qwen2VLImageProcessorPil().to_json_string())
    video = images | {"video_processor_type": "Qwen2VLVideoProcessor", "fps": 2.0}
    return {
        "processor_class": "Qwen2_5_VLProcessor",
        "image_processor": images,
        "video_processor": video,
    }


def write(folder: Path, **files: dict) -> Path:
    """Write `NAME.json` for each of `files` into `folder`, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder
