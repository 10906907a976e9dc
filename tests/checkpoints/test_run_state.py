"""A run goes on from its checkpoint as if nothing had happened, kill -9 included."""

import dataclasses
import functools
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from random_model import SHALLOW, TINY, spread_model

from skinflow_jax.checkpoints.checksums import FILE as CHECKSUMS
from skinflow_jax.checkpoints.run_state import RunCheckpoints, load_model, read_facts
from skinflow_jax.errors import InputError
from skinflow_jax.models.config import DveConfig
from skinflow_jax.models.dve_conversion import with_dve
from skinflow_jax.parallel import as_read
from skinflow_jax.training.state import TrainState


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class State:
    model: Any
    optimizer: Any
    step: jax.Array


@pytest.fixture(scope="module")
def state():
    model = spread_model()
    return State(model, optax.adamw(1e-3).init(model), jnp.int32(3))


@pytest.fixture(scope="module")
def run(state, tmp_path_factory):
    """A folder with checkpoints of steps 3 and 5."""
    folder = tmp_path_factory.mktemp("run")
    with RunCheckpoints(folder) as checkpoints:
        for step in (1, 3, 5):
            later = dataclasses.replace(state, step=jnp.int32(step))
            checkpoints.save(step, later, facts={"tokenizer": "here", "seeds": [1, 2]})
    return folder


def assert_same(found, expected):
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def test_state_facts_and_step_come_back(run, state):
    with RunCheckpoints(run) as checkpoints:
        assert checkpoints.latest_step == 5
        restored, facts, step = checkpoints.restore(jax.eval_shape(lambda: state))
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    assert_same(restored.model, state.model)
    assert_same(restored.optimizer, state.optimizer)
    assert restored.step == step == 5
    assert facts["tokenizer"] == "here" and facts["seeds"] == [1, 2]
    assert read_facts(run) == facts


def test_only_the_latest_checkpoints_are_kept_and_an_earlier_one_can_be_named(run, state):
    with RunCheckpoints(run) as checkpoints:
        restored, _, step = checkpoints.restore(state, step=3)
        assert restored.step == step == 3
        with pytest.raises(InputError, match=r"no checkpoint of step 1: there are \[3, 5\]"):
            checkpoints.restore(state, step=1)


def test_the_model_alone_loads_with_its_config(run, state):
    model = load_model(run)
    assert model.config == TINY
    assert_same(model, state.model)


def test_stored_names_are_those_of_the_attributes(run):
    names = (run / "5" / "state" / "_METADATA").read_text()
    for key in ("model", "decoder", "embedding", "optimizer", "mu"):
        assert f'"{key}"' in names


def test_a_state_may_be_donated_while_it_is_being_saved(tmp_path):
    @functools.partial(jax.jit, donate_argnums=0)
    def update(model):
        return jax.tree.map(lambda x: x * 0 + 7, model)

    model = spread_model(seed=1)
    expected = jax.tree.map(lambda x: np.array(x, copy=True), model)
    with RunCheckpoints(tmp_path) as checkpoints:
        checkpoints.save(1, State(model, (), jnp.int32(1)), facts={})
        jax.block_until_ready(jax.tree.leaves(update(model)))
    assert_same(load_model(tmp_path), expected)


def test_a_step_already_saved_is_left_alone(tmp_path, state):
    with RunCheckpoints(tmp_path) as checkpoints:
        checkpoints.save(1, state, facts={"try": 1})
        checkpoints.save(1, state, facts={"try": 2})
        checkpoints.wait()
        assert checkpoints.restore(state)[1]["try"] == 1


def replaced_norm(state, value):
    leaves, structure = jax.tree.flatten_with_path(state.model)
    leaves = [value if "norm" in jax.tree_util.keystr(p[:2]) else x for p, x in leaves]
    return dataclasses.replace(state, model=jax.tree.unflatten(structure, leaves))


def test_a_checkpoint_that_does_not_fit_names_the_tensor_and_both_shapes(run, state):
    other = replaced_norm(state, jax.ShapeDtypeStruct((64,), jnp.float32))
    longer = dataclasses.replace(state, optimizer=(state.optimizer, {"extra": jnp.zeros(2)}))
    without = dataclasses.replace(state, optimizer=())
    cases = [
        (other, r"5: tensor model/decoder/norm/scale has shape \(128,\), .* \(64,\)"),
        (longer, r"5: no tensor optimizer/0/0/count"),
        (without, r"5: \d+ tensors that the config does not have, the first optimizer/0/count"),
    ]
    with RunCheckpoints(run) as checkpoints:
        for abstract, message in cases:
            with pytest.raises(InputError, match=message) as error:
                checkpoints.restore(abstract)
            assert "\n" not in str(error.value)


def test_a_folder_without_a_finished_checkpoint_says_so(tmp_path, state):
    with RunCheckpoints(tmp_path) as checkpoints:
        assert checkpoints.latest_step is None
        with pytest.raises(InputError, match="no finished checkpoint"):
            checkpoints.restore(state)
    with pytest.raises(InputError, match="no finished checkpoint"):
        load_model(tmp_path)
    with pytest.raises(InputError, match="is not a folder"):
        load_model(tmp_path / "absent")


def run_script(script: str, *arguments, **environment) -> subprocess.CompletedProcess:
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    script = f"import sys\nsys.path[:0] = {paths!r}\n" + textwrap.dedent(script)
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        env=os.environ | {"JAX_PLATFORMS": "cpu"} | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.slow
def test_kill_9_in_the_middle_of_a_save_leaves_the_previous_checkpoint(tmp_path):
    killed = run_script(
        """
        import os, pathlib, signal, time
        import jax, jax.numpy as jnp
        from test_run_state import RunCheckpoints, State, spread_model
        checkpoints = RunCheckpoints(sys.argv[1])
        ballast = jax.random.normal(jax.random.key(0), (2**24,))
        for step in (1, 2):
            checkpoints.save(step, State(spread_model(), ballast * step, jnp.int32(step)),
                             facts={"position": step * 4})
            if step == 1:
                checkpoints.wait()
        while not list(pathlib.Path(sys.argv[1]).glob("2.*")):
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        tmp_path,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    unfinished = [path.name for path in tmp_path.iterdir() if "tmp" in path.name]
    assert unfinished, "the save was over before the kill: the test needs more ballast"

    assert_same(load_model(tmp_path), spread_model())
    ballast = jax.random.normal(jax.random.key(0), (2**24,))
    state = State(spread_model(), ballast, jnp.int32(1))
    with RunCheckpoints(tmp_path) as checkpoints:
        assert checkpoints.latest_step == 1
        restored, facts, _ = checkpoints.restore(state)
        assert_same(restored, state)
        assert facts["position"] == 4
        checkpoints.save(2, dataclasses.replace(state, step=jnp.int32(2)), facts={})
        checkpoints.wait()
        assert checkpoints.latest_step == 2
    assert not [path for path in tmp_path.iterdir() if "tmp" in path.name]


@pytest.mark.slow
def test_a_run_resumes_on_another_mesh(run):
    found = run_script(
        """
        import jax, numpy as np, optax
        import jax.numpy as jnp
        from test_run_state import RunCheckpoints, State, assert_same, load_model, spread_model
        from skinflow_jax.parallel import MeshConfig, make_mesh, module_shardings
        mesh = make_mesh(MeshConfig(data=2, fsdp=2, tensor=2))
        expected = spread_model()
        on_mesh = jax.device_put(expected, module_shardings(expected, mesh))
        state = State(on_mesh, optax.adamw(1e-3).init(on_mesh), jnp.int32(0))
        with RunCheckpoints(sys.argv[1]) as checkpoints:
            restored, _, _ = checkpoints.restore(state)
        for model in (restored.model, load_model(sys.argv[1], mesh=mesh)):
            assert_same(model, expected)
            kernel = model.decoder.layers.mlp.gate.kernel.get_value()
            assert kernel.sharding.is_equivalent_to(
                on_mesh.decoder.layers.mlp.gate.kernel.get_value().sharding, kernel.ndim)
            assert len({str(shard.index) for shard in kernel.addressable_shards}) == 4
        """,
        run,
        XLA_FLAGS=f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=8",
    )
    assert found.returncode == 0, found.stderr[-2000:]


def test_a_model_is_read_in_the_type_asked_for_but_for_what_is_read_in_float32(tmp_path):
    """The gates of a dynamic map stay float32, as in the sampler's copy."""
    model = with_dve(spread_model(SHALLOW), DveConfig(groups=4))
    with RunCheckpoints(tmp_path) as checkpoints:
        checkpoints.save(1, TrainState(jnp.int32(1), model, ()), facts={})
    found, expected = load_model(tmp_path, dtype="bfloat16"), as_read(model, "bfloat16")
    kinds = {leaf.dtype.name for leaf in jax.tree.leaves(found)}
    assert kinds == {"bfloat16", "float32"}
    for ours, theirs in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_arrays_of_another_model_are_noticed_in_whatever_type_they_are_read(tmp_path, dtype):
    with RunCheckpoints(tmp_path) as checkpoints:
        for step in (1, 2):
            model = spread_model(SHALLOW, seed=step)
            checkpoints.save(step, TrainState(jnp.int32(step), model, ()), facts={}, wait=True)
    shutil.rmtree(tmp_path / "2" / "state")
    shutil.copytree(tmp_path / "1" / "state", tmp_path / "2" / "state")
    (tmp_path / "2" / CHECKSUMS).unlink()
    with pytest.raises(InputError, match="its arrays are not those that were saved"):
        load_model(tmp_path, step=2, dtype=dtype)
