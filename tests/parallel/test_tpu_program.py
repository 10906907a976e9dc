"""What crosses a TPU slice in an update, read off the compiled program."""

import json

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def program(tmp_path_factory, with_libtpu):
    out = tmp_path_factory.mktemp("program") / "collectives.json"
    with_libtpu("tpu_program.py", out)
    return json.loads(out.read_text())


def of_weights(program, *kinds):
    found = [c for c in program["collectives"] if c["kind"] in kinds]
    return [c for c in found if c["shape"] in program["weights"] and len(c["shape"]) > 1]


def test_gradients_are_reduced_in_float32(program):
    reduced = of_weights(program, "all-reduce", "reduce-scatter")
    assert len(reduced) > 10
    assert [c for c in reduced if c["dtype"] != "f32"] == []


def test_weights_are_gathered_in_bfloat16_the_embedding_table_too(program):
    gathered = of_weights(program, "all-gather")
    assert len(gathered) > 10 and any(c["shape"] == [2048, 1024] for c in gathered)
    assert [c for c in gathered if c["dtype"] != "bf16"] == []
