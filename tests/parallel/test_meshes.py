"""The same program on one device and on eight: same tokens, losses, gradients and parameters."""

import json

import numpy as np
import pytest

from skinflow_jax.parallel.programs import lines_within_loops

pytestmark = pytest.mark.slow

MESHES = ("data_2_fsdp_4", "fsdp_2_tensor_4")
UPDATES = (
    ("data_2_fsdp_4", "dapo"),
    ("data_2_fsdp_4", "sft"),
    ("fsdp_2_tensor_4", "dapo"),
    ("fsdp_2_tensor_4", "lora"),
)
WIDTHS = {
    "data_2_fsdp_4": {"data": 2, "fsdp": 4, "tensor": 1},
    "fsdp_2_tensor_4": {"data": 1, "fsdp": 2, "tensor": 4},
}


@pytest.fixture(scope="module")
def results(tmp_path_factory, on_devices):
    out = tmp_path_factory.mktemp("meshes")
    on_devices(8, "mesh_program.py", out)
    return out


@pytest.fixture(scope="module")
def arrays(results):
    with np.load(results / "arrays.npz") as file:
        stored = dict(file)

    def select(run, kind):
        prefix = f"{run}:{kind}:"
        found = {k.removeprefix(prefix): v for k, v in stored.items() if k.startswith(prefix)}
        assert found, f"nothing recorded for {prefix}"
        return found

    return select


@pytest.fixture(scope="module")
def layouts(results):
    return json.loads((results / "layouts.json").read_text())


def far(found, expected, limit=1e-5):
    """By name, the norm of a difference over the norm of what is expected, where that is much.

    A hundredth of float32's precision of all arrays together does not count: the gradient of a
    norm within a dynamic map is a 20,000th of the whole and sums up what nearly cancels.
    """
    assert found.keys() == expected.keys()
    norms = {name: np.linalg.norm(x) for name, x in expected.items()}
    noise = 1e-9 * np.linalg.norm(list(norms.values()))
    apart = {name: np.linalg.norm(found[name] - x) for name, x in expected.items()}
    return {n: d / norms[n] for n, d in apart.items() if not d <= limit * norms[n] + noise}


@pytest.mark.parametrize("mesh", MESHES)
def test_a_mesh_samples_the_tokens_that_one_device_samples(arrays, mesh):
    found, expected = arrays(mesh, "rollout"), arrays("one", "rollout")
    lengths = expected["['mask']"].sum(axis=-1)
    assert lengths.min() < lengths.max() and len(set(lengths.ravel())) > 2
    for name in ("['tokens']", "['mask']", "['terminated']"):
        np.testing.assert_array_equal(found[name], expected[name])
    np.testing.assert_allclose(found["['log_probs']"], expected["['log_probs']"], atol=1e-5)


@pytest.mark.parametrize(("run", "algorithm"), UPDATES)
def test_losses_and_gradients_do_not_depend_on_the_mesh(arrays, run, algorithm):
    metrics, expected = (arrays(r, f"{algorithm}/metrics") for r in (run, "one"))
    assert metrics.keys() == expected.keys()
    assert abs(expected["['loss']"]) > 1e-3, "a loss of nearly zero has no relative error"
    # The two paths to a log-probability differ by round-off alone: nothing is left to compare.
    for name in expected.keys() - {"['sampler/logp_diff_mean']", "['sampler/logp_diff_max']"}:
        np.testing.assert_allclose(metrics[name], expected[name], rtol=1e-5, atol=1e-6)
    gradients = [arrays(r, f"{algorithm}/gradients") for r in (run, "one")]
    assert not far(*gradients)


@pytest.mark.parametrize(("run", "algorithm"), UPDATES)
def test_parameters_after_a_step_of_sgd_are_those_of_one_device(arrays, run, algorithm):
    found, expected = (arrays(r, f"{algorithm}/parameters") for r in (run, "one"))
    assert not far(found, expected)
    gradients = arrays("one", f"{algorithm}/gradients")
    assert min(map(np.linalg.norm, gradients.values())) > 0, "not every parameter has moved"


@pytest.mark.parametrize("mesh", MESHES)
def test_adamw_makes_the_same_parameters_of_the_same_gradients(arrays, mesh):
    assert not far(arrays(mesh, "adamw"), arrays("one", "adamw"))


@pytest.mark.parametrize("mesh", MESHES)
def test_parameters_are_split_as_the_table_says_and_stay_so_after_a_step(layouts, mesh):
    """On `fsdp` along the embedding axis, on `tensor` along heads, hidden units and vocabulary."""
    axis_of = {"embed": "fsdp", "heads": "tensor", "mlp": "tensor", "vocab": "tensor"}
    widths, split = WIDTHS[mesh], set()
    assert {"created", "imported", "restored"} < layouts[mesh].keys()
    for parameters in layouts[mesh].values():
        for name, parameter in parameters.items():
            whole, part = parameter["shape"], parameter["part"]
            axes = [None] * (len(whole) - len(parameter["axes"])) + parameter["axes"]
            for axis, size, local in zip(axes, whole, part, strict=True):
                width = widths[axis_of[axis]] if axis else 1
                assert local == size // width and size % width == 0, (name, parameter)
                if width > 1:
                    split.add(axis)
    assert split == {axis for axis, on in axis_of.items() if widths[on] > 1}


@pytest.mark.parametrize("kind", ["imported", "restored"])
@pytest.mark.parametrize("mesh", MESHES)
def test_weights_read_onto_a_mesh_are_those_that_were_written(arrays, mesh, kind):
    """That they are split as the table says, the test above shows."""
    found, expected = arrays(mesh, kind), arrays("one", "before")
    assert found.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name])


def test_decoding_gathers_no_parameters(results):
    """The sampler gathers the FSDP shards once, before its loop over tokens."""
    text = (results / "data_2_fsdp_4.hlo").read_text()
    assert " all-gather(" in text
    assert not [line for line in lines_within_loops(text) if " all-gather(" in line]
