"""No CSV gives anything but rows that say what the file says, or one line that names its fault."""

import re

import pytest

from skinflow_jax.data.sources.csv_table import read_table
from skinflow_jax.data.sources.pad_ufes_20 import COLUMNS, PadUfes20Source
from skinflow_jax.errors import InputError

ROW = "PAT_1,i1.png,NEV,FACE,6.0,11.0,2.0,40,FEMALE"
HEADER = ",".join(COLUMNS)


def table(tmp_path, content):
    path = tmp_path / "metadata.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(path, columns=COLUMNS):
    return read_table(path, columns, remedy="use the right file")


@pytest.mark.parametrize(
    "content",
    [
        f"{HEADER}\n{ROW}\n",
        f"\ufeff{HEADER}\n{ROW}",
        f"{HEADER}\r\n{ROW}\r\n",
        f"{HEADER}\n\n\n{ROW}\n\n",
        f" {HEADER.replace(',', ' , ')} \n  {ROW.replace(',', ' , ')}\n",
        f'{HEADER},"a ""note"", quoted"\n{ROW},"said, ""no"""\n',
        f"more,{HEADER}\n,{ROW}\n",
        '"' + HEADER.replace(",", '","') + '"\n"' + ROW.replace(",", '","') + '"\n',
        f"{HEADER},x,x\n{ROW},1,2\n",
    ],
)
def test_what_means_the_same_reads_the_same(tmp_path, content):
    ((_, cells),) = read(table(tmp_path, content))
    assert cells == dict(zip(COLUMNS, ROW.split(","), strict=True))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (f"{HEADER}\n{ROW}\n{ROW[:-7]}\n", r"row 3: has 8 cells where the header has 9"),
        (f"{HEADER}\n{ROW},more\n", r"row 2: has 10 cells where the header has 9"),
        (f"{HEADER},age\n{ROW},3\n", r"has 2 columns 'age'; keep one"),
        (f"{HEADER}\n{ROW.replace('FACE', 'FA' + chr(0))}\n", r"row 2: region is 'FA\\x00'"),
        (f"{HEADER}\n{ROW.replace('FACE', chr(27) + '[2J')}\n", r"row 2: region is '\\x1b\[2J'"),
        (f"{HEADER}\n{ROW.replace('i1', 'i' + chr(0x200B))}\n", r"row 2: img_id is 'i\\u200b"),
        (f'{HEADER}\n{ROW}\n"{ROW}\n{ROW}\n', r"row 4: cannot be read \(unexpected end of data\)"),
        (f'{HEADER}\n{ROW}\n"PAT_2"x,{ROW}\n', r"row 3: cannot be read .*mend its quotes"),
        (f'{HEADER}\n"{ROW}\n{ROW[6:]}"\n', r"row 3: has 1 cells where the header has 9"),
        (f'{HEADER}\n"a\nb",{ROW[6:]}\n', r"row 3: patient_id is 'a\\nb', which holds a line br"),
        (f"{HEADER}\n{'x' * 200_000}\n", r"row \d: cannot be read \(field larger than"),
        (f"{HEADER}\n", "has no rows; use the right file"),
        ("", r"needs a column 'patient_id' \(has 0 columns\); use the right file"),
        (HEADER.encode("utf-16"), "cannot read this table"),
        (f"{HEADER}\n{ROW}\n".encode() + b"\xff\n", "cannot read this table"),
        (HEADER.replace(",", ";"), "needs a column 'patient_id'"),
    ],
)
def test_what_may_slip_into_other_cells_is_refused_by_file_row_and_column(tmp_path, content, words):
    path = table(tmp_path, content)
    with pytest.raises(InputError, match=re.escape(str(path)) + ".*" + words) as error:
        read(path)
    assert "\n" not in str(error.value) and str(error.value).isprintable()
    assert len(str(error.value)) < 400


def test_what_is_no_file_is_refused_without_waiting(tmp_path):
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "folder", tmp_path / "none.csv"):
        with pytest.raises(InputError, match="cannot read this table"):
            read(path)


@pytest.mark.parametrize(
    "name",
    ["../secret.png", "../../secret.png", "images/i1.png", "C:\\i1.png", "..", ".", "/", "./i1"],
)
def test_an_image_is_named_by_a_plain_file_name(root, name):
    table(root, f"{HEADER}\n{ROW.replace('i1.png', name)}\n")
    with pytest.raises(InputError, match=r"metadata\.csv row 2: img_id is '.*', expected the name"):
        PadUfes20Source(data_root=root, split="rl", seed=0)
    table(root, f"{HEADER}\n{ROW.replace('i1.png', str(root.parent / 'secret.png'))}\n")
    with pytest.raises(InputError, match="img_id is "):
        PadUfes20Source(data_root=root, split="rl", seed=0)
