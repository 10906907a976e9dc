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
    assert found["share"][0] == 1 and found["share"][1] < 0.3
    assert found["printed"][0] == found["printed"][1]


def test_bfloat16_on_a_mesh_errs_no_more_than_on_one_device(found):
    """Sums over devices are in another order, so that tokens may differ where two are near equal.

    Each rounding errs by 2^-9 of its value whatever the order; what a mesh adds is one rounding of
    a partial sum for each of the two devices along `tensor`, beside those that one device makes of
    the same activations: at most twice the variance.
    """
    errors = found["bfloat16"]["errors"]
    assert 0 < errors["mesh"] < 2**0.5 * errors["one"]
    assert found["bfloat16"]["same"] > 0.8
