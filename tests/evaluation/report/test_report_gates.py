"""Claims about the report's section on the gates of a dynamic encoder."""

import copy

import pytest
from synthetic_answers import diagnoses, evaluation, joined
from synthetic_gates import GROUPS, MAPS, told

from skinflow_jax.errors import InputError
from skinflow_jax.evaluation.report.gates import gates
from skinflow_jax.evaluation.report.page import page


def shown(known):
    (found,) = gates([evaluation(diagnoses(20), gates=known)])
    return found


def test_a_row_a_map_with_its_numbers_in_words():
    known = told()
    rows = shown(known)["rows"]
    assert [row["map"] for row in rows] == ["block 1 up", "block 3 down"]
    mean, spread = known["maps"][0]["mean"], known["maps"][0]["spread"]
    assert rows[0]["range"] == f"{min(mean):.4f} to {max(mean):.4f}"
    assert rows[0]["largest"] == f"{max(spread):.2g} in group 3"


def test_the_largest_spread_has_the_full_colour():
    cells = {group: share for group, share, _ in shown(told())["rows"][0]["spread"].cells}
    assert cells[2] == 1 and all(share < 0.1 for group, share in cells.items() if group != 2)


def test_a_gate_below_one_lies_below_the_line():
    known = told()
    known["maps"][1]["mean"] = [0.9, 1.1, 1.0, 1.0]
    assert shown(known)["rows"][1]["apart"].cells == [(0, 1.0, True), (1, 1.0, False)]


def test_the_gate_that_listens_to_a_partition_is_named():
    (part,) = shown(told())["partitions"]
    assert part["map"] == "block 1 up"
    rises = {row["label"]: row["rises"] for row in part["rows"]}
    assert rises["melanocytic"].startswith("block 1 up, group 3: +0.0")
    falls = {row["label"]: row["falls"] for row in part["rows"]}
    assert falls["inflammatory"].startswith("block 1 up, group 3: −0.0")


def test_gates_that_do_not_listen_say_so_and_have_no_partitions():
    known = told()
    for each in known["maps"]:
        each["mean"], each["spread"] = [1.0] * GROUPS, [0.0] * GROUPS
    found = shown(known)
    assert found["partitions"] == [] and found["rows"][0]["apart"].cells == []
    assert "No gate spreads." in page(joined(diagnoses(20), gates=known))


def test_of_a_static_encoder_there_is_no_section():
    assert 'id="gates"' not in page(joined(diagnoses(20)))
    text = page(joined(diagnoses(20), gates=told()))
    assert 'id="gates"' in text and text.count('class="strip"') == 2 * len(MAPS) + len(
        told()["partitions"]["ontology"]
    )


@pytest.mark.parametrize(
    "spoil",
    [
        lambda known: known.pop("maps"),
        lambda known: known.update(maps=[]),
        lambda known: known["maps"][0]["mean"].pop(),
        lambda known: known["maps"][0].update(spread=[], mean=[]),
        lambda known: known["maps"][1]["spread"].__setitem__(0, float("nan")),
        lambda known: known["maps"][1].update(block="first"),
        lambda known: known["partitions"]["ontology"]["melanocytic"]["difference"].pop(),
        lambda known: known["partitions"].update(ontology={}),
        lambda known: known.update(partitions=3),
    ],
)
def test_a_damaged_file_is_named(spoil):
    known = copy.deepcopy(told())
    spoil(known)
    with pytest.raises(InputError, match=r"gates\.json is damaged"):
        shown(known)
