"""Another specialty needs no code: drawn leaves, with an ontology and a schema of their own."""

import csv
import dataclasses
import json

import numpy as np
import pytest
from PIL import Image, ImageDraw

from skinflow_jax.clinical import load_ontology, load_schema, ontology, relation, use
from skinflow_jax.config import DataConfig, EvaluationConfig, ModelChoice, RunConfig
from skinflow_jax.rl.config import GrpoConfig
from skinflow_jax.runs.evaluate import evaluate
from skinflow_jax.runs.train import train
from skinflow_jax.training.loop import LoopConfig
from skinflow_jax.training.optimizer import OptimizerConfig

SCHEMA = """
[[field]]
name = "spots"
[field.values]
none = []
few = ["a few"]
many = ["numerous"]

[[field]]
name = "tint"
[field.values]
green = []
yellow = ["yellowish"]
brown = ["rusty"]
black = []
"""
ONTOLOGY = """\
name,synonyms,abbreviations,parents,answerable,nature,infection,contagious,urgency,first_step,partition,source,review
leaf disease,plant disease,,,no,,,,,,,made up,
leaf rust,rust fungus,LR,leaf disease,yes,n/a,fungal,minor,soon,antifungal,fungi,made up,
black spot,,BS,leaf disease,yes,n/a,fungal,minor,soon,antifungal,fungi,made up,
chlorosis,iron deficiency,,leaf disease,yes,n/a,none,none,routine,replacement,deficiency,made up,
fire blight,,FB,leaf disease,yes,n/a,bacterial,matters,urgent,antibacterial,bacteria,made up,
healthy leaf,,,,yes,n/a,none,none,routine,reassurance,healthy,made up,
"""
# Label of the table, what is drawn, and what a caption says.
KINDS = {
    "Rust fungus": ((60, 150, 60), (150, 80, 30), 25, {"spots": "many", "tint": "brown"}),
    "BS": ((60, 150, 60), (10, 10, 10), 6, {"spots": "few", "tint": "black"}),
    "iron deficiency": ((220, 210, 60), None, 0, {"spots": "none", "tint": "yellow"}),
    "fire blight": ((90, 60, 30), (10, 10, 10), 25, {"spots": "many", "tint": "black"}),
    "healthy leaf": ((60, 150, 60), None, 0, {"spots": "none", "tint": "green"}),
}


def draw(path, rng, leaf, spot, count):
    """A leaf on ground of its own: near-duplicates would stay in one split."""
    coarse = rng.integers(120, 256, (5, 5, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((56, 56), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(image)
    left, top = rng.integers(0, 12, 2)
    right, bottom = rng.integers(44, 56, 2)
    shade = [int(c + rng.integers(-15, 16)) for c in leaf]
    pen.ellipse((left, top, right, bottom), fill=tuple(shade))
    for _ in range(count):
        x, y = rng.integers(left + 10, right - 10), rng.integers(top + 8, bottom - 8)
        pen.ellipse((x - 2, y - 2, x + 2, y + 2), fill=spot)
    noise = rng.integers(-12, 13, (56, 56, 3))
    pixels = np.clip(np.asarray(image).astype(int) + noise, 0, 255)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


@pytest.fixture(scope="module")
def leaves(tmp_path_factory):
    """A folder with the table, its pictures, and the two files of the specialty."""
    root = tmp_path_factory.mktemp("leaves")
    (root / "data" / "pictures").mkdir(parents=True)
    (root / "leaves.toml").write_text(SCHEMA)
    (root / "leaves.csv").write_text(ONTOLOGY)
    rng = np.random.default_rng(0)
    with (root / "data" / "table.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, ["image", "plant", "label", "spots", "tint"])
        table.writeheader()
        for number in range(300):
            label = list(KINDS)[number % len(KINDS)]
            *drawn, caption = KINDS[label]
            name = f"pictures/{number:03d}.png"
            draw(root / "data" / name, rng, *drawn)
            table.writerow({"image": name, "plant": number, "label": label, **caption})
    return root


def runs(root):
    """Warm-up, Stage I and Stage II, each from the one before."""
    data = DataConfig(
        source="csv",
        data_root=str(root / "data"),
        options={
            "diagnosis_column": "label",
            "group_column": "plant",
            "caption": {"spots": "spots", "tint": "tint"},
        },
        fractions={"warmup": 0.3, "rl": 0.5, "heldout": 0.2},
        caption_schema=str(root / "leaves.toml"),
        max_pixels=56 * 56,
        prompt_lengths=(36,),
        windows=(1,),
        completion_length=20,
    )
    shared = {
        "seed": 0,
        "clinical": dataclasses.replace(RunConfig().clinical, ontology=str(root / "leaves.csv")),
        "evaluation": EvaluationConfig(count=None, batch_size=20, exchanged=60),
    }
    warmup = RunConfig(
        algorithm="sft",
        batch_size=16,
        model=ModelChoice(size="tiny"),
        data=dataclasses.replace(data, split="warmup"),
        optimizer=OptimizerConfig(learning_rate=1e-3, warmup_steps=5),
        loop=LoopConfig(steps=60),
        **shared,
    )

    def stage(tasks, rewards, steps, **options):
        return RunConfig(
            algorithm="grpo",
            batch_size=8,
            data=dataclasses.replace(data, split="rl", tasks=tasks),
            optimizer=OptimizerConfig(learning_rate=2e-4),
            loop=LoopConfig(steps=steps, rollouts_every=1),
            rl=GrpoConfig(group_size=8, max_tokens=20, compactions=0, rewards=rewards, **options),
            **shared,
        )

    return {
        "warmup": warmup,
        "stage1": stage(("caption",), ("caption",), 12),
        "stage2": stage(("diagnosis",), ("diagnosis",), 12, safety_penalty=0.5),
    }


@pytest.fixture(autouse=True)
def ours_afterwards():
    ours = ontology()
    yield
    use(ours)


@pytest.mark.slow
def test_both_stages_train_on_another_specialty(leaves, tmp_path, capsys):
    before = None
    for name, config in runs(leaves).items():
        if before is not None:
            config = dataclasses.replace(config, model=ModelChoice(init_from=str(before)))
        before = tmp_path / name
        train(config, before, records_folder=tmp_path / "records")
    told = capsys.readouterr().out
    assert "floor, diagnosis reward" in told and "always {" in told
    summary = evaluate(config, before, records=tmp_path / "records")
    told = capsys.readouterr().out
    assert "leaf rust" in told and "melanoma" not in told

    found = {f.label: f.estimate for f in summary.figures}
    assert found["Top-1 %"].n == found["caption reward"].n >= 40
    # It looks: more than the best answer that does not.
    assert found["diagnosis reward"].value > summary.floor.diagnosis_reward.high
    assert found["caption reward"].value > summary.floor.caption_reward.high
    assert all(change.difference.high < 0 for change in summary.blind), summary.blind
    rows = [json.loads(row) for row in (before / "eval/12/predictions.jsonl").open()]
    digest = load_ontology(leaves / "leaves.csv").digest
    assert {row["ontology"] for row in rows if row["task"] == "diagnosis"} == {digest}
    assert {row["reference"] for row in rows if row["task"] == "diagnosis"} == {
        *("leaf rust", "black spot", "chlorosis", "fire blight", "healthy leaf")
    }
    rewards = [
        json.loads(row)["rewards"]["diagnosis"] for row in (before / "rollouts.jsonl").open()
    ]
    assert min(rewards) == -0.5 and max(rewards) > 0.5


def test_its_files_say_what_is_accepted_and_dangerous(leaves):
    use(load_ontology(leaves / "leaves.csv"))
    assert relation("LR", "leaf rust").accepted
    assert relation("healthy leaf", "fire blight").safety == "critical"
    assert relation("leaf rust", "black spot").safety == "none"
    assert relation("plant disease", "leaf rust").safety == "undetermined"
    assert load_schema(leaves / "leaves.toml").canonical("tint", "Rusty") == "brown"
