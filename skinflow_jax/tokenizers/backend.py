"""What a tokenizer.json must be so that every program makes the same ids of a text.

transformers 5 reads all of it only under some class names. Under Qwen's, or where no class is
named, it takes vocabulary, merges and post-processor, and adds Qwen's own rules to them. Source:
`convert_to_native_format` and models/qwen2/tokenization_qwen2.py of transformers.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tokenizers

from skinflow_jax.errors import InputError
from skinflow_jax.typed_fields import shown

# As in the tokenizer.json of Qwen/Qwen2.5-VL-7B-Instruct.
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_NORMALIZER = {"type": "NFC"}
_PRE_TOKENIZER = {
    "type": "Sequence",
    "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": _WORDS}, "behavior": "Isolated", "invert": False},
        {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
    ],
}
_DECODER = "ByteLevel"
# Of the BPE model; Qwen's has none of them.
_OPTIONS = (
    *("unk_token", "continuing_subword_prefix", "end_of_word_suffix"),
    *("fuse_unk", "byte_fallback", "ignore_merges"),
)


def check_backend(
    tokenizer: tokenizers.Tokenizer, stated: Mapping[str, Any], path: Path, config: Path
) -> None:
    """Raise InputError where some program would make other ids of a text, or others each time.

    Args:
      tokenizer: of the tokenizer.json at `path`.
      stated: the fields of tokenizer_config.json, which `config` is.
    """
    dropout = getattr(tokenizer.model, "dropout", None)
    if dropout:
        raise InputError(
            f"{path}: its model has dropout {dropout:.3g}, which gives a text other ids each "
            "time: set it to null"
        )
    if tokenizer.num_special_tokens_to_add(is_pair=False):
        raise InputError(
            f"{path}: its post_processor adds special tokens to a text, where here only the chat "
            "template does: set it to null"
        )
    name = stated.get("tokenizer_class")
    if name is None or "Qwen2" in name:
        told = "no tokenizer_class" if name is None else f"tokenizer_class {name}"
        _check_qwen(tokenizer, stated.get("added_tokens_decoder"), path, config, told)


def _check_qwen(tokenizer, listed: Mapping[str, Any] | None, path: Path, config: Path, told: str):
    """Raise InputError where what transformers 5 makes of the file is another tokenizer."""
    for part in _unlike_qwen(tokenizer):
        raise InputError(
            f"{path}: its {part} is not Qwen's, which transformers 5 takes for {told}: if the file "
            f'is right, state "tokenizer_class": "PreTrainedTokenizerFast" in {config}'
        )
    added = {str(i): token for i, token in tokenizer.get_added_tokens_decoder().items()}
    for number in () if listed is None else sorted(added.keys() - listed, key=int):
        raise InputError(
            f"{config}: added_tokens_decoder has no {number}, {shown(added[number].content)}, and "
            f"of {path.name} transformers 5 takes the added tokens listed there for {told}: add it"
        )


def _unlike_qwen(tokenizer: tokenizers.Tokenizer) -> Iterator[str]:
    """The parts that are other than in Qwen's tokenizer."""
    model = tokenizer.model
    if not isinstance(model, tokenizers.models.BPE) or any(getattr(model, o) for o in _OPTIONS):
        yield "model"
    if _state(tokenizer.normalizer) != _NORMALIZER:
        yield "normalizer"
    if _state(tokenizer.pre_tokenizer) != _PRE_TOKENIZER:
        yield "pre_tokenizer"
    if _state(tokenizer.decoder).get("type") != _DECODER:
        yield "decoder"


def _state(part: Any) -> dict[str, Any]:
    """What a part is, but for offsets, which nobody asks for here; nothing where there is none."""
    return {} if part is None else json.loads(part.__getstate__(), object_hook=_without_offsets)


def _without_offsets(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name != "trim_offsets"}
