"""No device holds a whole copy of the model while a run begins on a mesh, nor does the host."""

import json

import pytest

pytestmark = pytest.mark.slow

STARTS = ["random", "full", "full, resumed", "adapters", "adapters, resumed"]
SMALL = 2**17  # scalars, keys; on the host Python's own objects


@pytest.fixture(scope="module")
def held(tmp_path_factory, on_devices):
    """What start_program.py saw on a mesh of 2 x 2 x 2, bytes."""
    out = tmp_path_factory.mktemp("memory")
    on_devices(8, "start_program.py", out)
    return json.loads((out / "held.json").read_text())


@pytest.mark.parametrize("start", STARTS)
def test_a_device_holds_its_part_of_what_stays_and_of_one_tensor_more(held, start):
    """Of the model four devices hold a part each; a whole copy of it would be three parts more."""
    found = held["starts"][start]
    assert found["weights"] < 0.3 * held["weights"]
    stays = found["weights"] + found["optimizer state"] + found["KL reference"]
    assert stays <= found["most"] <= stays + found["tensor"] + SMALL
    assert found["largest"] <= found["tensor"]


@pytest.mark.parametrize("start", STARTS)
def test_the_table_at_the_start_says_what_a_device_holds(held, start):
    found = held["starts"][start]
    for kind in ("weights", "optimizer state"):
        assert found["table"][kind] == found[kind]
    if start != "random":
        dtype = "bfloat16" if start.startswith("full") else "float32"
        assert found["table"][f"KL reference in {dtype}"] == found["KL reference"] > 0


def test_a_reference_in_bfloat16_is_half_of_the_weights(held):
    found = held["starts"]["full"]
    assert found["KL reference"] == found["weights"] / 2


@pytest.mark.parametrize("how", ["imported", "opened"])
def test_beside_what_stays_the_host_holds_a_block_of_a_tensor(held, how):
    """CPU devices take NumPy's arrays as they are, so that the model itself is counted, once."""
    assert held["host"][how] <= held["weights"] + 4 * SMALL


def test_a_fingerprint_of_a_model_on_a_mesh_gathers_none_of_it(held):
    assert held["host"]["compared"] <= held["tensor"] + SMALL
