"""`generate` splits a model over devices, and bfloat16 on a mesh is as exact as on one device."""

import json

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def found(tmp_path_factory, on_devices):
    out = tmp_path_factory.mktemp("answers")
    on_devices(8, "answers_on_mesh.py", out)
    return json.loads((out / "answers.json").read_text())


def test_generate_splits_the_model_over_as_many_devices_as_divide_it(found):
    """Of eight, four: the model has four key heads."""
    assert found["devices"] == [1, 4]
    assert found["share"][0] == 1 and found["share"][1] < 1 / 3
    assert found["printed"][0] == found["printed"][1]


def test_bfloat16_on_a_mesh_errs_no_more_than_on_one_device(found):
    """Of log-probabilities: tokens differ where two are near equal, for sums have another order.

    Every activation is rounded to 2^-9 of its value. A mesh rounds the two partial sums of devices
    along `tensor` besides, which are no larger: at most twice the variance.
    """
    errors = found["errors_in_bfloat16"]
    assert 0 < errors["mesh"] < 2**0.5 * errors["one"]


def test_sampled_lists_are_the_same_on_one_device_and_on_a_mesh(tmp_path, on_devices):
    on_devices(8, "lists_on_mesh.py", tmp_path)
    alone, on_mesh = json.loads((tmp_path / "lists.json").read_text())
    assert alone == on_mesh and len({text for _, text, _ in alone}) > 1
