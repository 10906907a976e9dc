"""The model card of a run tells its stages, data and metrics, and makes nothing up."""

import dataclasses
import json

import pytest
import yaml
from random_model import SHALLOW

from skinflow_jax.checkpoints.model_card import Card, adapter_card, model_card
from skinflow_jax.errors import InputError
from skinflow_jax.models.config import DveConfig, LoraConfig
from skinflow_jax.models.vlm import abstract_model
from skinflow_jax.runs import card
from skinflow_jax.runs.card import run_card


def facts(algorithm, init_from=None, **model):
    return {
        "config": {
            "algorithm": algorithm,
            "seed": 3,
            "model": {"size": "tiny", "dve": None, "lora": None} | model,
            "data": {
                "source": "procedural",
                "split": "warmup",
                "count": 300,
                "tasks": ["caption", "diagnosis"],
            },
            "rl": {"rewards": ["caption", "diagnosis"]},
        },
        "code": "0.1.0+abc",
        "data": "d1g3st",
        "origin": {"folder": init_from, "step": 20, "fingerprint": "f"},
    }


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """A stage that went on from a warm-up of an import; what each checkpoint holds."""
    stored = {
        "qwen": {"imported_from": "/models/Qwen2.5-VL-7B-Instruct"},
        "warmup": facts("sft", str(tmp_path / "qwen")),
        "stage": facts("grpo", str(tmp_path / "warmup"), lora={"rank": 4}),
    }
    for name in stored:
        (tmp_path / name / "checkpoints").mkdir(parents=True)
    monkeypatch.setattr(card, "read_facts", lambda folder, step: stored[folder.parent.name])
    return tmp_path


def test_it_is_named_after_the_run_and_tells_its_stages_in_their_order(runs):
    found = run_card(runs / "stage", 40)
    assert found.name == "stage"
    assert found.sections["Training"].splitlines() == [
        "* qwen: pretrained weights, of Qwen2.5-VL-7B-Instruct",
        "* warmup: supervised learning, seed 3, step 20, from qwen, program 0.1.0+abc",
        "* stage: GRPO, seed 3, step 40, LoRA of rank 4, rewards caption, diagnosis, from warmup, "
        "program 0.1.0+abc",
    ]
    assert "Evaluation" not in found.sections and found.base_model is None
    assert str(runs) not in model_card(abstract_model(SHALLOW), found), (
        "paths of the machine are nobody's business"
    )


def test_a_checkpoint_of_an_earlier_version_tells_what_it_knows(runs, monkeypatch):
    old = {name: x for name, x in facts("sft").items() if name not in ("code", "data", "origin")}
    monkeypatch.setattr(card, "read_facts", lambda folder, step: old)
    sections = run_card(runs / "stage", 40).sections
    told = "* stage: supervised learning, seed 3, step 40, from random weights of size tiny"
    assert sections["Training"] == told
    assert sections["Training data"].endswith("tasks caption and diagnosis")


def test_data_are_those_of_the_records_only_if_they_are_the_ones(runs):
    records = runs / "warmup" / "records" / "procedural-warmup-300"
    records.mkdir(parents=True)
    manifest = {"digest": "d1g3st", "count": 298, "note": "Synthetic drawings."}
    (records / "manifest.json").write_text(json.dumps(manifest))
    warmup, stage = run_card(runs / "stage", 40).sections["Training data"].splitlines()
    expected = "source procedural, split warmup, 300 cases at most, tasks caption and diagnosis, "
    assert warmup == f"* warmup: {expected}digest `d1g3st`; 298 cases used. Synthetic drawings."
    assert stage == f"* stage: {expected}digest `d1g3st`"
    (records / "manifest.json").write_text(json.dumps(manifest | {"digest": "another"}))
    assert "298" not in run_card(runs / "stage", 40).sections["Training data"]


def test_metrics_are_those_of_the_newest_evaluation_with_intervals(runs):
    for step, value in ((9, 0.1), (40, 0.5), (100, 0.25)):
        folder = runs / "stage" / "eval" / str(step)
        folder.mkdir(parents=True)
        figure = {"value": value, "low": value - 0.1, "high": value + 0.1, "n": 300}
        nothing = {"value": float("nan"), "low": float("nan"), "high": float("nan"), "n": 0}
        baseline = {"label": "naevus", "accuracy": figure}
        scarce = figure | {"n": 12, "few": True}
        metrics = {"Top-1": figure, "rare": nothing, "scarce": scarce}
        metrics["majority baseline"] = baseline
        (folder / "metrics.json").write_text(json.dumps(metrics))
    table = run_card(runs / "stage", 40).sections["Evaluation"]
    assert "at step 100 (these weights are of step 40)" in table
    assert "| Top-1 | 0.250 | 0.150 to 0.350 | 300 |" in table
    assert "| scarce | 0.250 | 0.150 to 0.350 | 12† |" in table
    assert "†: fewer than 20 cases or groups.\n" in table
    assert "majority baseline (naevus)" in table and "rare" not in table
    (folder / "metrics.json").write_text("{")
    with pytest.raises(InputError, match=r"eval/100/metrics\.json is damaged: evaluate again"):
        run_card(runs / "stage", 40)


@pytest.mark.parametrize("stated", ["Qwen/Qwen2.5-VL-7B-Instruct", "/home/me/qwen", "", "../x/y"])
def test_a_base_model_is_named_only_as_the_hub_names_it(runs, stated):
    found = run_card(runs / "stage", 40, {"_name_or_path": stated})
    expected = stated if stated.startswith("Qwen/") else None
    assert found.base_model == expected
    front = front_matter(model_card(abstract_model(SHALLOW), found))
    assert front["license"] == "other" and front.get("base_model") == expected


def front_matter(text):
    return yaml.safe_load(text.split("---\n")[1])


def test_the_lines_of_use_are_python_for_each_kind_of_folder():
    vision = dataclasses.replace(SHALLOW.vision, dve=DveConfig(groups=9))
    dynamic = dataclasses.replace(SHALLOW, vision=vision)
    adapted = dataclasses.replace(SHALLOW, lora=LoraConfig(rank=2))
    texts = {
        "plain": model_card(abstract_model(SHALLOW), {}),
        "dynamic": model_card(abstract_model(dynamic), Card(name='odd "name": {x}')),
        "adapter": adapter_card(abstract_model(adapted), Card(), "Qwen/Qwen2.5-VL-7B-Instruct"),
    }
    for text in texts.values():
        compile(text.split("```python\n")[1].split("```")[0], "card", "exec")
        assert "not a medical device" in text and front_matter(text)["tags"]
    # Of what reads the dynamic model's own config: without it a terminal is asked.
    trusted = {kind: text.count("trust_remote_code=True") for kind, text in texts.items()}
    assert trusted == {"plain": 0, "dynamic": 2, "adapter": 0}
    assert [kind for kind, text in texts.items() if "PeftModel" in text] == ["adapter"]
    assert '# odd "name": {x}' in texts["dynamic"]
