"""Whatever is done to a manifest, records are read as they were built, or one line says why not."""

import json
import shutil

import numpy as np
import pytest
from fuzz_cases import fuzz
from hypothesis import given
from hypothesis import strategies as st

from skinflow_jax.data.records import RecordSet, build_records
from skinflow_jax.data.sources.procedural import ProceduralSource
from skinflow_jax.errors import InputError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=4,
)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("built") / "records"
    source = ProceduralSource(split="rl", seed=0, count=3, image_size=56)
    build_records(source, folder, min_pixels=784, max_pixels=3136, fingerprint={})
    return folder, [record.images[0] for record in RecordSet(folder)]


@st.composite
def edits(draw):
    """What to do with the text of the manifest, which keeps or loses its own checksum."""
    kind = draw(st.sampled_from(["cut", "bytes", "value", "key", "lost"]))
    place = draw(st.floats(0, 1, exclude_max=True))
    new = draw(st.binary(min_size=1, max_size=4) if kind == "bytes" else VALUES)

    def apply(raw):
        if kind == "cut":
            return raw[: int(place * len(raw))]
        if kind == "bytes":
            at = int(place * len(raw))
            return raw[:at] + new + raw[at + len(new) :]
        content = json.loads(raw)
        key = list(content)[int(place * len(content))]
        content.pop(key) if kind in ("key", "lost") else content.update({key: new})
        if kind == "key":
            content[str(new)] = new
        return json.dumps(content).encode()

    return apply


@fuzz(0.05)
@given(edit=edits())
def test_an_edited_manifest_is_refused_in_one_line_or_changes_nothing(built, tmp_path, edit):
    folder, images = built
    copy = tmp_path / "records"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy)
    manifest = copy / "manifest.json"
    manifest.write_bytes(edit(manifest.read_bytes()))
    try:
        found = [record.images[0] for record in RecordSet(copy)]
    except InputError as error:
        assert "\n" not in str(error) and str(copy) in str(error)
    else:
        assert len(found) == len(images) and all(map(np.array_equal, found, images))
