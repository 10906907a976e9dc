"""train, evaluate and generate as a script or a notebook calls them."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from random_model import SHALLOW, spread_model

import skinflow_jax
from skinflow_jax.checkpoints.hf_processor import PixelBudget
from skinflow_jax.config_files import shipped
from skinflow_jax.errors import ConfigError, InputError
from skinflow_jax.runs.opening import Policy
from skinflow_jax.runs.robustness import Robust

ROOT = Path(__file__).parents[2]
EIGHT_LINES = re.compile(r"<!-- eight lines -->\n```python\n(.*?)```", re.DOTALL)
PUBLISHED = {
    name: found[1]
    for name in ("README.md", "docs/python.md")
    if (found := EIGHT_LINES.search((ROOT / name).read_text(encoding="utf-8")))
}
COLOURS = {"melanoma": (60, 40, 30), "psoriasis": (200, 120, 110), "acne": (220, 170, 150)}


def photographs(folder, count=8):
    """A folder a class, images of odd sizes that differ by their noise."""
    rng = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True)
        for number in range(1, count + 1):
            noise = rng.normal(0, 40, (90 + number, 120, 3))
            image = np.clip(noise + np.array(colour), 0, 255).astype(np.uint8)
            Image.fromarray(image).save(folder / name / f"{number}.jpg")


@pytest.fixture
def few_steps(tmp_path, monkeypatch):
    """The shipped config, but for the number of its steps."""
    text = (shipped.CONFIGS / "debug_folder.py").read_text(encoding="utf-8")
    assert '"steps": 100' in text
    configs = tmp_path / "configs"
    configs.mkdir()
    (configs / "debug_folder.py").write_text(text.replace('"steps": 100', '"steps": 2'))
    monkeypatch.setattr(shipped, "CONFIGS", configs)


def test_the_lines_are_published_once_and_are_eight():
    assert len(set(PUBLISHED.values())) == 1
    assert len(next(iter(PUBLISHED.values())).splitlines()) == 8


@pytest.mark.slow
def test_eight_lines_train_evaluate_and_ask_about_a_folder_of_images(
    tmp_path, monkeypatch, few_steps, capsys
):
    photographs(tmp_path / "photographs")
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(PUBLISHED["docs/python.md"], names)
    policy, told = names["policy"], capsys.readouterr().out
    assert policy.step == 2
    assert names["answers"][0] in told and "Top-1" in told
    results = tmp_path / "runs" / "photographs" / "eval" / "2"
    assert json.loads((results / "metrics.json").read_text()) == json.loads(
        json.dumps(names["summary"].to_dict())
    )
    # What is in memory answers as what lies in the workdir.
    again = skinflow_jax.generate("runs/photographs", ["photographs/melanoma/1.jpg"])
    assert again == names["answers"]
    further = {"robustness": ["blur"], "robustness_cases": 2, "attention": 2}
    elsewhere = skinflow_jax.evaluate(None, "runs/photographs", out="again", **further)
    written = {path.name for path in Path("again").iterdir()}
    assert written >= {"robustness.json", "attention.json", "attention.npz"}
    assert elsewhere.to_dict() == names["summary"].to_dict()
    resumed = skinflow_jax.train(names["config"], "runs/photographs", resume=True)
    assert resumed.step == 2


IMAGE = [SHALLOW.vision_start_token_id, SHALLOW.image_token_id, SHALLOW.vision_end_token_id]


class Words:
    """A tokenizer that knows which text it was asked with, and answers by its letters."""

    def __init__(self):
        self.asked = []

    def render_chat(self, messages, *, add_generation_prompt):
        parts = messages[0]["content"]
        self.asked.append([p.get("text", p["type"]) for p in parts])
        return "".join("i" if part["type"] == "image" else "w" for part in parts)

    def encode(self, text):
        return [token for letter in text for token in (IMAGE if letter == "i" else [10])]

    def decode(self, ids):
        return " ".join(map(str, ids))


@pytest.fixture
def policy():
    return Policy(spread_model(SHALLOW), Words(), PixelBudget(28 * 28, 56 * 56))


@pytest.mark.slow
def test_cases_of_any_kind_of_image_are_answered_in_order(tmp_path, policy):
    pixels = np.full((40, 60, 3), 200, np.uint8)
    dark = np.zeros((60, 40, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    cases = [tmp_path / "a.png", str(tmp_path / "a.png"), pixels, Image.fromarray(pixels)]
    answers = skinflow_jax.generate(policy, [*cases, [dark, pixels]], prompt="Well?", max_tokens=3)
    assert len(set(answers[:4])) == 1 and len(answers) == 5
    assert policy.tokenizer.asked[-1] == ["image", "image", "Well?"]
    assert policy.tokenizer.asked[0] == ["image", "Well?"]


def test_what_is_asked_is_a_diagnosis_unless_it_is_said(policy):
    image = np.zeros((40, 40, 3), np.uint8)
    skinflow_jax.generate(policy, [image], max_tokens=1)
    skinflow_jax.generate(policy, [image], task="caption", max_tokens=1)
    first, second = (asked[-1] for asked in policy.tokenizer.asked)
    assert "six most likely" in first and "Describe the skin lesion" in second


@pytest.mark.parametrize(
    ("images", "options", "named"),
    [
        (["/nowhere/a.jpg"], {}, "/nowhere/a.jpg"),
        ("a.jpg", {}, r"images is one image: give a list of cases"),
        ([np.zeros((4, 4), np.uint8)], {}, r"images\[0\] is uint8 \[4, 4\]: give a file"),
        ([np.zeros((4, 4, 3))], {}, r"images\[0\] is float64 \[4, 4, 3\]: give a file"),
        ([7], {}, r"images\[0\] is int \[\]: give a file"),
        ([[]], {}, r"images\[0\] has no image"),
        ([], {"task": "captions"}, "task='captions' is unknown: choose from caption, diagnosis"),
        ([], {"task": "caption", "prompt": "?"}, "a task or a prompt, not both"),
        ([], {"prompt": " "}, "prompt=' ': ask something"),
        ([], {"prompt": 3}, "prompt=3: ask something"),
        (None, {}, "images=None: give a list of cases"),
        ([], {"max_tokens": "many"}, "^max_tokens='many' must be a whole number"),
        ([], {"max_pixels": 0.5}, "^max_pixels=0.5 must be a whole number"),
        ([], {"dtype": "float16"}, "^dtype='float16' is unknown: choose one of float32, bfloat16"),
    ],
)
def test_a_wrong_argument_is_named(policy, images, options, named):
    with pytest.raises((ConfigError, InputError), match=named):
        skinflow_jax.generate(policy, images, **options)


def test_a_policy_of_no_run_says_what_it_lacks(policy, tmp_path):
    with pytest.raises(ConfigError, match="nothing says what to evaluate on: give a config"):
        skinflow_jax.evaluate(None, policy)
    with pytest.raises(ConfigError, match=r"of no run, which would have a place.*: give out"):
        skinflow_jax.evaluate({"data": {"count": 2}}, policy)
    with pytest.raises(ConfigError, match="config is str: give what load_config returns"):
        skinflow_jax.train("debug_sft", tmp_path)
    with pytest.raises(ConfigError, match="checkpoint=None: give the path of a folder, or the pol"):
        skinflow_jax.generate(None, [])
    with pytest.raises(InputError, match="/nowhere does not exist"):
        skinflow_jax.train({"model": {"init_from": "/nowhere"}}, tmp_path / "run")
    bare = Policy(policy.model, policy.tokenizer)
    with pytest.raises(InputError, match=r"the policy has no preprocessor_config.json.*max_pixels"):
        skinflow_jax.generate(bare, [np.zeros((40, 40, 3), np.uint8)])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"robustness": "blur"}, "robustness='blur': give a list of names, or"),
        ({"robustness": True}, "robustness=True: give a list of names"),
        ({"robustness": [["blur"]]}, r"robustness=.*: give a list of names"),
        ({"robustness": ["fog"]}, "robustness='fog' is unknown: choose of clutter, blur"),
        ({"robustness": (), "robustness_cases": 0}, "^robustness_cases=0 must be a whole number"),
        ({"robustness_cases": 9}, "robustness_cases goes with robustness"),
        ({"attention": -1}, "^attention=-1 must be a whole number from 0"),
        ({"attention": True}, "^attention=True must be a whole number"),
    ],
)
def test_what_an_evaluation_cannot_look_at_is_refused_before_it_begins(
    policy, tmp_path, given, message
):
    with pytest.raises(ConfigError, match=message):
        skinflow_jax.evaluate({"data": {"count": 2}}, policy, out=tmp_path / "out", **given)
    assert not (tmp_path / "out").exists()


def test_a_policy_in_memory_and_a_folder_are_looked_at_alike(policy, tmp_path, monkeypatch):
    asked = []
    for name in ("evaluate", "evaluate_opened"):
        monkeypatch.setattr(f"skinflow_jax.runs.evaluate.{name}", lambda *a: asked.append(a[-2:]))
    further = {"robustness": {"blur"}, "robustness_cases": 7, "attention": 3}
    for checkpoint in (policy, tmp_path):
        skinflow_jax.evaluate({"data": {"count": 2}}, checkpoint, out=tmp_path / "out", **further)
    assert asked == [(Robust(("blur",), 7), 3)] * 2


def test_a_column_that_no_case_has_ends_a_run_before_it_compiles(tmp_path, monkeypatch):
    def compiled(*_):
        raise AssertionError("it compiles")

    monkeypatch.setattr("skinflow_jax.runs.train._Run._compile", compiled)
    file = tmp_path / "mine.py"
    file.write_text("def mine(completions, solution):\n    return []\n")
    wanted = {"model.init_from": None, "data.count": 20, "batch_size": 4, "loop.steps": 1}
    wanted |= {"data.split": "warmup", "rl.rewards": (f"{file}:mine",)}
    config = skinflow_jax.load_config("debug_stage2", wanted)
    with pytest.raises(ConfigError, match=r"mine.py: mine takes 'solution', which no case has"):
        skinflow_jax.train(config, tmp_path / "run")


def test_overrides_from_python_are_values_too():
    wanted = {"loop.steps": 7, "data.tasks": ("caption",), "data.count": "40"}
    config = skinflow_jax.load_config("debug_sft", wanted)
    assert (config.loop.steps, config.data.tasks, config.data.count) == (7, ("caption",), 40)


def test_importing_the_package_loads_no_library():
    program = "import sys, skinflow_jax; print('jax' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.split() == ["False", "False"], done.stderr
    assert set(skinflow_jax.__all__) == set(skinflow_jax._MODULES)
