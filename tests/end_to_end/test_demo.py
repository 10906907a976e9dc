"""The demo's chain in small: what it writes, and that it means what it says."""

import json
import pickle
from pathlib import Path

import pytest
from outside_checkout import IT_IS_THE_INSTALLED_ONE, python
from shallow import SHALLOW

from skinflow_jax.models.config import SIZES
from skinflow_jax.runs.demo import DemoSize, run_demo

TESTS = Path(__file__).parents[1]
# Run where the package is installed, with tests/ behind it on the path for the size of the model.
SMALL_DEMO = (
    """
import pickle
import sys
from pathlib import Path

sys.path.append(sys.argv[2])
from shallow import SHALLOW
from skinflow_jax.cli import main
from skinflow_jax.models.config import SIZES
from skinflow_jax.runs import demo

run_demo = demo.run_demo


def kept(*arguments, **options):
    Path("summaries").write_bytes(pickle.dumps(run_demo(*arguments, **options)))


demo.run_demo = kept
demo.SIZES["procedural"] = demo.DemoSize(
    warmup_cases=40,
    warmup_diagnoses=20,
    rl_cases=24,
    stage2_captions=6,
    heldout_cases=12,
    warmup_steps=8,
    stage1_steps=2,
    stage2_steps=2,
)
SIZES["tiny"] = SHALLOW
assert main(["demo"]) == 0
"""
    + IT_IS_THE_INSTALLED_ONE
)


@pytest.fixture(scope="module")
def demo(installed, tmp_path_factory):
    """Workdir and evaluations of a demo from an installed package, called in another folder."""
    folder = tmp_path_factory.mktemp("demo")
    python(folder, "-c", SMALL_DEMO, str(installed), str(TESTS), path=installed)
    return folder / "runs" / "demo", pickle.loads((folder / "summaries").read_bytes())


@pytest.mark.slow
def test_the_demo_runs_from_an_installed_package_where_it_is_called(demo):
    workdir, _ = demo
    assert (workdir / "report.md").is_file() and (workdir / "export" / "config.json").is_file()


@pytest.mark.slow
def test_every_stage_is_evaluated_on_the_same_heldout_cases(demo):
    _, summaries = demo
    cases = [[p.case_id for p in s.captions] for s in summaries]
    assert cases[0] == cases[1] == cases[2] and len(cases[0]) == 12
    assert all("heldout" in case for case in cases[0])


@pytest.mark.slow
def test_the_report_shows_every_stage_and_every_image(demo):
    workdir, summaries = demo
    text = (workdir / "report.html").read_text(encoding="utf-8")
    assert all(f"{name}, step" in text for name in ("warmup", "stagei", "stageii"))
    assert text.count("data:image/jpeg") == len(summaries[-1].diagnoses) == 12


def test_warmup_rl_and_heldout_cases_are_disjoint(demo):
    workdir, _ = demo
    manifests = sorted((workdir / "records").glob("*/manifest.json"))
    sizes = [json.loads(path.read_text())["count"] for path in manifests]
    assert sorted(sizes) == [12, 24, 40]
    rollouts = [json.loads(line) for line in (workdir / "stagei" / "rollouts.jsonl").open()]
    assert rollouts and all("-rl-" in row["case_id"] for row in rollouts)


@pytest.mark.slow
def test_the_printed_figures_are_those_of_metrics_json_and_of_the_predictions(demo):
    workdir, summaries = demo
    folders = [workdir / "warmup/eval/8", workdir / "stagei/eval/2", workdir / "stageii/eval/2"]
    for folder, summary in zip(folders, summaries, strict=True):
        metrics = json.loads((folder / "metrics.json").read_text())
        rows = [json.loads(line) for line in (folder / "predictions.jsonl").open()]
        rewards = [row["caption_reward"] for row in rows if row["task"] == "caption"]
        first = [row["rank"] == 1 for row in rows if row["task"] == "diagnosis"]
        assert metrics["caption reward"]["value"] == pytest.approx(sum(rewards) / len(rewards))
        assert metrics["Top-1"]["value"] == pytest.approx(sum(first) / len(first))
        assert summary.to_dict() == metrics


@pytest.mark.slow
def test_the_export_is_what_transformers_needs_and_gives_the_same_logits(demo, capsys):
    from skinflow_jax.checkpoints.hf_verify import compare
    from skinflow_jax.checkpoints.run_state import load_model

    workdir, _ = demo
    export = workdir / "export"
    wanted = {
        "config.json",
        "generation_config.json",
        "preprocessor_config.json",
        "model.safetensors.index.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
        "README.md",
    }
    assert wanted <= {path.name for path in export.iterdir()}
    card = (export / "README.md").read_text()
    assert "# skinflow demo on procedural\n" in card and "synthetic lesions" in card
    assert card.count("\n* stagei: ") == 2, "how it was trained, and on what"
    assert "| Top-1 | " in card
    model = load_model(workdir / "stageii" / "checkpoints")
    differences = {row.group: row.difference for row in compare(model, export)}
    assert differences["head"] < 2e-5


@pytest.mark.slow
def test_the_demo_runs_on_real_photographs(test_data, tmp_path, monkeypatch):
    monkeypatch.setitem(SIZES, "tiny", SHALLOW)
    size = DemoSize(
        warmup_cases=None,
        warmup_diagnoses=91,
        rl_cases=None,
        stage2_captions=20,
        heldout_cases=None,
        warmup_steps=2,
        stage1_steps=1,
        stage2_steps=1,
    )
    root = test_data / "data" / "pad_ufes_20"
    summaries = run_demo(tmp_path, source="pad_ufes_20", data_root=root, size=size)
    assert len(summaries[-1].diagnoses) == 41
    assert summaries[-1].baseline.label == "basal cell carcinoma"
    assert "41 cases" in (tmp_path / "report.md").read_text()
