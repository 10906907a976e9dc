"""benchmarks/ham10000.py: the held-out lesions are the same, the figures those of NumPy."""

import csv

import ham10000
import numpy as np
import pytest
import stages
from class_recalls import (
    Answers,
    confusion,
    confusion_markdown,
    difference,
    shown_difference,
)
from PIL import Image
from shallow import SHALLOW

from skinflow_jax.config import load_config
from skinflow_jax.data.sources.ham10000 import DIAGNOSES
from skinflow_jax.data.splitting.splits import split_of
from skinflow_jax.models.config import SIZES

REFERENCES = ["naevus"] * 4 + ["melanoma"] * 2
LESIONS = ["a", "a", "b", "c", "d", "e"]
BEFORE = ["naevus", "naevus", "naevus", "melanoma", "naevus", "melanoma"]
AFTER = ["naevus", "naevus", None, "melanoma", "melanoma", "melanoma"]


def test_macro_recall_accuracy_and_their_difference_are_those_by_hand():
    before, after = (Answers(REFERENCES, LESIONS, [firsts]) for firsts in (BEFORE, AFTER))
    assert before.macro_recall().value == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert after.accuracy().value == pytest.approx(4 / 6)
    assert after.macro_recall().groups == after.accuracy().groups == 5, "lesions, not images"
    change = difference(before, after)
    assert change.mean == pytest.approx((2 / 4 + 1) / 2 - 0.625)
    told = shown_difference(change)
    assert told.startswith("+12.5 [") and told.endswith("that gained 1, that lost 1")
    both = Answers(REFERENCES, LESIONS, [BEFORE, AFTER])
    assert both.macro_recall().value == pytest.approx(np.mean(both.by_seed()))
    assert both.by_seed() == pytest.approx([0.625, 0.75])


def test_the_confusion_counts_images_and_anything_else_in_the_last_column():
    both = Answers(REFERENCES, LESIONS, [BEFORE, AFTER])
    found = confusion(both, ["naevus", "melanoma"])
    np.testing.assert_allclose(found, [[2.5, 1, 0.5], [0.5, 1.5, 0]])
    text = confusion_markdown(both, {"naevus": "nv", "melanoma": "mel"})
    assert "| nv | 2.5 | 1 | 0.5 | 62.5 [" in text and "| mel | 0.5 | 1.5 | 0 | 75.0 [" in text


def test_all_runs_hold_out_the_same_lesions_and_the_stages_share_none():
    runs = {name: load_config(ham10000.CONFIGS / f"{name}.py").data for name in ham10000.RUNS}
    names = [f"ham10000/HAM_{number}" for number in range(3000)]
    assert len({run.seed for run in runs.values()}) == 1
    of = {key: [split_of(n, run.fractions, run.seed) for n in names] for key, run in runs.items()}
    assert of["warmup"] == of["stage2"]
    merged = ["training" if split in ("warmup", "rl") else split for split in of["warmup"]]
    assert merged == of["all_labels"]
    assert [run.split for run in runs.values()] == ["warmup", "rl", "training"]


@pytest.fixture
def drawn(tmp_path):
    """Ninety lesions, each class of a colour of its own."""
    rng, rows = np.random.default_rng(0), []
    for number in range(98):
        label = list(DIAGNOSES)[number % 7]
        name = f"ISIC_{number:07d}"
        noise = rng.integers(0, 40, (150, 200, 3)) + np.array([30 * (number % 7), 90, 200])
        (tmp_path / "ham").mkdir(exist_ok=True)
        Image.fromarray(noise.astype(np.uint8)).save(tmp_path / "ham" / f"{name}.jpg")
        facts = {"age": "80", "sex": "male", "localization": "back"}
        rows.append({"lesion_id": f"HAM_{number}", "image_id": name, "dx": label} | facts)
    with (tmp_path / "ham" / "HAM10000_metadata.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return tmp_path / "ham"


@pytest.mark.slow
def test_one_command_trains_evaluates_and_reports(drawn, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(SIZES, "tiny", SHALLOW)
    command = ["ham10000.py", f"--data={drawn}", f"--workdir={tmp_path / 'runs'}", "--seeds=1"]
    command += ["--set", "loop.steps=2", "batch_size=4", "rl.group_size=2", "loop.log_every=1"]
    command += ["data.prompt_lengths=(128,)", "data.completion_length=64", "rl.max_tokens=16"]
    monkeypatch.setattr("sys.argv", command)
    ham10000.main()
    text = (tmp_path / "runs" / "report.md").read_text()
    assert text in capsys.readouterr().out
    assert "| colour histograms, all labels" in text and ", 100.0] |" in text
    assert "* stage2 - warmup: macro recall" in text and "seed 0: reward" in text
    monkeypatch.setattr(stages, "train", None)
    ham10000.main()  # nothing is trained again
