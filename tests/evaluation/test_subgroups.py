"""Claims about figures by skin type, partition, quality and source."""

import io

from rich.console import Console
from test_summary import TRAINING, diagnosed

from skinflow_jax.evaluation.subgroups import MOST_VALUES, subgroup_tables, subgroups
from skinflow_jax.evaluation.summary import blind_lines, summarise

ROWS = [
    diagnosed("a", "melanoma", 1, skin_type=1, quality="good", partitions={"ontology": "x"}),
    diagnosed("b", "melanoma", 2, skin_type=1, safety="critical", partitions={"ontology": "x"}),
    diagnosed("c", "acne", 1, skin_type=6, partitions={"ontology": "y", "nine_partition": "z"}),
    diagnosed("d", "acne", None, valid=False),
]


def test_each_fact_that_is_told_has_its_values_and_who_does_not_tell_it_is_counted():
    found = subgroups(ROWS)
    assert list(found) == ["skin type", "nine partition", "ontology's partition", "quality"]
    types = found["skin type"]
    assert {value: row["Top-1"].value for value, row in types.rows.items()} == {"I": 0.5, "VI": 1.0}
    assert types.rows["I"]["safety-critical"].value == 0.5 and types.untold == 1
    assert types.rows["I"]["Top-6"].n == 2 and types.rows["I"]["Top-6"].few
    assert "missed malignancy" not in types.rows["VI"], "no case of it is about that"


def test_of_a_fact_with_many_values_the_most_frequent_are_shown_and_the_others_counted():
    rows = [diagnosed(str(n), "acne", 1, source=f"clinic {n}") for n in range(MOST_VALUES + 5)]
    found = subgroups([*rows, diagnosed("x", "acne", 1, source="clinic 34")])["source"]
    assert len(found.rows) == MOST_VALUES and "clinic 34" in found.rows and found.further == 5


def test_the_table_shows_names_of_others_as_text():
    rows = [diagnosed("a", "acne", 1, source="[red]\x1b[2J"), diagnosed("b", "acne", 1, source="b")]
    out = io.StringIO()
    Console(file=out, width=80).print(*subgroup_tables(subgroups(rows)))
    assert "[red]\\x1b[2J" in out.getvalue() and "\x1b" not in out.getvalue()
    assert subgroup_tables(subgroups(rows[:1])) == [], "one value is the whole"


def test_top_6_is_said_to_be_trivial_where_there_are_few_diseases():
    content = summarise(ROWS, TRAINING).to_dict()
    assert content["diseases"] == 2 and content["Top-6 is trivial"]
    assert content["subgroups"]["skin type"]["rows"]["I"]["Top-1"]["n"] == 2
    assert any("Top-6 is trivial here" in line for line in blind_lines(summarise(ROWS, TRAINING)))
    names = ["melanoma", "acne", "psoriasis", "rosacea", "vitiligo", "scabies", "impetigo"]
    names += ["cellulitis", "urticaria", "milia", "alopecia"]
    many = [diagnosed(name, name, 1) for name in names]
    assert not summarise(many, TRAINING).trivial


def test_one_disease_is_one_class_however_it_is_written():
    rows = [diagnosed("a", "melanoma", 1), diagnosed("b", "malignant melanoma", None)]
    summary = summarise(rows, TRAINING)
    assert summary.diseases == 1
    recall = next(f for f in summary.figures if f.label == "macro recall %")
    assert recall.estimate.value == 0.5


def test_refused_answers_are_in_every_denominator_and_apart():
    found = {f.label: f.estimate for f in summarise(ROWS, TRAINING).figures}
    assert (found["Top-1 %"].value, found["Top-1 %"].n) == (0.5, 4)
    assert (found["Top-1 of valid %"].value, found["Top-1 of valid %"].n) == (2 / 3, 3)
    assert found["valid diagnoses %"].value == 0.75


def test_several_references_have_a_row_of_their_own_where_there_are_any():
    several = {"references": {"eczema": 0.6, "acne": 0.4}, "rank_any": 1}
    rows = [diagnosed("a", "eczema", None, **several), diagnosed("b", "acne", 1)]
    found = {f.label: f.estimate.value for f in summarise(rows, TRAINING).figures}
    assert (found["Top-1 %"], found["Top-1 of any reference %"]) == (0.5, 1.0)
    assert "Top-1 of any reference %" not in {f.label for f in summarise(ROWS, TRAINING).figures}
