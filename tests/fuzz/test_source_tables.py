"""No table, row or name of a file gives anything but cases, or one line that names the file."""

import dataclasses
import functools
import json
import sys
from pathlib import Path

import pytest
from fuzz_cases import fuzz
from hypothesis import given
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).parents[1] / "data" / "sources"))
from small_sets import SETS

from skinflow_jax.data.sources.catalogue import open_source
from skinflow_jax.data.sources.rows import RowsSource
from skinflow_jax.errors import InputError

TABLES = {
    "fitzpatrick17k": "fitzpatrick17k.csv",
    "pad_ufes_20": "metadata.csv",
    "ham10000": "HAM10000_metadata.csv",
    "isic": "metadata.csv",
    "bcn20000": "bcn_20k_train.csv",
    "milk10k": "MILK10k_Training_GroundTruth.csv",
    "ddi": "ddi_metadata.csv",
    "scin": "scin_labels.csv",
    "derm7pt": "meta/meta.csv",
    "derm1m": "Derm1M_v2_pretrain.csv",
    "csv": "cases.csv",
}
PIECES = st.one_of(
    st.sampled_from([b"", b",", b";", b"\n", b"\r", b'"', b'""', b"\0", b"\xff", b"\xe6", b"nan"]),
    st.sampled_from([b"../x", b"/etc/passwd", b"http://x/a.jpg", b"{'a': 1}", b"\xef\xbb\xbf"]),
    st.sampled_from(["\u202e".encode(), "\N{ARABIC-INDIC DIGIT THREE}".encode(), b"-1", b"1e999"]),
    st.binary(max_size=4),
)


def ask_everything(open_it, root):
    """Every answer is a case, images, or one printable line that names a file below `root`."""
    try:
        source = open_it()
    except InputError as error:
        check_line(error, root)
        return
    assert all(remark.isprintable() for remark in source.remarks)
    for index in range(len(source)):
        mask = functools.partial(source.mask, size=(16, 20))
        for ask in (source.case, source.images, source.image_digests, mask):
            try:
                answer = ask(index)
            except InputError as error:
                check_line(error, root)
            else:
                if ask == source.case:
                    json.dumps(dataclasses.asdict(answer))
                    (answer.prompt + answer.answer + answer.case_id).encode()


def check_line(error, root):
    assert str(error).isprintable() and str(root) in str(error), str(error)


@pytest.mark.parametrize("name", TABLES)
@fuzz(0.03)
@given(
    edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 9), PIECES), min_size=1, max_size=3)
)
def test_no_damaged_table_gives_anything_but_cases_or_one_line(name, tmp_path_factory, edits):
    root = tmp_path_factory.getbasetemp() / f"fuzz-{name}"
    table = root / TABLES[name]
    if not root.exists():
        SETS[name](root)
        table.with_suffix(".good").write_bytes(table.read_bytes())
    data = table.with_suffix(".good").read_bytes()
    for place, length, piece in edits:
        at = int(place * len(data))
        data = data[:at] + piece + data[at + length :]
    table.write_bytes(data)
    options = {"diagnosis_column": "label"} if name == "csv" else {}
    ask_everything(lambda: open_source(name, root, options), root)


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2),
    st.floats(),
    st.sampled_from(["a.png", "../a.png", "<image>", "<image><image>", "user", "image", "text"]),
    st.sampled_from(["melanoma", "data:;base64,AAAA", "http://x/a.png", "\ud800", "a\0b", ""]),
)
PARTS = st.sampled_from(
    [
        *("role", "content", "from", "value", "type", "text", "image", "bytes", "path"),
        *("image_url", "url", "human", "assistant"),
    ]
)
VALUES = st.deferred(
    lambda: LEAVES | st.lists(VALUES, max_size=2) | st.dictionaries(PARTS, VALUES, max_size=3)
)
KEYS = st.sampled_from(
    [
        *("messages", "conversations", "prompt", "problem", "query", "instruction", "input"),
        *("images", "image", "answer", "solution", "label", "reward_model", "system", "history"),
        *("id", "extra_info", "videos", "output"),
    ]
)


@fuzz(0.05)
@given(rows=st.lists(st.dictionaries(KEYS, VALUES, max_size=5), min_size=1, max_size=3))
def test_no_row_gives_anything_but_a_case_or_one_line(tmp_path_factory, rows):
    root = tmp_path_factory.getbasetemp() / "fuzz-rows"
    root.mkdir(exist_ok=True)
    (root / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    ask_everything(lambda: RowsSource(root), root)
