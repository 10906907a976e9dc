"""The fields of a Qwen2.5-VL's config.json and generation_config.json, each read or accounted for.

A field that no table names is refused: it may change what the model computes. Sources: the config
classes and `GenerationConfig` of transformers 4.41 to 5.24, and what trainers add.
"""

from typing import Annotated, Any

from skinflow_jax.json_file import FieldTable
from skinflow_jax.models.config import DveConfig, Index, TextConfig, VisionConfig, VlmConfig
from skinflow_jax.typed_fields import Finite, declarations

VISION_NAMES = {
    "depth": "depth",
    "hidden_size": "hidden_size",
    "intermediate_size": "intermediate_size",
    "num_heads": "num_heads",
    "in_channels": "in_channels",
    "patch_size": "patch_size",
    "temporal_patch_size": "temporal_patch_size",
    "merge_size": "spatial_merge_size",
    "window_size": "window_size",
    "full_attention_blocks": "fullatt_block_indexes",
    "out_hidden_size": "out_hidden_size",
}
"""Ours to theirs."""

TEXT_NAMES = {
    "vocab_size": "vocab_size",
    "hidden_size": "hidden_size",
    "intermediate_size": "intermediate_size",
    "num_layers": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "num_kv_heads": "num_key_value_heads",
    "norm_eps": "rms_norm_eps",
    "max_position_embeddings": "max_position_embeddings",
}
"""Ours to theirs."""

# transformers writes no field of a nested config that has its default: absent means these.
VISION_DEFAULTS = {
    "depth": 32,
    "hidden_size": 3584,
    "intermediate_size": 3420,
    "num_heads": 16,
    "in_channels": 3,
    "patch_size": 14,
    "temporal_patch_size": 2,
    "spatial_merge_size": 2,
    "window_size": 112,
    "fullatt_block_indexes": (7, 15, 23, 31),
    "out_hidden_size": 3584,
}
TEXT_DEFAULTS = {
    "vocab_size": 152_064,
    "hidden_size": 8192,
    "intermediate_size": 29_568,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "rms_norm_eps": 1e-5,
    "max_position_embeddings": 32_768,
}
TOP_DEFAULTS = {
    "image_token_id": 151_655,
    "video_token_id": 151_656,
    "vision_start_token_id": 151_652,
    "vision_end_token_id": 151_653,
    "tie_word_embeddings": False,
}

NUMBER = Annotated[float, Finite()] | None
FLAG = bool | None
SIZE = declarations(TextConfig)["hidden_size"]
ID = Index | None
IDS = Any  # one or several: looked at in `hf_config.ends_of`
SPREAD = declarations(VlmConfig)["initializer_range"]
THETA = declarations(TextConfig)["rope_theta"]

# Of generation, looked at by no forward pass; transformers 4 wrote their defaults into configs.
_SAMPLING_NUMBERS = (
    *("temperature", "top_k", "top_p", "min_p", "top_h", "typical_p", "epsilon_cutoff"),
    *("eta_cutoff", "repetition_penalty", "encoder_repetition_penalty", "length_penalty"),
    *("diversity_penalty", "penalty_alpha", "guidance_scale", "no_repeat_ngram_size"),
    *("encoder_no_repeat_ngram_size", "max_length", "max_new_tokens", "min_length"),
    *("min_new_tokens", "max_time", "num_beams", "num_beam_groups", "num_return_sequences"),
    *("prefill_chunk_size", "max_cache_len", "num_assistant_tokens", "max_matching_ngram_size"),
    *("prompt_lookup_num_tokens", "assistant_confidence_threshold", "assistant_early_exit"),
    *("assistant_lookbehind", "target_lookbehind", "assistant_ensemble_weight"),
)
_SAMPLING_FLAGS = (
    *("do_sample", "use_cache", "output_attentions", "output_hidden_states", "output_scores"),
    *("output_logits", "return_dict_in_generate", "remove_invalid_values", "renormalize_logits"),
    *("token_healing", "is_assistant", "low_memory", "disable_compile", "use_mtp"),
)
_SAMPLING_OTHERS = (
    *("early_stopping", "stop_strings", "bad_words_ids", "force_words_ids", "constraints"),
    *("suppress_tokens", "begin_suppress_tokens", "forced_bos_token_id", "forced_eos_token_id"),
    *("forced_decoder_ids", "sequence_bias", "exponential_decay_length_penalty", "dola_layers"),
    *("decoder_start_token_id", "watermarking_config", "cache_implementation", "cache_config"),
    *("compile_config", "continuous_batching_config", "num_assistant_tokens_schedule"),
    *("speculation_type", "generation_kwargs"),
)
# What transformers and trainers note about themselves.
_NOTES = (
    *("transformers_version", "_name_or_path", "name_or_path", "_commit_hash", "_auto_class"),
    *("_attn_implementation_autoset", "_attn_implementation", "attn_implementation"),
    *("_attn_implementation_internal", "_experts_implementation", "_from_model_config"),
    *("unsloth_version", "unsloth_fixed"),
)

NOT_CARRIED = frozenset({*_NOTES, "torch_dtype", "dtype", "architectures"})
"""What an export says anew, or not at all."""

GENERATION = FieldTable(
    read={"eos_token_id": IDS, "pad_token_id": ID, "bos_token_id": ID},
    # How to sample is ours to say, by config and flags; an export carries it along.
    harmless={
        **dict.fromkeys(_SAMPLING_NUMBERS, NUMBER),
        **dict.fromkeys(_SAMPLING_FLAGS, FLAG),
        **dict.fromkeys((*_SAMPLING_OTHERS, *_NOTES), Any),
    },
)

# Of any config of transformers.
_ANY_FIXED = {
    "is_encoder_decoder": (False, None),
    "is_decoder": (False, None),
    "add_cross_attention": (False, None),
    "tie_encoder_decoder": (False, None),
    "pruned_heads": ({}, None),
    "per_layer_config": (None,),
    # AWQ, GPTQ, FP8, bitsandbytes: their tensors are no plain weights.
    "quantization_config": (None,),
    "compression_config": (None,),
}
_ANY_HARMLESS = dict.fromkeys(
    (
        *_NOTES,
        *(*_SAMPLING_NUMBERS, *_SAMPLING_FLAGS, *_SAMPLING_OTHERS),
        # The tensors say their type themselves.
        *("torch_dtype", "dtype"),
        # What is returned, and the heads of other tasks.
        *("return_dict", "tie_last_hidden_states", "chunk_size_feed_forward", "torchscript"),
        *("id2label", "label2id", "num_labels", "problem_type", "finetuning_task"),
        *("task_specific_params", "tf_legacy_loss", "use_bfloat16", "prefix", "tokenizer_class"),
        *("sep_token_id", "cross_attention_hidden_size"),
    ),
    Any,
)

TEXT = FieldTable(
    read={
        **{theirs: declarations(TextConfig)[ours] for ours, theirs in TEXT_NAMES.items()},
        "num_key_value_heads": SIZE | None,
        "rope_theta": THETA,
        "rope_scaling": Any,
        "rope_parameters": Any,
        "head_dim": SIZE | None,
        "layer_types": Any,
        "initializer_range": SPREAD,
        "tie_word_embeddings": FLAG,
        "eos_token_id": IDS,
        "pad_token_id": ID,
        "bos_token_id": ID,
        # In transformers 4.52 to 4.57 also here, null or as above.
        **dict.fromkeys((name for name in TOP_DEFAULTS if name.endswith("_id")), ID),
    },
    fixed={
        **_ANY_FIXED,
        "hidden_act": ("silu",),
        "use_sliding_window": (False, None),
        "partial_rotary_factor": (1, None),
        "model_type": ("qwen2_5_vl_text", "qwen2_5_vl"),
    },
    harmless={
        **_ANY_HARMLESS,
        # Without `use_sliding_window` the others say nothing.
        **{"sliding_window": NUMBER, "max_window_layers": NUMBER},
        # Of training by transformers; evaluated, a model has no dropout.
        "attention_dropout": NUMBER,
        # No class of transformers reads it.
        "vision_token_id": ID,
        "architectures": Any,
    },
)

ROPE = FieldTable(
    read={
        "rope_theta": THETA,
        "mrope_section": declarations(TextConfig)["mrope_section"],
    },
    fixed={
        "rope_type": ("default", "mrope"),
        "type": ("default", "mrope"),
        "partial_rotary_factor": (1, None),
    },
)

VISION = FieldTable(
    read={
        **{theirs: declarations(VisionConfig)[ours] for ours, theirs in VISION_NAMES.items()},
        # Twice in the published files; transformers reads `in_channels` and `patch_size`.
        **{"in_chans": SIZE, "spatial_patch_size": SIZE},
        "rope_theta": THETA,
        "rope_parameters": Any,
    },
    fixed={
        **_ANY_FIXED,
        "hidden_act": ("silu",),
        "model_type": ("qwen2_5_vl_vision", "qwen2_5_vl"),
    },
    harmless={
        **_ANY_HARMLESS,
        # Of videos, which are not taken.
        "tokens_per_second": NUMBER,
        # New weights of the tower are not drawn from it.
        "initializer_range": NUMBER,
        # Every config of transformers 4 has them; a tower has no vocabulary.
        **dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), Any),
        "tie_word_embeddings": FLAG,
        "architectures": Any,
    },
)

VISION_ROPE = FieldTable(
    read={"rope_theta": THETA},
    fixed={"rope_type": ("axial", "default"), "type": ("axial", "default")},
)

TOP = FieldTable(
    read={
        **{name: Index for name in TOP_DEFAULTS if name.endswith("_id")},
        "tie_word_embeddings": bool,
        "model_type": Any,
        "architectures": Any,
        "auto_map": Any,
        "text_config": Any,
        "vision_config": Any,
        "dve": DveConfig | None,
    },
    fixed=_ANY_FIXED,
    harmless={**_ANY_HARMLESS, "vision_token_id": ID},
)
