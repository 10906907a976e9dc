"""Claims about rows of training stacks: one reader, one case, whoever wrote the row."""

import base64
import csv
import io
import json

import numpy as np
import pytest
from PIL import Image

from skinflow_jax.data.sources.rows import ParquetSource, RowsOptions, RowsSource
from skinflow_jax.errors import ConfigError, InputError

QUESTION = "Which disease is this?"
MARKED = f"<image>{QUESTION}"
TEXT, PICTURE = {"type": "text", "text": QUESTION}, {"type": "image"}


def user(content):
    return {"role": "user", "content": content}


def assistant(content):
    return {"role": "assistant", "content": content}


def photograph(colour=0):
    data = io.BytesIO()
    Image.new("RGB", (16, 12), (200, 150, colour)).save(data, "PNG")
    return data.getvalue()


PATH = ["images/a.png"]
BASE64 = base64.b64encode(photograph()).decode()
# One row of each stack, as its documents show it.
STACKS = {
    "TRL, text": {"prompt": QUESTION, "image": "images/a.png", "solution": "melanoma"},
    "TRL, messages": {"prompt": [user([PICTURE, TEXT])], "images": PATH, "answer": "melanoma"},
    "EasyR1": {"problem": f"<image>\n{QUESTION}", "images": PATH, "answer": "melanoma"},
    "verl": {
        "data_source": "skin",
        "prompt": [user(MARKED)],
        "images": [{"path": "images/a.png", "bytes": None}],
        "ability": "diagnosis",
        "reward_model": {"style": "rule", "ground_truth": "melanoma"},
        "extra_info": {"split": "train", "index": 0},
    },
    "ms-swift, messages": {
        "messages": [user(MARKED)],
        "images": PATH,
        "solution": "melanoma",
        "objects": {"ref": [], "bbox": []},
    },
    "ms-swift, query": {"query": MARKED, "response": "melanoma", "images": PATH},
    "ms-swift, base64": {"messages": [user(MARKED), assistant("melanoma")], "images": [BASE64]},
    "LLaMA-Factory, messages": {
        "messages": [user(MARKED), assistant("melanoma")],
        "images": PATH,
    },
    "LLaMA-Factory, alpaca": {
        "instruction": MARKED,
        "input": "",
        "output": "melanoma",
        "images": PATH,
    },
    "VLM-R1": {
        "conversations": [
            {"from": "human", "value": f"<image>{QUESTION}"},
            {"from": "gpt", "value": "melanoma"},
        ],
        "image": "images/a.png",
    },
    "OpenRLHF": {"prompt": [PICTURE, TEXT], "images": PATH, "label": "melanoma"},
    "Qwen": {
        "messages": [
            user([{"type": "image", "image": "images/a.png"}, TEXT]),
            assistant([{"type": "text", "text": "melanoma"}]),
        ]
    },
    "OpenAI": {
        "messages": [
            user([{"type": "image_url", "image_url": {"url": f"data:;base64,{BASE64}"}}, TEXT]),
            assistant([{"type": "text", "text": "melanoma"}]),
        ]
    },
}


def folder(root, *rows, name="rows.jsonl"):
    (root / "images").mkdir(exist_ok=True)
    for stem, colour in (("a", 0), ("b", 90)):
        (root / "images" / f"{stem}.png").write_bytes(photograph(colour))
    text = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
    (root / name).write_text(text, encoding="utf-8")
    return root


def source(root, *rows, **options):
    return RowsSource(folder(root, *rows), RowsOptions(**options))


def parquet(root, *rows):
    pyarrow = pytest.importorskip("pyarrow", reason="reads parquet; in requirements-test.txt")
    writer = pytest.importorskip("pyarrow.parquet")
    folder(root, "{}")
    table = pyarrow.Table.from_pylist(list(rows))
    writer.write_table(table, root / "rows.parquet", row_group_size=2)
    return ParquetSource(root)


def check(found, index=0):
    case = found.case(index)
    assert (case.prompt, case.answer, case.diagnosis) == (MARKED, "melanoma", "melanoma")
    assert case.views == ("",) and case.caption == {} and case.soft == {}
    (image,) = found.images(index)
    np.testing.assert_array_equal(image, np.array(Image.open(io.BytesIO(photograph()))))
    assert len(found.image_digests(index)) == 1
    json.dumps(case.columns)


@pytest.mark.parametrize("stack", STACKS)
def test_a_row_of_each_stack_is_the_same_case(tmp_path, stack):
    check(source(tmp_path, STACKS[stack]))


@pytest.mark.parametrize("stack", STACKS)
def test_a_row_of_each_stack_in_parquet_too(tmp_path, stack):
    row = dict(STACKS[stack])
    row.pop("objects", None)  # empty lists have no type in parquet
    check(parquet(tmp_path, row, row | {"id": "other"}, row | {"id": "third"}), 2)


def test_bytes_in_parquet_are_the_images(tmp_path):
    row = {"problem": MARKED, "answer": "melanoma"}
    image = {"bytes": photograph(), "path": "gone.png"}
    found = parquet(tmp_path, row | {"images": [image]})
    check(found)
    folder_ = tmp_path / "other"
    folder_.mkdir()
    check(parquet(folder_, {"prompt": QUESTION, "image": photograph(), "solution": "melanoma"}))


def test_a_json_array_and_a_csv_are_rows_too(tmp_path):
    row = {"query": MARKED, "response": "melanoma", "images": PATH}
    folder(tmp_path, "{}")
    (tmp_path / "rows.json").write_text(json.dumps([row]), encoding="utf-8-sig")
    check(RowsSource(tmp_path, RowsOptions(files=("rows.json",))))
    with (tmp_path / "rows.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["query", "response", "images"], [MARKED, "melanoma", PATH[0]]])
    check(RowsSource(tmp_path, RowsOptions(files=("rows.csv",))))


def test_a_reward_finds_every_field_but_question_and_images_under_its_name(tmp_path):
    row = STACKS["verl"] | {"score": 3, "solution": "melanoma"}
    columns = source(tmp_path, row).case(0).columns
    assert columns == {key: row[key] for key in row if key not in ("prompt", "images")}


def test_names_that_the_owner_gave_are_used(tmp_path):
    row = {"ask": QUESTION, "reply": {"text": "it is bad"}, "pic": PATH, "answer": "no"}
    row |= {"who": "P1", "dx": "Nevus, Spitz", "extra_info": {"split": "test"}, "nr": 7}
    case = source(
        tmp_path,
        row,
        prompt_field="ask",
        answer_field="reply.text",
        image_field="pic",
        id_field="nr",
        group_field="who",
        diagnosis_field="dx",
        split_field="extra_info.split",
    ).case(0)
    assert (case.prompt, case.answer, case.diagnosis) == (MARKED, "it is bad", "Spitz naevus")
    assert (case.case_id, case.group, case.split) == ("7", "P1", "test")


def test_several_images_keep_their_places(tmp_path):
    row = {"prompt": "First <image> then <image>: worse?", "images": [*PATH, "images/b.png"]}
    found = source(tmp_path, row | {"answer": "yes"})
    case = found.case(0)
    assert case.prompt == "First <image> then <image>: worse?" and case.views == ("", "")
    assert [int(image[0, 0, 2]) for image in found.images(0)] == [0, 90]
    bare = source(tmp_path, row | {"prompt": QUESTION})
    assert bare.case(0).prompt == f"<image><image>{QUESTION}"


@pytest.mark.parametrize("text", [f"<image>\n {QUESTION}", f" <image> {QUESTION}\n"])
def test_line_breaks_after_the_marks_say_nothing(tmp_path, text):
    assert source(tmp_path, {"prompt": text, "images": PATH}).case(0).prompt == MARKED


def test_a_system_message_stands_before_the_question(tmp_path):
    rows = [
        {"messages": [{"role": "system", "content": "Be brief."}, user(MARKED)], "images": PATH},
        {"system": "Be brief.", "query": MARKED, "images": PATH},
    ]
    found = source(tmp_path, *rows)
    assert {found.case(i).prompt for i in range(2)} == {f"Be brief.\n\n{MARKED}"}


BAD = {
    "no question": ({"images": PATH}, "nothing is asked"),
    "an empty one": ({"prompt": "", "images": PATH}, "nothing is asked"),
    "no image": ({"prompt": QUESTION}, "has no image; add one"),
    "two marks": ({"prompt": "<image><image>?", "images": PATH}, "2 <image> marks .* 1 images"),
    "one mark": ({"prompt": MARKED, "images": PATH * 2}, "1 <image> marks .* 2 images"),
    "an address": ({"prompt": QUESTION, "images": ["https://x.org/a.png"]}, "is the address https"),
    "a way out": ({"prompt": QUESTION, "images": ["../../a.png"]}, "which leaves"),
    "an absent image": ({"prompt": QUESTION, "images": ["c.png"]}, r"no image c\.png"),
    "a number": ({"prompt": QUESTION, "images": [3]}, "image 1 is 3; give a path"),
    "damaged base64": ({"prompt": "?", "images": [f"data:x;base64,{BASE64[:50]}*"]}, "base64 is"),
    "several questions": (
        {"messages": [user("<image>a"), assistant("b"), user("c")], "images": PATH},
        "2 questions and 1 answers",
    ),
    "a history": ({"query": "?", "history": [["a", "b"]], "images": PATH}, "a row is one question"),
    "a video": ({"query": "?", "videos": ["a.mp4"], "images": PATH}, "videos are not read"),
    "an unknown part": ({"prompt": [user([{"type": "audio"}])], "images": PATH}, "has the part"),
    "an unknown role": ({"messages": [{"role": "tool", "content": "x"}], "images": PATH}, "a role"),
    "a number asked": ({"prompt": 3, "images": PATH}, "prompt is 3; give text"),
    "no object": ("[1]", "is no JSON object"),
    "a key twice": ('{"prompt": "a", "prompt": "b"}', "the key 'prompt' occurs twice"),
    "cut short": ('{"prompt": "Which dis', "is no JSON .*may be cut short"),
    "not finite": ('{"prompt": NaN}', "NaN is not a finite number"),
    "half a character": ('{"prompt": "\\ud800", "images": ["images/a.png"]}', "half a character"),
    "half an id": (STACKS["EasyR1"] | {"id": "\ud800"}, "half a character"),
    "too deep": ("[" * 100_000, "is nested too deeply|is no JSON"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_row_says_why_and_stops_no_other(tmp_path, kind):
    row, reason = BAD[kind]
    found = source(tmp_path, row, STACKS["EasyR1"])
    assert len(found) == 2
    check(found, 1)
    with pytest.raises(InputError, match=reason) as caught:
        found.case(0)
        found.images(0)
    assert str(tmp_path / "rows.jsonl line 1") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_line_that_is_no_utf_8_is_named(tmp_path):
    folder(tmp_path)
    (tmp_path / "rows.jsonl").write_bytes('{"prompt": "n\xe6vus"}\n'.encode("latin-1"))
    with pytest.raises(InputError, match="line 1: is not UTF-8"):
        RowsSource(tmp_path).case(0)


def test_marks_of_bytes_blank_lines_and_windows_ends_are_no_rows(tmp_path):
    folder(tmp_path)
    text = f"\ufeff{json.dumps(STACKS['EasyR1'])}\r\n\r\n{json.dumps(STACKS['VLM-R1'])}"
    (tmp_path / "rows.jsonl").write_bytes(text.encode())
    found = RowsSource(tmp_path)
    assert len(found) == 2
    check(found, 0)
    check(found, 1)
    assert found.case(1).case_id == "rows.jsonl line 3"


def test_repeated_ids_are_one_case_or_none_and_told(tmp_path):
    row = STACKS["EasyR1"]
    rows = [row | {"id": "a"}, row | {"id": "a"}, row | {"id": "b"}]
    found = source(tmp_path, *rows, row | {"id": "b", "answer": "wart"}, row, row)
    assert [found.case(i).case_id[:4] for i in range(len(found))] == ["a", "rows", "rows"]
    assert "rows of id a agree: the later left out" in found.remarks[0]
    assert "rows of id b differ: all left out" in found.remarks[1]


def test_a_row_without_its_group_is_refused(tmp_path):
    found = source(tmp_path, STACKS["EasyR1"], group_field="patient")
    with pytest.raises(InputError, match="line 1: patient is empty: without it nobody knows"):
        found.case(0)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("rows.jsonl", "", "has no rows"),
        ("rows.json", "{}", "holds no array of rows"),
        ("rows.json", "[", "is no JSON"),
        ("rows.parquet", "PAR1 and no more", "cannot be read as parquet|need pyarrow"),
        ("rows.txt", "x", "no file of rows; it must end in"),
    ],
)
def test_a_file_that_holds_no_rows_is_one_line(tmp_path, name, text, reason):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=reason) as caught:
        RowsSource(tmp_path, RowsOptions(files=(name,)))
    assert name in str(caught.value) and "\n" not in str(caught.value)


def test_an_empty_folder_and_an_absent_file_are_named(tmp_path):
    with pytest.raises(InputError, match=r"holds no \.jsonl or \.json; give the folder"):
        RowsSource(tmp_path)
    with pytest.raises(InputError, match=r"no\.jsonl: no such file of rows"):
        RowsSource(tmp_path, RowsOptions(files=("no.jsonl",)))
    with pytest.raises(ConfigError, match="must be on this machine"):
        RowsOptions(files=("gs://bucket/rows.jsonl",))


def test_parquet_without_its_library_names_the_remedy(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    (tmp_path / "rows.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"need pyarrow: pip install 'skinflow-jax\[parquet\]'"):
        ParquetSource(tmp_path)
