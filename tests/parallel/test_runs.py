"""A whole run on a mesh is the run of one device: same data, rollouts, rewards, answers.

By `make pods`, which compares runs on several processes with one on such a mesh.
"""

import json
import os

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not os.environ.get("SKINFLOW_PODS"), reason="make pods"),
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory, on_devices):
    """Folders of the run on one device and on 2 x 2 x 2, which starts Stage II from the same."""
    folders = {}
    for devices, fsdp, tensor in ((1, 1, 1), (8, 2, 2)):
        folders[devices] = out = tmp_path_factory.mktemp(f"devices_{devices}")
        on_devices(devices, "run_on_mesh.py", out, folders[1], fsdp, tensor)
    return folders[1], folders[8]


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def predictions(folder):
    """Without what round-off reaches: programs for one mesh may be compiled differently."""
    rows = lines(folder / "predictions.jsonl")
    return [{k: v for k, v in r.items() if k not in ("log_prob", "confidence")} for r in rows]


def test_the_warm_up_learns_alike(runs):
    one, eight = (lines(run / "warmup" / "metrics.jsonl") for run in runs)
    for ours, theirs in zip(eight, one, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-3)


def test_the_first_rollouts_are_the_same_and_were_refilled(runs):
    one, eight = (lines(run / "stage" / "rollouts.jsonl") for run in runs)
    first = [[row for row in rows if row["step"] == 1] for rows in (one, eight)]
    told = [[(r["case_id"], r["completion"], r["rewards"]) for r in rows] for rows in first]
    assert told[0] == told[1] and len({row[1] for row in told[0]}) > 2
    metrics = [lines(run / "stage" / "metrics.jsonl") for run in runs]
    assert sum(line["dynamic_sampling/refills"] for line in metrics[0]) > 0
    for name in ("loss", "reward", "kl", "grad_norm", "dynamic_sampling/informative"):
        assert metrics[1][0][name] == pytest.approx(metrics[0][0][name], rel=1e-2, abs=1e-5), name


def test_no_step_compiles_anything(runs):
    for run in runs:
        found = [line["compilations"] for line in lines(run / "stage" / "metrics.jsonl")]
        assert found == [0, 0, 0]


def test_a_policy_is_evaluated_alike_within_its_run_after_it_and_from_its_checkpoint(runs):
    """In batches of 5 cases, which do not divide over four devices."""
    for run in runs:
        within = predictions(run / "stage" / "eval" / "3")
        assert len(within) == 8
        for place in ("trained", "opened"):
            assert predictions(run / place) == within
