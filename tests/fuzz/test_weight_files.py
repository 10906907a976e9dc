"""Whatever is done to safetensors files and their index: whole weights, or one line says why."""

import json
import shutil

import numpy as np
import pytest
from fuzz_cases import fuzz
from hypothesis import given
from hypothesis import strategies as st

from skinflow_jax.checkpoints.hf_safetensors import read_header, write_file
from skinflow_jax.checkpoints.hf_tensors import INDEX, SINGLE, stored_tensors
from skinflow_jax.errors import InputError

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(0, 300)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["F32", "BF16", "F16", "F64", "I8", "F8_E4M3", "a.safetensors", "../x"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
entries = st.fixed_dictionaries(
    {},
    optional={
        "dtype": st.sampled_from(["F32", "BF16", "F16"]) | values,
        "shape": st.lists(st.integers(0, 4), max_size=3) | values,
        "data_offsets": st.lists(st.integers(0, 40), min_size=2, max_size=2) | values,
    },
)
names = st.sampled_from(["a", "b", "lm_head.weight", "model.embed_tokens.weight"]) | st.text()
headers = st.dictionaries(names, entries | values, max_size=4)


def assert_refused_or_whole(action, folder):
    """What is read lies within its file; what is not is refused in a line that names a file."""
    try:
        found = action()
    except InputError as error:
        assert "\n" not in str(error) and str(folder) in str(error) and len(str(error)) < 1500
        return
    for tensor in found.values():
        values = tensor.read(tensor.shape, tuple(slice(0, n) for n in tensor.shape))
        assert values.shape == tensor.shape and values.dtype == tensor.dtype


@fuzz(0.12)
@given(header=headers | values, data=st.binary(max_size=48), odd=st.integers(-9, 9) | st.just(0))
def test_a_header_of_any_content_is_read_or_refused(tmp_path, header, data, odd):
    """`odd`: how far the length that the file begins with is from the header's."""
    text = json.dumps(header).encode()
    file = tmp_path / SINGLE
    file.write_bytes(max(len(text) + odd, 0).to_bytes(8, "little") + text + data)
    assert_refused_or_whole(lambda: stored_tensors(tmp_path, tied=True), tmp_path)


@fuzz(0.04)
@given(content=st.binary(max_size=64))
def test_a_file_of_any_bytes_is_refused(tmp_path, content):
    (tmp_path / SINGLE).write_bytes(content)
    assert_refused_or_whole(lambda: read_header(tmp_path / SINGLE), tmp_path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    x = np.arange(6, dtype=np.float32)
    for file, name in (("a.safetensors", "a"), ("b.safetensors", "b")):
        write_file(folder / file, {name: (x.dtype, (2, 3))}, [x])
    return folder


@fuzz(0.06)
@given(
    index=st.dictionaries(st.sampled_from(["weight_map", "metadata", "x"]), values, max_size=3)
    | st.fixed_dictionaries({"weight_map": st.dictionaries(names, values, max_size=3)}),
)
def test_an_index_of_any_content_is_followed_or_refused(whole, tmp_path, index):
    folder = tmp_path / "model"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole, folder)
    (folder / INDEX).write_text(json.dumps(index))
    assert_refused_or_whole(lambda: stored_tensors(folder, tied=False), folder)


@fuzz(0.03)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), cut=st.booleans())
def test_a_flipped_bit_or_a_cut_is_refused_or_changes_a_value(whole, tmp_path, place, bit, cut):
    raw = bytearray((whole / "a.safetensors").read_bytes())
    at = int(place * len(raw))
    raw[at] ^= 1 << bit
    (tmp_path / SINGLE).write_bytes(raw[:at] if cut else raw)
    assert_refused_or_whole(lambda: stored_tensors(tmp_path, tied=False), tmp_path)
