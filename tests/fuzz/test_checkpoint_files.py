"""Whatever is done to a checkpoint's files: what loads is what was saved, or one line says why."""

import json
import shutil

import jax
import pytest
from fuzz_cases import fuzz
from hypothesis import given
from hypothesis import strategies as st
from small_state import files_of, same, small_run, small_state

from skinflow_jax.checkpoints.checksums import FILE, write_checksums
from skinflow_jax.checkpoints.run_state import RunCheckpoints
from skinflow_jax.errors import InputError

LAYOUT = jax.eval_shape(lambda: small_state(0))

places = st.floats(0, 1, exclude_max=True)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=4,
)
EDITS = ("flip", "truncate", "lengthen", "delete", "duplicate", "swap", "empty", "folder", "json")
edits = st.tuples(st.sampled_from(EDITS), places, places, st.binary(max_size=16), values)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return small_run(tmp_path_factory.mktemp("whole") / "checkpoints", [3])


def chosen(items, place):
    return items[int(place * len(items))]


def edit(step, kind, which, where, content, value):
    """Change one file of a step's folder, or two."""
    files = files_of(step)
    if not files:
        return
    path, other = chosen(files, which), chosen(files, where)
    raw = path.read_bytes()
    place = int(where * len(raw))
    if kind == "flip":
        path.write_bytes(
            raw[:place] + bytes([raw[place] ^ (1 << int(which * 8))]) + raw[place + 1 :]
        )
    elif kind == "truncate":
        path.write_bytes(raw[:place])
    elif kind == "lengthen":
        path.write_bytes(raw[:place] + content + raw[place:])
    elif kind == "delete":
        path.unlink()
    elif kind == "duplicate":
        shutil.copy(path, path.with_name(f"copy of {path.name}"))
    elif kind == "swap":
        path.write_bytes(other.read_bytes())
        other.write_bytes(raw)
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "folder":
        path.unlink()
        path.mkdir()
    else:
        edit_json(files, which, where, value)


def edit_json(files, which, where, value):
    """Put another value somewhere into one of the metadata files."""
    readable = []
    for path in files:
        try:
            readable.append((path, json.loads(path.read_bytes())))
        except ValueError:
            continue
    if not readable:
        return
    path, content = chosen(readable, which)
    spots = list(spots_of(content))
    if spots:
        holder, key = chosen(spots, where)
        holder[key] = value
    path.write_text(json.dumps(content if spots else value))


def spots_of(content):
    items = content.items() if isinstance(content, dict) else enumerate(content)
    for key, inner in items if isinstance(content, dict | list) else ():
        yield content, key
        if isinstance(inner, dict | list):
            yield from spots_of(inner)


@fuzz(0.01)
@given(done=st.lists(edits, min_size=1, max_size=3), sums=st.sampled_from(["kept", "lost", "anew"]))
def test_edited_files_load_as_saved_or_are_refused_in_one_line(whole, tmp_path, done, sums):
    """`sums`: as they were; gone; or made again over the edited files, as a careless copy might."""
    run = tmp_path / "checkpoints"
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(whole, run)
    if sums != "kept":
        (run / "3" / FILE).unlink()
    for one in done:
        edit(run / "3", *one)
    if sums == "anew":
        write_checksums(run / "3")
    try:
        with RunCheckpoints(run, say=lambda _: None) as checkpoints:
            state, facts, step = checkpoints.restore(LAYOUT)
    except InputError as error:
        assert "\n" not in str(error) and str(run) in str(error)
    else:
        assert step == 3 and facts["seed"] == 7 and same(state, small_state(3))
