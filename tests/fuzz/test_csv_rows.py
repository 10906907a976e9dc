"""No table of a data set gives anything but cases, or one line that names the file."""

import csv
import io

from fuzz_cases import fuzz
from hypothesis import given
from hypothesis import strategies as st

from skinflow_jax.data.sources.pad_ufes_20 import COLUMNS, FRACTIONS, PadUfes20Source
from skinflow_jax.errors import InputError

ROW = "PAT_1,i1.png,NEV,FACE,6.0,11.0,2.0,40,FEMALE"


CELLS = st.one_of(
    st.sampled_from(
        [*ROW.split(","), "i2.png", "BCC", "UNK", "", " ", "nan", "1e999", "-1", "0", "3.5", "1_0"]
    ),
    st.sampled_from(["\N{ARABIC-INDIC DIGIT THREE}", "../x", "/etc/passwd", "a\\b", ".png", "..."]),
    st.sampled_from(['"', '""', '"x', "a\0b", "\ufeff", "\x1b[0m", "\u202e", "a\nb", "x" * 300]),
    st.text(max_size=8),
)
ROWS = st.lists(st.lists(CELLS, min_size=8, max_size=10), max_size=6)
GOOD_ROWS = st.lists(
    st.tuples(st.sampled_from(["p", "q", "r"]), st.sampled_from(["i1.png", "i2", "a b.png"])).map(
        lambda pair: [*pair, *ROW.split(",")[2:]]
    ),
    max_size=6,
)
HEADERS = st.one_of(
    st.just(list(COLUMNS)),
    st.permutations(COLUMNS),
    st.lists(st.sampled_from([*COLUMNS, "x", ""]), max_size=11),
)


@st.composite
def tables(draw):
    """Files from right to absurd: written rightly or joined by hand, then cut or hit by a byte."""
    rows = [draw(HEADERS), *draw(GOOD_ROWS), *draw(ROWS)]
    if draw(st.booleans()):
        text = io.StringIO()
        csv.writer(text).writerows(rows)
        data = text.getvalue()
    else:
        data = "\n".join(",".join(row) for row in rows)
    data = data.encode(draw(st.sampled_from(["utf-8", "utf-8-sig"])), "surrogatepass")
    if draw(st.integers(0, 3)) == 0 and data:
        place = draw(st.integers(0, len(data) - 1))
        data = data[:place] + draw(st.binary(max_size=3)) + data[place + draw(st.integers(0, 2)) :]
    return data


@fuzz(0.09)
@given(data=st.one_of(tables(), st.binary(max_size=80), st.text(max_size=80).map(str.encode)))
def test_no_table_gives_anything_but_cases_or_one_line(root, data):
    path = root / "metadata.csv"
    path.write_bytes(data)
    answers = []
    for split in FRACTIONS:
        try:
            source = PadUfes20Source(data_root=root, split=split, seed=0)
        except InputError as error:
            answers.append(str(error))
            continue
        assert all(remark.isprintable() for remark in source.remarks)
        for index in range(len(source)):
            for ask in (source.case, source.image_digests, source.images):
                try:
                    ask(index)
                except InputError as error:
                    answers.append(str(error))
    for answer in answers:
        assert "\n" not in answer and answer.isprintable() and str(root) in answer, answer
        assert str(path) in answer or "images" in answer
