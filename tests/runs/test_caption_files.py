"""A run reads captions by a schema of one's own, and those that were written for its cases."""

import json

import numpy as np
import pytest
from PIL import Image

from skinflow_jax.clinical import CLINICAL
from skinflow_jax.config import load_config
from skinflow_jax.data.pipeline import Buckets, make_pipeline
from skinflow_jax.data.tasks import prompt_text, target_text
from skinflow_jax.errors import ConfigError, InputError
from skinflow_jax.evaluation.answers import evaluate_answer
from skinflow_jax.models.config import model_config
from skinflow_jax.rl.rewards import caption
from skinflow_jax.runs.cases import prepare_records
from skinflow_jax.runs.policies import fresh_tokenizer

SCHEMA = """
[[field]]
name = "scale"
[field.values]
none = ["no scale"]
fine = ["slight"]
coarse = []

[[field]]
name = "colour"
many = true
neighbours = [["red", "pink"]]
[field.values]
red = ["erythematous"]
pink = []
"""
OPTIONS = {"diagnosis_column": "dx", "caption": {"scale": "scaling", "colour": "hue"}}


@pytest.fixture
def own(tmp_path):
    """A table of twelve images and a config of it with a schema of its own."""
    tmp_path = tmp_path / "data"
    tmp_path.mkdir()
    lines = ["image,dx,scaling,hue"]
    for seed in range(12):
        rng = np.random.default_rng(seed)
        coarse = rng.integers(60, 220, size=(9, 12, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((120, 90), Image.Resampling.BICUBIC).save(
            tmp_path / f"{seed}.png"
        )
        lines.append(f"{seed}.png,psoriasis,slight,erythematous|pink")
    (tmp_path / "own.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "mine.toml").write_text(SCHEMA)

    def config(**data):
        values = {
            "data.source": "csv",
            "data.data_root": str(tmp_path),
            "data.options": OPTIONS,
            "data.caption_schema": str(tmp_path / "mine.toml"),
            "data.fractions": {"warmup": 0.5, "rl": 0.25, "heldout": 0.25},
            "data.max_pixels": 112 * 112,
            "data.split": "warmup",
        }
        return load_config(None, values | {f"data.{name}": value for name, value in data.items()})

    return tmp_path, config


def test_prompts_targets_rewards_and_evaluation_follow_a_schema_of_ones_own(own):
    root, config = own
    data = config().data
    records = prepare_records(data, "warmup", None, root.parent / "records")
    (root / "mine.toml").unlink()  # the records know it
    assert list(records.schema.fields) == ["scale", "colour"]
    case = records.case(0)
    assert case.caption == {"scale": "fine", "colour": ["red", "pink"]}
    prompt = prompt_text("caption", case, records.schema)
    assert "the keys scale, colour. Leave out" in prompt and "lesion_type" not in prompt
    text = target_text("caption", case, records.diagnoses, 0, records.schema)
    assert json.loads(text) == case.caption
    tokenizer = fresh_tokenizer(config(), records, root / "tokenizer")
    batches = make_pipeline(
        *(records, tokenizer, model_config("tiny").with_tokenizer(tokenizer)),
        tasks=("caption",),
        batch_size=2,
        seed=0,
        buckets=Buckets((64,), (1, 2, 4), 64),
    )
    example = next(batches).examples[0]
    batches.close()
    assert example.prompt == prompt
    right, near = text, '{"scale": "slight", "colour": "red"}'
    foreign = '{"lesion_type": "papule", "colour": "red"}'
    scores = caption([right, near, foreign], [example] * 3)
    assert scores[0] == 1.0 and 0 < scores[1] < 1 and scores[2] == 0.0
    assert evaluate_answer(right, example).caption_reward == 1.0
    assert evaluate_answer(right, example).valid and not evaluate_answer(foreign, example).valid


def test_records_of_another_schema_are_not_served(own):
    root, config = own
    prepare_records(config().data, "warmup", None, root.parent / "records")
    (root / "mine.toml").write_text(SCHEMA.replace("coarse = []", 'coarse = ["thick"]'))
    with pytest.raises(InputError, match="caption_schema="):
        prepare_records(config().data, "warmup", None, root.parent / "records")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"caption_schema": "nowhere.toml"}, r"caption schema nowhere\.toml: No such file"),
        ({"caption_schema": "clinical"}, "names 'scale', which is no field of the caption schema"),
        ({"captions": "nowhere.jsonl"}, r"nowhere\.jsonl: No such file"),
    ],
)
def test_what_does_not_fit_is_named(own, change, named):
    root, config = own
    with pytest.raises(InputError, match=named):
        prepare_records(config(**change).data, "warmup", None, root.parent / "records")


def test_drawings_have_their_own_schema():
    with pytest.raises(ConfigError, match=r"data\.caption_schema go with a data set on disk"):
        load_config(None, {"data.caption_schema": "dermoscopy"})


def captions(root, **by_case):
    facts = {"model": "m", "reader": "m", "prompt_version": 1, "schema": CLINICAL.digest}
    facts |= {"attempts": 1, "accepted": "model"}
    lines = [{"case_id": f"csv/{name}", "caption": c} | facts for name, c in by_case.items()]
    (root / "captions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(root / "captions.jsonl")


def test_captions_that_were_written_join_what_the_source_knows(own, capsys):
    """The table's own word stands where both have one."""
    root, config = own
    written = captions(
        root,
        **{"0.png": {"colour": "blue", "shape": "round"}, "9999.png": {"shape": "oval"}},
    )
    options = OPTIONS | {"caption": {"colour": "hue"}}
    changes = {"caption_schema": "clinical", "options": options, "captions": written}
    data = config(**changes).data
    records = {
        case.case_id: case
        for split in data.fractions
        for part in [prepare_records(data, split, None, root.parent / "records")]
        for case in map(part.case, range(len(part)))
    }
    assert records["csv/0.png"].caption == {"shape": "round", "colour": ["red", "pink"]}
    assert records["csv/1.png"].caption == {"colour": ["red", "pink"]}
    assert "1 of 2 ids are not among the cases, first csv/9999.png" in capsys.readouterr().out


def test_captions_of_other_data_are_refused(own):
    root, config = own
    written = captions(root, **{"9999.png": {"shape": "oval"}})
    with pytest.raises(InputError, match="none of its 1 ids is among the cases"):
        prepare_records(
            config(caption_schema="clinical", options={}, captions=written).data,
            *("warmup", None, root.parent / "records"),
        )
