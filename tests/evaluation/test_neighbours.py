"""The nearest-neighbour floor: whose diagnoses are taken, in which order, and what they reach."""

import json

import numpy as np
import pytest

from skinflow_jax.evaluation.floor import floor_of
from skinflow_jax.evaluation.neighbours import Neighbours, nearest_diseases, neighbours_of
from skinflow_jax.evaluation.predictions import Prediction
from skinflow_jax.evaluation.summary import blind_lines, summarise

SEVEN = ("acne", "psoriasis", "melanoma", "scabies", "rosacea", "vitiligo", "urticaria")


def by_hand(row, among, diseases):
    """The oracle: one cosine at a time, in plain Python."""

    def cosine(other):
        lengths = np.sqrt(sum(x * x for x in row)) * np.sqrt(sum(x * x for x in other))
        return sum(x * y for x, y in zip(row, other, strict=True)) / lengths

    found = []
    for n in sorted(range(len(among)), key=lambda n: -cosine(among[n])):
        if diseases[n] not in found:
            found.append(diseases[n])
    return tuple(found[:6])


def test_lists_are_those_of_the_cosines_one_by_one():
    rng = np.random.default_rng(0)
    features, among = rng.normal(size=(20, 5)), rng.normal(size=(40, 5))
    among *= rng.uniform(0.1, 10, size=(40, 1))  # length counts for nothing
    diseases = rng.choice(SEVEN, 40).tolist()
    found = nearest_diseases(features, among, diseases)
    assert found == [by_hand(row, among, diseases) for row in features]
    assert len(set(found)) > 10


def test_of_equally_near_cases_the_first_comes_first():
    among = np.array([[0, 1], [2, 0], [1, 0], [0, 3]])
    found = nearest_diseases(np.array([[1.0, 0.0]]), among, ("acne", "scabies", "melanoma", "acne"))
    assert found == [("scabies", "melanoma", "acne")]


def test_a_tower_that_sees_no_difference_gives_the_first_six_diseases_to_every_case():
    rows = {str(n): np.full(3, 0.7, np.float32) for n in range(40)}
    labels = {name: SEVEN[int(name) // 2 % 7] for name in rows}
    lists = neighbours_of({"a": rows["0"], "b": rows["1"]}, rows, labels).lists
    assert lists == {"a": SEVEN[:6], "b": SEVEN[:6]}


def test_names_of_one_disease_take_one_place_and_a_zero_vector_is_like_none():
    labelled = {"x": np.zeros(2), "y": np.array([1.0, 0]), "z": np.array([1.0, 0.1])}
    labels = {"x": "leaf rust", "y": "Malignant melanoma", "z": "melanoma"}
    lists = neighbours_of({"a": np.array([1.0, 0])}, labelled, labels).lists
    assert lists == {"a": ("melanoma", "leaf rust")}


def diagnosed(case, reference, group=""):
    return Prediction(case, "diagnosis", "", reference, True, rank=1, first="x", group=group)


def test_what_the_neighbours_reach_stands_beside_the_floor():
    lists = {"a": ("melanoma",), "b": ("acne", "psoriasis"), "c": ("acne",), "d": ("acne",)}
    references = ["melanoma", "guttate psoriasis", "melanoma", "acne"]
    predictions = [diagnosed(*pair) for pair in zip(lists, references, strict=True)]
    summary = summarise(predictions, floor_of(["acne"]), neighbours=Neighbours(12, lists))
    told = json.loads(json.dumps(summary.to_dict()))["nearest neighbour"]
    assert told["labelled cases"] == 12
    assert told["Top-1"]["value"] == 0.5 and told["Top-6"]["value"] == 0.75
    assert told["diagnosis reward"]["value"] == pytest.approx((1 + 5 / 6 + 0 + 1) / 4)
    assert 0 <= told["Top-1"]["low"] < 0.5 < told["Top-1"]["high"] <= 1
    lines = blind_lines(summary)
    place = next(n for n, line in enumerate(lines) if line.startswith("nearest neighbour"))
    assert "Top-1 50.0 [" in lines[place] and "nearest of 12 labelled cases" in lines[place]
    assert lines[place - 1].startswith("floor, diagnosis reward")


def test_intervals_go_by_groups_as_all_others_do():
    lists = {str(n): ("acne",) for n in range(8)}
    predictions = [diagnosed(name, "acne", group=str(int(name) // 2)) for name in lists]
    reached = summarise(predictions, floor_of([]), neighbours=Neighbours(1, lists)).neighbours
    assert reached.reached.top_1.groups == 4


def test_what_was_not_asked_for_is_not_told():
    summary = summarise([diagnosed("a", "acne")], floor_of(["acne"]))
    assert summary.to_dict()["nearest neighbour"] is None
    assert not any("neighbour" in line for line in blind_lines(summary))


def test_features_that_are_not_finite_give_no_lists_and_the_reason():
    labelled = {"x": np.array([np.nan, 1]), "y": np.ones(2)}
    found = neighbours_of({"a": np.ones(2)}, labelled, dict.fromkeys(labelled, "acne"))
    summary = summarise([diagnosed("a", "acne")], floor_of(["acne"]), neighbours=found)
    told = summary.to_dict()["nearest neighbour"]
    assert told["labelled cases"] == 2 and "features of 1 cases are not finite" in told["none"]
    assert [line for line in blind_lines(summary) if "nearest neighbour: none, since" in line]
