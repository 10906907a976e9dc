"""The JSON files beside a tokenizer.json: each field read, as this program does it, or harmless.

tokenizer.json says how text becomes ids. The others name special tokens for the chat template, and
repeat, for other programs, what must be the same there. Source: tokenization_utils_base.py of
transformers.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tokenizers

from skinflow_jax.errors import InputError
from skinflow_jax.json_file import FieldTable, read_json
from skinflow_jax.tokenizers.backend import check_backend
from skinflow_jax.typed_fields import Finite, shown

CONFIG = "tokenizer_config.json"

NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
"""The special tokens that a chat template may name."""

# What transformers' Qwen2Tokenizer takes where the file has no such key; null is none.
_QWEN_DEFAULTS = dict.fromkeys(("eos_token", "unk_token", "pad_token"), "<|endoftext|>")

_LISTS = ("additional_special_tokens", "extra_special_tokens", "model_specific_special_tokens")
_OF_IMAGES = {
    "image_token": "<|image_pad|>",
    "video_token": "<|video_pad|>",
    "vision_bos_token": "<|vision_start|>",
    "vision_eos_token": "<|vision_end|>",
}
_SPECIAL = {
    "read": dict.fromkeys((*NAMED, *_LISTS), Any),
    "fixed": {name: (token, None) for name, token in _OF_IMAGES.items()},
}

_CONFIG = FieldTable(
    read={**_SPECIAL["read"], "added_tokens_decoder": dict[str, Any], "chat_template": Any},
    fixed={
        **_SPECIAL["fixed"],
        "tokenizer_class": (
            *("Qwen2Tokenizer", "Qwen2TokenizerFast", "PreTrainedTokenizerFast"),
            *("TokenizersBackend", None),
        ),
        # Each would give other ids, or other text of the same ids.
        **dict.fromkeys(
            (
                *("add_prefix_space", "add_bos_token", "add_eos_token", "split_special_tokens"),
                *("clean_up_tokenization_spaces", "spaces_between_special_tokens"),
            ),
            (False, None),
        ),
        "errors": ("replace", None),
        "auto_map": (None, {}),
        "init_inputs": ([], None),
    },
    harmless={
        # Prompts are padded and limited by the config of a run.
        **dict.fromkeys(
            ("model_max_length", "max_len", "max_length", "stride", "pad_to_multiple_of"),
            Annotated[float, Finite()] | None,
        ),
        **dict.fromkeys(
            (
                *("padding_side", "truncation_side", "padding", "truncation"),
                *("truncation_strategy", "pad_token_type_id", "model_input_names"),
                # Of the classes and files it was made by.
                *("processor_class", "name_or_path", "backend", "is_local", "local_files_only"),
                *("files_loaded", "use_fast", "verbose", "legacy", "tokenizer_file", "vocab_file"),
                *("merges_file", "special_tokens_map_file", "unsloth_version", "trim_offsets"),
                # Arguments that a processor was loaded with: transformers notes them here too.
                *("min_pixels", "max_pixels", "device_map", "torch_dtype", "trust_remote_code"),
                *("attn_implementation", "revision", "cache_dir", "use_auth_token", "_from_auto"),
                # Of conversations beyond what is asked here.
                *("response_schema", "response_template", "chat_control_tokens"),
                "use_default_system_prompt",
            ),
            Any,
        ),
    },
)
_MAP = FieldTable(**_SPECIAL)


@dataclass(frozen=True)
class TokenizerConfig:
    """What is read: `special`, name to token, of `NAMED`; `fields` of tokenizer_config.json."""

    special: Mapping[str, str]
    fields: Mapping[str, Any]


def read_tokenizer_config(folder: Path, tokenizer: tokenizers.Tokenizer) -> TokenizerConfig:
    """Read the files in `folder` beside the tokenizer.json that `tokenizer` is of.

    Raises InputError naming the field that is not known, or contradicts tokenizer.json.
    """
    path = folder / CONFIG
    stated = read_json(path) if path.is_file() else {}
    fields = _CONFIG.checked(stated, path)
    check_backend(tokenizer, stated, folder / "tokenizer.json", path)
    added = _Added(tokenizer)
    added.check_decoder(fields.get("added_tokens_decoder") or {}, path)
    if "Qwen2" in (stated.get("tokenizer_class") or ""):
        fields = _QWEN_DEFAULTS | fields
    special = added.named(fields, path)
    path = folder / "special_tokens_map.json"
    if path.is_file():
        for name, token in added.named(_MAP.checked(read_json(path), path), path).items():
            if stated.get(name) is not None and special[name] != token:
                raise InputError(
                    f"{path}: {name} is {shown(token)}, and {shown(special[name])} in {CONFIG}: "
                    "correct the one that is wrong"
                )
            special = {**special, name: token}
    path = folder / "added_tokens.json"
    for token, number in (read_json(path) if path.is_file() else {}).items():
        added.check(token, number, path)
    return TokenizerConfig(special, fields)


class _Added:
    """The added tokens of a tokenizer.json, which the other files repeat."""

    def __init__(self, tokenizer: tokenizers.Tokenizer):
        self._tokenizer = tokenizer
        self._by_id = tokenizer.get_added_tokens_decoder()
        self._special = {token.content for token in self._by_id.values() if token.special}

    def named(self, fields: Mapping[str, Any], path: Path) -> dict[str, str]:
        """The special tokens by name. Raises InputError for one that tokenizer.json has not."""
        for name in _LISTS:
            for token in _tokens(fields.get(name), f"{path}: {name}"):
                if token not in self._special:
                    raise InputError(
                        f"{path}: {name} has {shown(token)}, which is no special token of "
                        "tokenizer.json: the two must be of one tokenizer"
                    )
        special = {}
        for name in NAMED:
            if fields.get(name) is None:
                continue
            (special[name],) = _tokens([fields[name]], f"{path}: {name}")
            if special[name] not in self._special:  # transformers would add it, or make it one
                raise InputError(
                    f"{path}: {name} is {shown(special[name])}, which is no special token of "
                    "tokenizer.json: the two must be of one tokenizer"
                )
        return special

    def check(self, token: str, number: Any, path: Path) -> None:
        """Raise InputError unless `number` is the id of `token`."""
        found = self._tokenizer.token_to_id(token)
        if type(number) is not int or found != number:
            raise InputError(
                f"{path}: {shown(token)} is {shown(number)}, in tokenizer.json {found}: the two "
                "must be of one tokenizer"
            )

    def check_decoder(self, decoder: Mapping[str, Any], path: Path) -> None:
        """Raise InputError unless each token, by its id, is as tokenizer.json has it."""
        by_id = {str(number): token for number, token in self._by_id.items()}
        for number, stated in decoder.items():
            token = by_id.get(number)
            if token is None or not isinstance(stated, dict) or not _alike(token, stated):
                raise InputError(
                    f"{path}: added_tokens_decoder[{shown(number)}] is {shown(stated)}, and not so "
                    "in tokenizer.json: the two must be of one tokenizer"
                )


_ATTRIBUTES = ("content", "lstrip", "rstrip", "single_word", "normalized", "special")


def _alike(token: tokenizers.AddedToken, stated: Mapping[str, Any]) -> bool:
    return stated.keys() <= {*_ATTRIBUTES, "__type"} and all(
        stated[name] == getattr(token, name) for name in _ATTRIBUTES if name in stated
    )


def _tokens(stated: Any, where: str) -> Iterator[str]:
    """The texts of tokens, each given as text or as an object with `content`."""
    if isinstance(stated, dict):
        stated = list(stated.values())
    if stated is not None and not isinstance(stated, list):
        raise InputError(f"{where}={shown(stated)} must be a list of tokens: correct it")
    for entry in stated or ():
        text = entry.get("content") if isinstance(entry, dict) else entry
        if not isinstance(text, str) or not text:
            raise InputError(f"{where}={shown(entry)} must be a token's text: correct it")
        yield text
