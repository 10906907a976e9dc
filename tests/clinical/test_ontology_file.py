"""Claims about ontology files: what is wrong in one is named by file, row and remedy."""

import csv
import gzip
import io

import pytest

from skinflow_jax.clinical import Ontology, load_ontology, ontology, relation, using
from skinflow_jax.clinical.names import read_name
from skinflow_jax.clinical.ontology import OURS, parse_ontology
from skinflow_jax.clinical.ontology_file import COLUMNS
from skinflow_jax.clinical.schema_file import parse_schema
from skinflow_jax.errors import InputError

HEADER = ",".join(COLUMNS)
SPOT = (
    "leaf spot,spot of a leaf,LS,leaf disease,yes,n/a,fungal,minor,soon,antifungal,fungi,own,"
    "unreviewed"
)
CLASS = "leaf disease,,,,no,,,,,,,own,unreviewed"


def parsed(*rows: str, header: str = HEADER) -> Ontology:
    return parse_ontology("\n".join([header, *rows]) + "\n", "mine.csv")


def edited(row: str, **cells: str) -> str:
    found = dict(zip(COLUMNS, next(csv.reader([row])), strict=True)) | cells
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(found.values())
    return out.getvalue().removesuffix("\n")


def test_a_small_file_of_another_specialty_is_read():
    known = parsed(CLASS, SPOT)
    spot = known.diseases["leaf spot"]
    assert spot.synonyms == ("spot of a leaf",) and spot.parents == ("leaf disease",)
    assert known.ancestors(spot) == {"leaf disease"}
    assert known.kinds == {"leaf disease": (spot,)}


RUST = edited(SPOT, name="rust", synonyms="", abbreviations="")


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([], "no row below its header"),
        ([CLASS, SPOT + ",more"], "row 3: 14 cells under 13 columns"),
        ([CLASS, edited(SPOT, answerable="maybe")], "answerable is 'maybe': use one of yes, no"),
        ([CLASS, edited(SPOT, nature="bening")], "row 3: nature is 'bening': use one of benign"),
        ([CLASS, edited(SPOT, infection="yes")], "infection is 'yes'"),
        ([CLASS, edited(SPOT, contagious="very")], "contagious is 'very'"),
        ([CLASS, edited(SPOT, urgency="now")], "urgency is 'now'"),
        ([CLASS, edited(SPOT, first_step="antifugal")], "first_step is 'antifugal'"),
        ([CLASS, edited(SPOT, urgency="")], "'leaf spot' is answerable and its urgency is empty"),
        ([CLASS, edited(SPOT, partition="")], "its partition is empty"),
        ([CLASS, edited(SPOT, name="")], "name holds ''"),
        ([CLASS, edited(SPOT, name="--")], "name holds '--'"),
        ([CLASS, edited(SPOT, synonyms="a\nb")], "no line break"),
        ([CLASS, edited(SPOT, name="leaf  spot")], "single spaces"),
        ([CLASS, edited(SPOT, name="leaf\u00a0spot")], r"name holds 'leaf\xa0spot'"),
        ([CLASS, edited(SPOT, name="leaf\0spot")], r"name holds 'leaf\x00spot'"),
        ([CLASS, edited(SPOT, name="leaf spot; spot")], "no ; or |"),
        ([CLASS, edited(SPOT, synonyms="a spot | b spot")], "no ; or |"),
        ([CLASS, edited(SPOT, name="#REF!")], "begins with none of # = + - @"),
        ([CLASS, edited(SPOT, name="=A1&B1")], "begins with none of # = + - @"),
        ([CLASS, "# mine" + "," * 12, SPOT], "row 3: name holds '# mine'"),
        ([CLASS, "# mine", SPOT], "row 3: 1 cells under 13 columns: write a comma for an empty"),
        ([CLASS, SPOT + ","], "row 3: 14 cells under 13 columns: quote a cell that holds a comma"),
        ([CLASS, edited(SPOT, answerable="YES")], "answerable is 'YES': use one of yes, no"),
        ([CLASS, edited(SPOT, nature="N/A")], "nature is 'N/A': use one of"),
        ([CLASS, HEADER, SPOT], "row 3: answerable is 'answerable'"),
        ([CLASS, edited(SPOT, partition="a\x1b[31m")], r"partition holds 'a\x1b[31m'"),
        ([CLASS], "no row is answerable"),
        ([CLASS, edited(SPOT, synonyms="x" * 201)], "at most 200 characters"),
        ([CLASS, edited(SPOT, synonyms="x\u202ey")], "synonyms holds"),
        ([CLASS, SPOT, SPOT], "'leaf spot' is a name of 'leaf spot' too (mine.csv, row 3)"),
        ([CLASS, SPOT, edited(RUST, synonyms="Leaf-Spots")], "row 4: 'Leaf-Spots' is a name of"),
        (
            [CLASS, SPOT, edited(RUST, abbreviations="leaf spot")],
            "'leaf spot' is a name of 'leaf spot' and an abbreviation of 'rust'",
        ),
        ([CLASS, edited(SPOT, parents="leef disease")], "the parent 'leef disease' of 'leaf spot'"),
        ([CLASS, edited(SPOT, parents="leaf spot")], "in a circle: leaf spot < leaf spot"),
        (
            [CLASS, edited(SPOT, parents="rust"), edited(RUST, parents="leaf spot")],
            "is-a in a circle: leaf spot < rust < leaf spot",
        ),
        (
            [CLASS, SPOT, edited(RUST, parents="leaf disease; leaf spot")],
            "row 4: 'rust' has the parents 'leaf disease' and 'leaf spot', which is a kind of it: "
            "leave out 'leaf disease'",
        ),
        (
            [CLASS, SPOT, edited(RUST, parents="leaf spot", urgency="urgent")],
            "'rust' has urgency 'urgent' and is a kind of 'leaf spot', which has 'soon': correct "
            "one of them, or put both below a class that is not answerable",
        ),
        (
            [CLASS, SPOT, edited(RUST, parents="leaf spot", contagious="matters")],
            "'rust' has contagious 'matters'",
        ),
        (
            [edited(CLASS, urgency="urgent"), SPOT],
            "'leaf spot' has urgency 'soon' and is a kind of 'leaf disease', which has 'urgent': "
            "correct one of them, or leave urgency of the class empty, as it varies",
        ),
        (
            [CLASS, SPOT, edited(RUST, parents="leaf spot", infection="none")],
            "has infection 'none'",
        ),
        ([CLASS, '"an open quote'], "correct it"),
    ],
)
def test_a_fault_is_named_by_file_row_and_remedy(rows, told):
    with pytest.raises(InputError) as caught:
        parsed(*rows)
    message = str(caught.value)
    assert told in message and message.startswith("ontology mine.csv") and "\n" not in message
    assert message.count(": ") >= 1


@pytest.mark.parametrize(
    ("header", "told"),
    [
        (HEADER.replace(",urgency", ""), "lacks urgency"),
        (HEADER.replace("urgency", "urgncy"), "has urgncy and lacks urgency"),
        (HEADER + ",colour", "has colour: its"),
        (HEADER + ",name", "has name twice: its"),
        (HEADER.upper(), "has NAME, SYNONYMS, .*… *: its columns"),
        (HEADER + ",", "has one without a name: its"),
        ("sep=,", "has sep=, one without a name: its"),
        ("# my diseases", "has # my diseases: its"),
        (HEADER.replace(",", ";"), "separates its cells by semicolons"),
        (HEADER.replace(",", "\t"), "separates its cells by tabs"),
    ],
)
def test_a_wrong_header_is_named_with_the_columns_there_are(header, told):
    with pytest.raises(InputError, match=told):
        parsed(CLASS, SPOT, header=header)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\xff\xfe\x00", "save it as UTF-8"),
        (gzip.compress(b"name"), "save it as UTF-8"),
        (b"", "no row below its header"),
        (b"\xef\xbb\xbf\r\n", "no row below its header"),
        (None, "No such file"),
        ("folder", "directory"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, content, told):
    path = tmp_path / "mine.csv"
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=told):
        load_ontology(path)


def test_what_says_nothing_may_be_missing_or_too_much():
    """A semicolon at the end of a list, a parent twice, no source, no review."""
    loose = edited(SPOT, parents=" leaf disease;;leaf disease; ", source="", review="")
    spot = parsed(CLASS, loose).diseases["leaf spot"]
    assert set(spot.parents) == {"leaf disease"} and (spot.source, spot.review) == ("", "")


def test_columns_may_stand_in_any_order_with_a_byte_order_mark_and_empty_lines(tmp_path):
    path = tmp_path / "mine.csv"
    rows = [dict(zip(COLUMNS, next(csv.reader([row])), strict=True)) for row in (CLASS, SPOT)]
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS[::-1], lineterminator="\r\n")
        writer.writeheader()
        for row in rows:
            writer.writerow(row)
            file.write("\r\n,,,,,,,,,,,,\r\n")
    assert load_ontology(path).digest == parsed(CLASS, SPOT).digest


def test_the_digest_changes_with_what_is_said_and_not_with_order_source_or_review():
    one = parsed(CLASS, SPOT, RUST)
    assert one.digest == parsed(CLASS, RUST, edited(SPOT, source="x", review="y")).digest
    for cells in (
        {"synonyms": ""},
        {"urgency": "urgent"},
        {"parents": ""},
        {"first_step": "removal"},
    ):
        assert one.digest != parsed(CLASS, RUST, edited(SPOT, **cells)).digest, cells


def test_a_file_replaces_ours_or_adds_to_it(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("\n".join([HEADER, CLASS, SPOT]))
    assert set(load_ontology(path).diseases) == {"leaf disease", "leaf spot"}
    added = edited(SPOT, parents="fungal skin infection")
    path.write_text("\n".join([HEADER, added]))
    both = load_ontology(f"+{path}")
    assert both.diseases["leaf spot"] and both.diseases["melanoma"]
    path.write_text("\n".join([HEADER, edited(added, name="melanoma")]))
    with pytest.raises(InputError, match=rf"mine.csv, row 2: .* \({OURS}, row [0-9]+\)"):
        load_ontology(f"+{path}")


def test_the_ontology_in_use_decides_and_ours_is_back_afterwards(tmp_path):
    before = ontology()
    with using(parsed(CLASS, SPOT, RUST)):
        assert relation("LS", "leaf spot").accepted
        assert relation("rust", "leaf spot").kind == "sibling"
        assert relation("melanoma", "leaf spot").safety == "undetermined"
    assert ontology() is before and relation("melanoma", "malignant melanoma").accepted


def test_rows_one_below_the_other_may_be_deeper_than_the_recursion_of_python():
    deep = [
        edited(SPOT, name=f"s{n}", synonyms="", abbreviations="", parents=f"s{n + 1}")
        for n in range(1500)
    ]
    known = parsed(*deep, edited(SPOT, name="s1500", synonyms="", abbreviations="", parents=""))
    assert len(known.ancestors(known.diseases["s0"])) == 1500


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (edited(RUST, name="leaf-spots"), "'leaf-spots' is a name of"),
        (
            edited(RUST, name="spot leaf"),
            "'spot leaf' is a name of 'leaf spot' too (mine.csv, row 3",
        ),
        (edited(RUST, name="leaf, spot of the"), "row 3: 'leaf spot' is read alike): leave it to"),
        (edited(RUST, name="leafspot"), "'leafspot' is a name of 'leaf spot' too"),
        (edited(RUST, synonyms="leaf of spot"), "'leaf of spot' is a name of 'leaf spot' too"),
        (edited(RUST, abbreviations="leafspot"), "'leafspot' is a name of 'leaf spot' and an abb"),
        (edited(RUST, abbreviations="RT"), "the abbreviation 'RT' would not be read, as 'rt' only"),
        (edited(RUST, abbreviations="湿疹"), "'湿疹' cannot be read: write it in Latin letters"),
        (edited(RUST, synonyms="湿疹 rust"), "'湿疹 rust' cannot be read"),
        (edited(RUST, name="ruѕt"), "'ruѕt' cannot be read"),
        (edited(RUST, synonyms="ж"), "'ж' cannot be read"),
    ],
)
def test_names_are_compared_and_refused_as_they_are_read(row, told):
    with pytest.raises(InputError, match="row 4") as caught:
        parsed(CLASS, SPOT, row)
    assert told in str(caught.value)


def test_names_that_differ_in_a_word_that_counts_are_two():
    """What is read apart stands apart: "naevus on naevus" is no naevus."""
    known = parsed(CLASS, SPOT, edited(RUST, name="leaf on leaf spot"), edited(RUST, name="spot"))
    for name in ("leaf spot", "leaf on leaf spot", "spot"):
        assert read_name(name, known).disease is known.diseases[name]
    assert read_name("spot, leaf", known).disease is known.diseases["leaf spot"]


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        (
            {"partition": "weeds"},
            "(mine.csv, row 2), whose partition 'weeds' none of its kinds has (fungi): correct",
        ),
        (
            {"first_step": "removal"},
            "whose first_step 'removal' none of its kinds has (antifungal)",
        ),
        ({"contagious": "matters"}, "'matters'"),
        ({"nature": "benign"}, "'benign'"),
    ],
)
def test_a_class_is_not_said_to_be_what_none_of_its_kinds_is(cells, told):
    with pytest.raises(InputError, match=r"mine\.csv, row") as caught:
        parsed(edited(CLASS, **cells), SPOT, RUST)
    assert told in str(caught.value)
    assert parsed(edited(CLASS, partition="fungi"), SPOT, edited(RUST, partition="weeds"))


def test_a_schema_is_parsed_anew_for_each_ontology():
    text = '[[field]]\nname = "look"\n[field.values]\n"leaf spot" = []\nplain = []\n'
    assert parse_schema(text, "mine.toml").canonical("look", "leaf spot")
    with using(parsed(CLASS, SPOT)), pytest.raises(InputError, match="names a disease"):
        parse_schema(text, "mine.toml")
    assert parse_schema(text, "mine.toml").canonical("look", "leaf spot")


def test_an_added_row_is_blamed_and_not_ours(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text(
        "\n".join([HEADER, edited(SPOT, name="BCC", synonyms="", parents="skin disease")])
    )
    with pytest.raises(
        InputError, match=r"mine\.csv, row 2: 'BCC' is a name of 'BCC' and an abbrev"
    ):
        load_ontology(f"+{path}")
    with pytest.raises(InputError, match="name the CSV file"):
        load_ontology("+")
