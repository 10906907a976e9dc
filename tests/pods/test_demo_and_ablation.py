"""The demo and an ablation, started in all processes of a pod, do their work once."""

import os
import pprint

import pytest
from pods import STAGE, WARM_UP, Pod, lines

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not os.environ.get("SKINFLOW_PODS"), reason="make pods"),
]


@pytest.fixture
def pod(tmp_path):
    return Pod(2, 1, tmp_path)


def test_a_demo_of_two_processes_is_told_once_and_exported(pod, tmp_path):
    workdir = tmp_path / "demo"
    done = pod("demo", f"--workdir={workdir}")
    assert done.stdout.count("export: token ids equal") <= done.stdout.count("export:") > 0
    assert (workdir / "report.md").is_file() and (workdir / "export" / "config.json").is_file()
    found = lines(workdir / "stageii" / "eval" / "1" / "predictions.jsonl")
    keys = [(line["task"], line["case_id"]) for line in found]
    assert len(keys) == len(set(keys)) == 24
    assert "logit difference| to transformers" in done.stdout
    # A second one clears it first, while nobody writes any more.
    pod("demo", f"--workdir={workdir}")


def test_an_ablation_of_two_processes_goes_on_where_one_ended(pod, tmp_path):
    folder, rows = tmp_path / "rows", {}
    (folder / "stages").mkdir(parents=True)
    rl = STAGE["rl"] | {"rewards": ["diagnosis"], "max_refills": 0}
    loop = {"steps": 2, "checkpoint_every": 1}
    rows["stages/warmup"] = WARM_UP | {"model": {"size": "tiny"}, "loop": loop}
    rows["stages/stage"] = STAGE | {"rl": rl, "loop": loop}
    rows["plain"] = {"description": "plain", "stages": ("stage",)}
    rows["dynamic"] = {
        "description": "dynamic",
        "stages": ("stage",),
        "model": {"dve": {"groups": 4}},
        "against": ("plain",),
    }
    for name, row in rows.items():
        (folder / f"{name}.py").write_text(
            "from ml_collections import ConfigDict\n\n\n"
            f"def get_config():\n    return ConfigDict({pprint.pformat(row)})\n"
        )
    command = ("ablation", f"--configs={folder}", "--seeds=1", f"--workdir={tmp_path / 'out'}")
    pod(*command)
    report = (tmp_path / "out" / "ablation.md").read_text()
    assert "| plain: plain |" in report and "* dynamic - plain:" in report
    (tmp_path / "out" / "0" / "dynamic" / "result.json").unlink()
    again = pod(*command)
    assert "seed 0, plain" not in again.stdout and "seed 0, dynamic" in again.stdout
    assert (tmp_path / "out" / "ablation.md").read_text() == report
