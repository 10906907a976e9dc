"""Claims about tables as people have them."""

import csv

import pytest

from skinflow_jax.data.sources.table import contradicting, read_table
from skinflow_jax.errors import InputError

HEAD = "id,label,age"


def table(tmp_path, text, needed=("id", "label"), encoding="utf-8", **options):
    path = tmp_path / "cases.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return read_table(path, needed, remedy="give the table", **options)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_marks_separators_and_line_ends_are_read_as_what_they_are(tmp_path, encoding, end, mark):
    text = end.join([HEAD, "a, naevus ,40", "", '"b","x' + mark.replace("\t", " ") + 'y",'])
    text = text if mark == "," else text.replace(",", mark).replace(f"x{mark}y", f"x{mark}y")
    found = table(tmp_path, text, encoding=encoding)
    first, second = found.rows
    assert found.header == ("id", "label", "age")
    assert (first.text("id"), first.text("label"), first.number("age")) == ("a", "naevus", 40)
    assert second.text("label")[0] == "x" and second.number("age") is None
    assert bool(found.remarks) == (mark != ",")


def test_latin_1_is_read_with_a_remark(tmp_path):
    found = table(tmp_path, HEAD + "\na,n\xe6vus,40\n", encoding="latin-1")
    assert found.rows[0].text("label") == "n\xe6vus"
    assert "read as Latin-1" in found.remarks[0]


def test_a_row_with_a_cell_too_many_stops_no_other(tmp_path):
    found = table(tmp_path, HEAD + "\na,naevus,40\nb,naevus, atypical,40\nc,wart,1\n")
    assert [row.fault == "" for row in found.rows] == [True, False, True]
    with pytest.raises(InputError, match=r"cases\.csv row 3: has 4 cells where the header has 3"):
        found.rows[1].text("id")


def test_a_cell_with_a_line_break_is_refused_unless_it_is_free_text(tmp_path):
    text = HEAD + '\na,"two\nlines",40\n'
    with pytest.raises(InputError, match=r"row 2: label is 'two\\nlines', which holds a line"):
        table(tmp_path, text).rows[0].text("id")
    assert table(tmp_path, text, free_text=("label",)).rows[0].text("label") == "two\nlines"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "needs a column 'id' .has none."),
        (HEAD, "has no rows; give the table"),
        ("id,age\na,1", "needs a column 'label' .has id, age.; give the table"),
        ("id,label,id\na,b,c", "has 2 columns 'id'; keep one"),
        (HEAD + '\na,"b,1\n', "cannot be read .*mend its quotes"),
        (HEAD.encode("utf-16"), "no text in UTF-8 or Latin-1"),
    ],
)
def test_a_file_that_is_no_such_table_is_one_line(tmp_path, text, reason):
    with pytest.raises(InputError, match=reason) as caught:
        table(tmp_path, text)
    assert "\n" not in str(caught.value) and "cases.csv" in str(caught.value)


def test_an_absent_table_is_named(tmp_path):
    with pytest.raises(InputError, match=r"no\.csv: no such table; give it"):
        read_table(tmp_path / "no.csv", ["id"], remedy="give it")


@pytest.mark.parametrize("word", ["", "NA", "nan", "Unknown", "UNK", "None"])
def test_words_for_not_known_are_no_values(tmp_path, word):
    row = table(tmp_path, f"{HEAD}\na,b,{word}\n").rows[0]
    assert row.text("age") == "" and row.number("age") is None
    with pytest.raises(InputError, match="row 2: age is empty; fill it"):
        row.needed("age")


@pytest.mark.parametrize("word", ["forty", "1e999", "1_0", "-1", "\u0663", "inf", "130"])
def test_a_number_out_of_range_is_named(tmp_path, word):
    row = table(tmp_path, f"{HEAD}\na,b,{word}\n").rows[0]
    with pytest.raises(InputError, match=r"row 2: age is .*expected a whole number|a number from"):
        row.whole("age", 0, 120)


def test_half_a_year_is_no_whole_number(tmp_path):
    with pytest.raises(InputError, match="a whole number from 0 to 120"):
        table(tmp_path, f"{HEAD}\na,b,2.5\n").rows[0].whole("age", 0, 120)


def test_a_cell_outside_the_choices_is_named_with_them(tmp_path):
    row = table(tmp_path, f"{HEAD}\na,b,1\n").rows[0]
    with pytest.raises(InputError, match="row 2: label is 'b', expected one of MEL, NV"):
        row.choice("label", ("MEL", "NV"))


def test_repeated_ids_are_one_case_or_none(tmp_path):
    """Two rows that agree are one; where they differ nobody knows which is right."""
    text = HEAD + "\na,x,1\na,x,1\nb,x,1\nb,y,1\nc,x,1\n,x,1\n,x,1\n"
    kept, remarks = table(tmp_path, text).unique("id")
    assert [row.raw("id") for row in kept] == ["a", "c", "", ""]
    assert "rows 2, 3 of id a agree: the later left out" in remarks[0]
    assert "rows 4, 5 of id b differ in label: all left out" in remarks[1]


def test_a_lesion_with_two_labels_is_left_out_and_told_of(tmp_path):
    text = "image,lesion,dx\n1,A,mel\n2,A,nv\n3,B,nv\n4,B,nv\n5,,mel\n"
    rows = table(tmp_path, text, needed=("image",)).rows
    kept, remarks = contradicting(rows, "lesion", "dx")
    assert [row.raw("image") for row in kept] == ["3", "4", "5"]
    assert "lesion A has several dx: mel (1), nv (1): all rows left out" in remarks[0]


def test_a_quote_that_is_never_closed_is_named_where_it_opens(tmp_path):
    rows = "".join(f"{n},naevus,40\n" for n in range(50))
    with pytest.raises(InputError, match=r"cases\.csv row 3: cannot be read .*mend its quotes"):
        table(tmp_path, HEAD + '\na,b,1\nb,"c,2\n' + rows)


def test_reading_leaves_pythons_own_limit_of_a_cell(tmp_path):
    before = csv.field_size_limit()
    long = "x" * (before + 1)
    assert table(tmp_path, f"{HEAD}\na,{long},1\n").rows[0].text("label") == long
    assert csv.field_size_limit() == before


def test_columns_without_a_name_that_spreadsheets_leave_are_passed_over(tmp_path):
    row = table(tmp_path, f"{HEAD},,\na,b,1,,\n").rows[0]
    assert row.columns() == {"id": "a", "label": "b", "age": "1"}
