"""Two roads of a person with data of their own: a folder of classes, and rows with a reward."""

import json
import re

import numpy as np
import pytest
from PIL import Image
from shallow import SHALLOW

from skinflow_jax.cli import main
from skinflow_jax.data.splitting.files import latest_splits
from skinflow_jax.errors import InputError
from skinflow_jax.models.config import SIZES
from skinflow_jax.runs.demo import DemoSize, run_demo

FEW = DemoSize(
    warmup_cases=None,
    warmup_diagnoses=40,
    rl_cases=None,
    stage2_captions=4,
    heldout_cases=None,
    warmup_steps=2,
    stage1_steps=1,
    stage2_steps=1,
)
REWARDS = """
def exact(completions, solution, **kwargs):
    contents = [completion[0]["content"] for completion in completions]
    return [float(s == c.strip()) for c, s in zip(contents, solution, strict=True)]
"""


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setitem(SIZES, "tiny", SHALLOW)


def picture(seed, path):
    """A picture unlike those of other seeds, of one of several sizes that share a bucket."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(60, 220, size=(9, 12, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    size = (160 + 10 * (seed % 3), 120)
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(path)


@pytest.mark.slow
def test_the_demo_on_a_folder_of_classes(tmp_path, capsys):
    """Without captions there is no Stage I, no figure of captions, and no batch is too large."""
    for seed in range(42):
        label = ("melanoma", "psoriasis", "Klasse C")[seed % 3]
        picture(seed, tmp_path / "photographs" / label / f"{seed}.jpg")
    summaries = run_demo(
        tmp_path / "demo", source="folder", data_root=tmp_path / "photographs", size=FEW
    )
    told = " ".join(capsys.readouterr().out.split())
    assert "no caption fields: no Stage I" in told and not re.search(r"\bnan\b", told)
    heldout = latest_splits(tmp_path / "demo" / "records" / "folder").ids("heldout")
    assert len(summaries) == 2
    assert [len(summary.diagnoses) for summary in summaries] == [len(heldout)] * 2
    assert {p.reference for p in summaries[0].diagnoses} <= {"melanoma", "psoriasis", "Klasse C"}
    report = (tmp_path / "demo" / "report.md").read_text()
    assert "Top-1" in report and "caption" not in report and "Stage I " not in report
    assert list((tmp_path / "demo" / "export").glob("*.safetensors"))
    assert not (tmp_path / "demo" / "stagei").exists()


def test_the_demo_needs_a_diagnosis(tmp_path):
    rows = tmp_path / "rows"
    for seed in range(12):
        picture(seed, rows / f"{seed}.png")
    lines = [{"problem": "Itchy?", "images": [f"{i}.png"], "answer": "yes"} for i in range(12)]
    (rows / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(InputError, match=r"rows: no diagnosis is known.*--config=debug_rows"):
        run_demo(tmp_path / "demo", source="jsonl", data_root=rows, size=FEW)


@pytest.mark.slow
def test_thirty_rows_of_trl_and_its_reward_file(tmp_path, monkeypatch, capsys):
    """By the two commands of the README: nobody's code or rows are changed."""
    root = tmp_path / "rows"
    lines = []
    for seed in range(30):
        picture(seed, root / f"{seed}.jpg")
        answer = ("yes", "no")[seed % 2]
        question = [{"role": "user", "content": "Does this lesion itch? Answer yes or no."}]
        lines.append({"prompt": question, "image": f"{seed}.jpg", "solution": answer})
    (root / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (root / "rewards.py").write_text(REWARDS)
    monkeypatch.chdir(tmp_path)
    own = ["--config.data.data_root=rows", "--config.loop.steps=2"]
    assert main(["train", "--config=debug_rows", *own, "--workdir=runs/debug_rows"]) == 0
    reward = "--config.rl.rewards=('rows/rewards.py:exact',)"
    grpo = ["train", "--config=debug_rows_rl", *own, reward, "--config.rl.group_size=2"]
    grpo += ["--config.loop.rollouts_every=1", "--workdir=runs/debug_rows_rl"]
    assert main(grpo) == 0
    text = (tmp_path / "runs" / "debug_rows_rl" / "rollouts.jsonl").read_text()
    rollouts = [json.loads(line) for line in text.splitlines()]
    solutions = {f"jsonl/rows.jsonl line {n}": row["solution"] for n, row in enumerate(lines, 1)}
    assert rollouts
    for row in rollouts:
        equal = solutions[row["case_id"]] == row["completion"].strip()
        assert row["rewards"] == {"exact": float(equal)}
    capsys.readouterr()
    assert main(["evaluate", "--checkpoint=runs/debug_rows_rl"]) == 0
    told = capsys.readouterr().out
    assert "equal answers" in told and not re.search(r"\bnan\b|n/a", told)
