"""A run on several processes is the run of one: same tokens, losses, predictions and checkpoints.

`make pods` (SKINFLOW_PODS=1) runs every kind of run on every shape, eight devices that split the
batch too; `make test` one kind on four devices.
"""

import os

import jax
import numpy as np
import pytest
from pods import STAGE, WARM_UP, Pod, lines, predictions

from skinflow_jax.checkpoints.run_state import load_model

pytestmark = pytest.mark.slow

WHOLE = bool(os.environ.get("SKINFLOW_PODS"))
DEVICES = 8 if WHOLE else 4
SHAPES = [(2, 4), (4, 2)] if WHOLE else [(2, 2)]
LORA, DVE = {"lora": {"rank": 2}}, {"dve": {"groups": 4}}
KINDS = {"lora": LORA, "full": {}, "dve": DVE} if WHOLE else {"lora": LORA}
MESH = {"mesh": {"fsdp": 2, "tensor": 2}}


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """One process of all devices: what the others are compared with."""
    pod = Pod(1, DEVICES, tmp_path_factory.mktemp("one"))
    pod.train("warmup", WARM_UP | MESH)
    for kind, model in KINDS.items():
        pod.train(kind, stage(pod, model))
    return pod


@pytest.fixture(scope="module", params=SHAPES, ids=lambda shape: "x".join(map(str, shape)))
def several(request, one, tmp_path_factory):
    """The same runs on several processes; the stages start from the warm-up of one."""
    processes, devices = request.param
    pod = Pod(processes, devices, tmp_path_factory.mktemp(f"pod_{processes}x{devices}"))
    pod.train("warmup", WARM_UP | MESH)
    for kind, model in KINDS.items():
        pod.train(kind, stage(one, model))
    return pod


def stage(pod, model):
    return STAGE | MESH | {"model": {"init_from": str(pod.folder / "warmup"), **model}}


def test_the_warm_up_learns_alike(one, several):
    ours, theirs = (lines(pod.folder / "warmup" / "metrics.jsonl") for pod in (several, one))
    assert [line["step"] for line in ours] == [line["step"] for line in theirs]
    for mine, other in zip(ours, theirs, strict=True):
        assert mine["loss"] == pytest.approx(other["loss"], rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_rollouts_rewards_and_losses(one, several, kind):
    """Of all processes each is in the log once; groups were refilled over all of them."""
    ours, theirs = (lines(pod.folder / kind / "rollouts.jsonl") for pod in (several, one))
    told = [
        [(r["step"], r["case_id"], r["completion"], r["rewards"]) for r in rows]
        for rows in (ours, theirs)
    ]
    assert told[0] == told[1] and len(told[0]) == 2 * 8 * 4
    metrics = [lines(pod.folder / kind / "metrics.jsonl") for pod in (several, one)]
    assert metrics[1][0]["dynamic_sampling/refills"] > 0
    for mine, other in zip(*metrics, strict=True):
        for name in ("loss", "reward", "kl", "grad_norm", "dynamic_sampling/informative"):
            assert mine[name] == pytest.approx(other[name], rel=1e-5, abs=1e-5), name


@pytest.mark.parametrize("kind", KINDS)
def test_evaluated_within_the_run_and_after_it_alike(one, several, kind):
    run = several.folder / kind
    within = predictions(run / "eval" / "2")
    assert len(within) == len({line["case_id"] for line in within}) == 12
    assert within == predictions(one.folder / kind / "eval" / "2")
    several("evaluate", f"--checkpoint={run}", f"--out={several.folder / 'after'}")
    assert predictions(several.folder / "after") == within


def test_exported_and_imported_by_several_processes_it_is_the_same_model(several):
    """One of them exports; of an import each reads its part."""
    run, imported = several.folder / "warmup", several.folder / "imported"
    several("export-hf", f"--checkpoint={run}", f"--out={several.folder / 'out'}")
    several("import-hf", f"--model={several.folder / 'out'}", f"--workdir={imported}")
    models = (load_model(folder / "checkpoints") for folder in (imported, run))
    for found, expected in zip(*map(jax.tree.leaves, models), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.skipif(not WHOLE, reason="make pods")
def test_a_run_goes_on_with_other_numbers_of_processes(one, tmp_path):
    """2, then 1, then 4: the steps of each are those of the run that was never stopped."""
    loop = WARM_UP["loop"]
    for processes, steps in ((2, 4), (1, 8), (4, 12)):
        pod = Pod(processes, 8 // processes, tmp_path)
        config = WARM_UP | MESH | {"loop": loop | {"steps": steps}}
        options = ["--resume", "--allow-changed=loop.steps"] if steps > 4 else []
        pod.train("warmup", config, *options)
    ours = lines(tmp_path / "warmup" / "metrics.jsonl")
    theirs = lines(one.folder / "warmup" / "metrics.jsonl")
    assert [line["step"] for line in ours] == [line["step"] for line in theirs]
    for mine, other in zip(ours, theirs, strict=True):
        assert mine["loss"] == pytest.approx(other["loss"], rel=1e-5)
