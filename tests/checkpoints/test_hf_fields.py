"""Every field of the files in a Hugging Face folder is read, refused by name, or known as harmless.

The fields come from the files themselves, Qwen's own and those that transformers saves: one that a
new version adds is changed here too, and fails unless it is one of the three.
"""

import copy
import json

import pytest
from hf_files import GENERATION, doubled, flat, processor, small_config, write
from tokenizers import Tokenizer
from transformers import AutoTokenizer, GenerationConfig

from skinflow_jax.checkpoints import hf_fields
from skinflow_jax.checkpoints.hf_config import config_to_hf, generation_to_hf
from skinflow_jax.checkpoints.hf_folder import read_folder, source_objects
from skinflow_jax.errors import InputError
from skinflow_jax.tokenizers import tokenizer_config as tokenizer_fields
from skinflow_jax.tokenizers import train_sentencepiece
from skinflow_jax.tokenizers.chat_template import find_template
from skinflow_jax.tokenizers.tokenizer_config import read_tokenizer_config


def leaves(value, path=()):
    """The path of every value that holds no others; a list is one value."""
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from leaves(inner, (*path, name))
    else:
        yield path


def objects(value, path=()):
    if isinstance(value, dict):
        yield path
        for name, inner in value.items():
            yield from objects(inner, (*path, name))


def at(value, path):
    for name in path:
        value = value[name]
    return value


def flipped(value):
    """Another value of the same type: what a check of types lets through."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, list):
        return [flipped(value[0]), *value[1:]] if value else ["x"]
    return f"{value}x" if isinstance(value, str) else "x"


def changed(content, path, value):
    content = copy.deepcopy(content)
    at(content, path[:-1])[path[-1]] = value
    return content


REFUSED = "a_new_field|not so in tokenizer|is no special token"


def unnoticed(content, state_of, *, harmless, ignored=()):
    """The fields of `content` whose change nobody notices, though they are not known as harmless.

    `state_of(content)`: all that the program knows of it. `harmless(path)`: the names known there.
    `ignored`: objects that are harmless as a whole.
    """
    before, silent = state_of(content), []
    for path in leaves(content):
        if path[0] in ignored:
            continue
        try:
            same = state_of(changed(content, path, flipped(at(content, path)))) == before
        except InputError as error:
            assert "\n" not in str(error)
            assert any(str(name) in str(error) for name in path), f"{path}: {error}"
            continue
        if same and not set(path) & set(harmless(path)):
            silent.append(path)
    for path in objects(content):
        if path and (path[0] in ignored or path[-1] in harmless(path)):
            continue
        with pytest.raises(InputError, match=REFUSED):
            state_of(changed(content, (*path, "a_new_field"), 1))
    return silent


def known(folder):
    """What becomes of a folder: model, pixel budget, and the ids that only an export writes."""
    stated = read_folder(folder)
    before = source_objects(stated.files)
    bos = (
        config_to_hf(stated.config, before["config.json"])["bos_token_id"],
        generation_to_hf(stated.config, before.get("generation_config.json", {}))["bos_token_id"],
    )
    return stated.config, stated.pixels, bos


NEW = json.loads(small_config().to_json_string())
CONFIGS = {
    "as transformers saves it": NEW,
    "every field of transformers": json.loads(small_config().to_json_string(use_diff=False)),
    "as published": flat(NEW),
    "twice": doubled(NEW),
}


def harmless_in_config(path):
    if path[0] == "vision_config":
        return hf_fields.VISION.harmless
    return {**hf_fields.TOP.harmless, **hf_fields.TEXT.harmless}


@pytest.mark.parametrize("kind", [*CONFIGS, "qwen"])
def test_every_field_of_a_config(kind, request, tmp_path):
    if kind == "qwen":
        folder = request.getfixturevalue("test_data") / "qwen2_5_vl_7b"
        content = json.loads((folder / "config.json").read_text())
    else:
        content = CONFIGS[kind]

    def state_of(content):
        return known(write(tmp_path / "folder", config=content))

    assert unnoticed(content, state_of, harmless=harmless_in_config) == ENDS.get(kind, [])


# Which of two places is looked at first for what ends an answer is no contradiction between them.
ENDS = {"twice": [("bos_token_id",), ("eos_token_id",)]}


@pytest.mark.parametrize("kind", ["small", "qwen", "every field of transformers"])
def test_every_field_of_a_generation_config(kind, request, tmp_path):
    content = GENERATION
    if kind == "qwen":
        folder = request.getfixturevalue("test_data") / "qwen2_5_vl_7b"
        content = json.loads((folder / "generation_config.json").read_text())
    elif kind != "small":
        content = {**GenerationConfig().to_dict(), **GENERATION}
    big = CONFIGS["as published"] | {"vocab_size": 152_064}

    def state_of(content):
        return known(write(tmp_path / "folder", config=big, generation_config=content))

    assert unnoticed(content, state_of, harmless=lambda _: hf_fields.GENERATION.harmless) == []


@pytest.mark.parametrize("kind", ["preprocessor_config", "processor_config", "qwen"])
def test_every_field_of_a_processor(kind, request, tmp_path):
    name, content = kind, processor()
    if kind == "preprocessor_config":
        content = content["image_processor"]
    elif kind == "qwen":
        folder = request.getfixturevalue("test_data") / "qwen2_5_vl_7b"
        name = "preprocessor_config"
        content = json.loads((folder / f"{name}.json").read_text())

    def state_of(content):
        return known(write(tmp_path / "folder", config=NEW, **{name: content}))

    ignored = ("video_processor",)  # no videos are taken
    assert unnoticed(content, state_of, harmless=lambda _: (), ignored=ignored) == []


@pytest.fixture(scope="module")
def saved_tokenizer(tmp_path_factory):
    """Our own tokenizer, exported, and as transformers saves it again."""
    ours, theirs = tmp_path_factory.mktemp("ours"), tmp_path_factory.mktemp("theirs")
    train_sentencepiece(["a brown plaque"] * 9, ours, vocab_size=300).save_pretrained(ours)
    write(ours, config=NEW)
    AutoTokenizer.from_pretrained(ours).save_pretrained(theirs)
    return {"ours": ours, "theirs": theirs}


@pytest.mark.parametrize("kind", ["ours", "theirs", "qwen"])
def test_every_field_of_a_tokenizer_config(kind, request, saved_tokenizer, tmp_path):
    folder = (
        request.getfixturevalue("test_data") / "qwen2_5_vl_7b"
        if kind == "qwen"
        else saved_tokenizer[kind]
    )
    content = json.loads((folder / "tokenizer_config.json").read_text())
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))

    def state_of(content):
        write(tmp_path / "folder", tokenizer_config=content)
        config = read_tokenizer_config(tmp_path / "folder", tokenizer)
        return config.special, find_template(tmp_path / "folder", config.fields)

    harmless = tokenizer_fields._CONFIG.harmless
    assert unnoticed(content, state_of, harmless=lambda _: harmless) == []


def test_every_field_of_a_special_tokens_map(saved_tokenizer, tmp_path):
    tokenizer = Tokenizer.from_file(str(saved_tokenizer["ours"] / "tokenizer.json"))
    content = {
        "eos_token": {"content": "<|im_end|>", "lstrip": False, "normalized": False},
        "pad_token": "<|endoftext|>",
        "image_token": "<|image_pad|>",
        "additional_special_tokens": ["<|im_start|>", {"content": "<|im_end|>"}],
    }

    def state_of(content):
        kind = {"tokenizer_class": "PreTrainedTokenizerFast"}
        write(tmp_path / "folder", special_tokens_map=content, tokenizer_config=kind)
        return read_tokenizer_config(tmp_path / "folder", tokenizer).special

    # How a token is found in a text is tokenizer.json's to say.
    silent = unnoticed(content, state_of, harmless=lambda _: (), ignored=("eos_token",))
    assert silent == []
    with pytest.raises(InputError, match="eos_token"):
        state_of(content | {"eos_token": {"content": "x"}})
