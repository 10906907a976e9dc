"""Claims about the report's tables by partition, image quality and source."""

from dataclasses import replace

from synthetic_answers import diagnoses, joined

from skinflow_jax.evaluation.report.facts import by_facts
from skinflow_jax.evaluation.report.page import page

QUALITIES = ("good", "poor")


def known(count=20):
    """Every second image is poor, the last's quality is not told, and all are of one source."""
    rows = [
        replace(p, quality=QUALITIES[i % 2], source="drawn", partitions={})
        for i, p in enumerate(diagnoses(count))
    ]
    return [*rows[:-1], replace(rows[-1], quality=None)]


def test_a_row_a_value_whose_figures_are_of_its_cases():
    answers = known()
    (fact,) = by_facts(joined(answers).evaluations)
    assert fact["name"] == "quality"  # of one source nothing is told apart
    (table,) = fact["tables"]
    assert [row["label"] for row in table["rows"]] == ["good", "poor"]
    poor = [p for p in answers if p.quality == "poor"]
    share = 100 * sum(p.rank == 1 for p in poor) / len(poor)
    first = table["rows"][1]["figures"][0]
    assert (first.value, first.n) == (f"{share:.1f} %", f"{len(poor)}†")
    assert table["note"] == "Cases of which it is not told: 1."


def test_the_partitions_of_the_ontology_are_a_table():
    names = [fact["name"] for fact in by_facts(joined(diagnoses(20)).evaluations)]
    assert names == ["ontology's partition"]


def test_of_two_evaluations_both_have_a_table():
    (fact,) = by_facts(joined(known(), known()).evaluations)
    assert [table["run"] for table in fact["tables"]] == ["run 0", "run 1"]


def test_where_nothing_more_is_known_there_is_no_section():
    plain = [replace(p, partitions={}) for p in diagnoses(20)]
    assert 'id="facts"' not in page(joined(plain))
    assert 'id="facts"' in page(joined(known()))


def test_a_value_with_markup_is_shown_as_text():
    answers = [replace(p, source=f"<b>{i % 2}</b>\u202e") for i, p in enumerate(known())]
    text = page(joined(answers))
    assert "&lt;b&gt;1" in text and "<b>1" not in text and "\u202e" not in text
