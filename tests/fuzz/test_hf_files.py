"""Any JSON in any file of a Hugging Face folder gives what was read of it, or one line."""

import json
import shutil

import pytest
from fuzz_cases import fuzz
from hf_files import GENERATION, doubled, flat, processor, small_config, write
from hypothesis import given
from hypothesis import strategies as st

from skinflow_jax.checkpoints.hf_folder import HfFolder, read_folder
from skinflow_jax.errors import InputError
from skinflow_jax.tokenizers import train_sentencepiece

NEW = json.loads(small_config().to_json_string())
FILES = {
    "config": [NEW, flat(NEW), doubled(NEW)],
    "generation_config": [GENERATION],
    "preprocessor_config": [processor()["image_processor"]],
    "processor_config": [processor()],
    "tokenizer_config": [],
    "special_tokens_map": [
        {"eos_token": "<|im_end|>", "additional_special_tokens": ["<|im_end|>"]}
    ],
    "added_tokens": [{"<|im_end|>": 3}],
    "chat_template": [{"chat_template": "{{ eos_token }}{{ messages[0].content }}"}],
}
WORDS = [
    "silu",
    "yarn",
    "default",
    "axial",
    "\0",
    "\ud800",
    "<|im_end|>",
    "qwen2_5_vl",
    "{{ x",
    "1",
]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=True)
    | st.text(max_size=12)
    | st.sampled_from([*WORDS, 2**31, 10**400, -1, 0, 1e-50, 1e39])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=6) | st.just("content"), inner, max_size=3)
    ),
    max_leaves=6,
)


def places(value, path=()):
    yield path
    entries = value.items() if isinstance(value, dict) else ()
    entries = enumerate(value) if isinstance(value, list) else entries
    for name, inner in entries:
        yield from places(inner, (*path, name))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzzed")
    train_sentencepiece(["a brown plaque"] * 9, folder, vocab_size=300).save_pretrained(folder)
    (folder / "chat_template.jinja").unlink()
    (folder / "sentencepiece.model").unlink()
    stated = json.loads((folder / "tokenizer_config.json").read_text())
    return write(folder, **{k: v[0] for k, v in FILES.items() if v}), stated


@fuzz(0.25)
@given(data=st.data(), name=st.sampled_from(list(FILES)))
def test_any_value_at_any_place(folder, data, name):
    folder, tokenizer_config = folder
    content = data.draw(st.sampled_from(FILES[name] or [tokenizer_config]))
    content = json.loads(json.dumps(content))
    path = data.draw(st.sampled_from(list(places(content))))
    value = data.draw(VALUES)
    if not path:
        content = value
    else:
        *parents, last = path
        place = content
        for step in parents:
            place = place[step]
        if data.draw(st.booleans()) and isinstance(place, dict):
            last = data.draw(st.text(max_size=8))
        place[last] = value
    answered(folder, name, json.dumps(content).encode("utf-8", "surrogatepass"))


@fuzz(0.1)
@given(data=st.data(), name=st.sampled_from([name for name in FILES if FILES[name]]))
def test_any_damaged_bytes(folder, data, name):
    folder, _ = folder
    content = bytearray(json.dumps(FILES[name][0]).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    answered(folder, name, bytes(content[: data.draw(st.integers(0, len(content)))]))


def answered(folder, name, content):
    """`content` as one file of the folder gives what was read, or one line that names it."""
    file = folder / f"{name}.json"
    before = folder.parent / "whole.json"
    shutil.copy(file, before)
    file.write_bytes(content)
    try:
        found = read_folder(folder)
        assert isinstance(found, HfFolder)
        found.tokenizer.render_chat([{"role": "user", "content": "x"}], add_generation_prompt=True)
    except InputError as error:
        line = str(error)
        assert str(folder) in line and line.isprintable() and len(line) < 1500, line
    finally:
        shutil.copy(before, file)
