"""Claims about the figures of gates over images."""

import json

import numpy as np

from skinflow_jax.evaluation.gates import ImageGates, summarise_gates
from skinflow_jax.evaluation.predictions import Prediction

UP = (0, "up")


def case(name, partition, *values):
    gates = [ImageGates(name, {UP: np.asarray(each, np.float32)}) for each in values]
    parts = {"ontology": partition} if partition else {}
    return gates, Prediction(name, "diagnosis", "", "acne", False, partitions=parts)


def summary():
    cases = [
        case("a", "melanocytic", [1.2, 1.0]),
        case("b", "inflammatory", [0.8, 1.0], [1.0, 1.0]),
        case("c", "", [1.0, 1.0]),
    ]
    images = [image for gates, _ in cases for image in gates]
    return summarise_gates(images, [prediction for _, prediction in cases], of=9)


def test_every_image_counts_and_the_spread_is_among_images():
    found = summary()
    assert (found.images, found.cases, found.of) == (4, 3, 9)
    np.testing.assert_allclose(found.mean[UP], [1.0, 1.0], atol=1e-6)
    np.testing.assert_allclose(found.spread[UP], [np.sqrt(0.02), 0], atol=1e-6)


def test_a_partition_has_its_difference_from_the_mean_of_all():
    parts = summary().partitions["ontology"]
    assert {name: part.images for name, part in parts.items()} == {
        "melanocytic": 1,
        "inflammatory": 2,
    }
    np.testing.assert_allclose(parts["melanocytic"].difference[UP], [0.2, 0], atol=1e-6)
    np.testing.assert_allclose(parts["inflammatory"].difference[UP], [-0.1, 0], atol=1e-6)


def test_the_file_has_maps_in_one_order_with_six_digits():
    told = json.loads(json.dumps(summary().to_dict(), allow_nan=False))
    assert told["version"] == 1
    (only,) = told["maps"]
    assert (only["block"], only["map"], only["spread"]) == (0, "up", [0.141421, 0.0])
    assert told["partitions"]["ontology"]["melanocytic"] == {
        "images": 1,
        "difference": [[0.2, 0.0]],
    }
