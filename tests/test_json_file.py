"""A JSON file is read whole and rightly, or named with what is wrong."""

import pytest

from skinflow_jax.errors import InputError
from skinflow_jax.json_file import read_json


@pytest.mark.parametrize(
    ("content", "answer"),
    [
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "the key 'c' occurs twice"),
        (b'{"a": NaN}', "NaN is not a finite number"),
        (b'{"a": -Infinity}', "-Infinity is not a finite number"),
        (b'{"a": 1e999}', "1e999 is not a finite number"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not valid JSON"),
        (b'{"a": "\xff"}', "not UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
        (b"", "not valid JSON"),
        (b"\0", "not valid JSON"),
        (b"[1]", "must hold a JSON object, not a list"),
        (b"null", "must hold a JSON object"),
    ],
    ids=lambda value: f"{value!r:.24}",
)
def test_what_is_wrong_with_a_file_is_said_in_one_line(tmp_path, content, answer):
    path = tmp_path / "some.json"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_json(path)
    line = str(caught.value)
    assert answer in line and str(path) in line and "\n" not in line and len(line) < 500


def test_a_byte_order_mark_is_passed_over(tmp_path):
    path = tmp_path / "some.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1.5, "b": [10000000000000000000000]}')
    assert read_json(path) == {"a": 1.5, "b": [10**22]}


def test_what_is_no_file_is_named(tmp_path):
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        read_json(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        read_json(tmp_path / "none.json")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be read: Not a directory"):
        read_json(tmp_path / "file" / "some.json")
