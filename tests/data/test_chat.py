"""What is asked and taught: valid answers, the gold diagnosis first, placeholders that add up."""

import json

import numpy as np
import pytest

from skinflow_jax.clinical.caption_schema import FIELDS, canonical_fields
from skinflow_jax.data.chat import corpus, expand_placeholders, messages, prompt_ids
from skinflow_jax.data.sources.case import MARK, Case
from skinflow_jax.data.tasks import PAPERS, TASKS, prompt_text, target_text
from skinflow_jax.errors import InputError
from skinflow_jax.models.inputs import token_count


def case(**changes):
    fields = {"case_id": "a", "group": "g", "caption": {"shape": "oval"}, "diagnosis": "acne"}
    return Case(**{**fields, **changes})


NAMES = [f"disease {i}" for i in range(20)] + ["acne"]


def test_the_caption_prompt_names_every_field_and_the_image_comes_first():
    (turn,) = messages(prompt_text("caption", case(views=("clinical", "dermoscopic"))))
    assert turn["role"] == "user"
    assert [part["type"] for part in turn["content"]] == ["image", "image", "text"]
    assert all(field in turn["content"][-1]["text"] for field in FIELDS)


def test_a_question_keeps_the_places_of_its_images():
    row = case(prompt="Before <image> and after <image>: what changed?", views=("", ""))
    (turn,) = messages(prompt_text("question", row))
    shown = [part.get("text", part["type"]) for part in turn["content"]]
    assert shown == ["Before ", "image", " and after ", "image", ": what changed?"]


def test_a_row_has_its_own_question_and_answer():
    row = case(prompt="<image>Is it raised?", answer="yes")
    assert target_text("question", row, NAMES, 0) == "yes"
    with pytest.raises(InputError, match="case a: it has no answer of its own"):
        target_text("question", case(), NAMES, 0)
    with pytest.raises(InputError, match="case a: it has no prompt of its own"):
        prompt_text("question", case())


def test_of_soft_diagnoses_the_heaviest_come_first():
    row = case(soft={"wart": 0.2, "acne": 0.5, "mole": 0.3})
    names = json.loads(target_text("diagnosis", row, NAMES, 0))["diagnoses"]
    assert names[:3] == ["acne", "mole", "wart"] and len(set(names)) == 6


def test_the_caption_target_is_the_json_of_the_known_fields():
    caption = {"location": "back", "colour": ["Brown", "red"], "shape": "oval"}
    target = json.loads(target_text("caption", case(caption=caption), NAMES, 0))
    assert target == {"colour": ["red", "brown"], "shape": "oval", "location": "back"}


def test_the_diagnosis_target_is_the_gold_one_and_five_different_others():
    listed = json.loads(target_text("diagnosis", case(), NAMES, 0))["diagnoses"]
    assert listed[0] == "acne"
    assert len(listed) == len(set(listed)) == 6
    assert set(listed) <= set(NAMES)


def test_a_short_closed_list_gives_fewer_others():
    listed = json.loads(target_text("diagnosis", case(), ["acne", "wart", "mole"], 0))["diagnoses"]
    assert listed[0] == "acne" and sorted(listed) == ["acne", "mole", "wart"]


def test_the_others_depend_on_seed_and_case_and_on_nothing_else():
    def others(seed, case_id):
        return target_text("diagnosis", case(case_id=case_id), NAMES, seed)

    assert others(0, "a") == others(0, "a")
    assert len({others(seed, name) for seed in range(3) for name in "abc"}) == 9


def test_every_other_diagnosis_is_drawn_about_equally_often():
    """5 of 20 in each of 800 draws: 200 each, standard deviation 12."""
    counts = dict.fromkeys(NAMES, 0)
    for i in range(800):
        listed = json.loads(target_text("diagnosis", case(case_id=str(i)), NAMES, 0))["diagnoses"]
        for name in listed:
            counts[name] += 1
    assert counts.pop("acne") == 800
    assert all(140 < count < 260 for count in counts.values())


def test_targets_that_cannot_be_made_name_the_case():
    with pytest.raises(InputError, match="case a: no caption field is known"):
        target_text("caption", case(caption={}), NAMES, 0)
    with pytest.raises(InputError, match="case a: no diagnosis is known"):
        target_text("diagnosis", case(diagnosis=""), NAMES, 0)
    with pytest.raises(InputError, match=r"case a: .*'shape'.*'spiral'"):
        target_text("caption", case(caption={"shape": "spiral"}), NAMES, 0)


def test_each_placeholder_grows_to_its_own_image(config):
    image, grids = config.image_token_id, [(4, 6), (2, 2), (8, 8)]
    ids = expand_placeholders([9, image, 8, image, image, 7], grids, config)
    assert ids.dtype == np.int32
    assert list(ids) == [9, *[image] * 6, 8, image, *[image] * 16, 7]


@pytest.mark.parametrize("grids", [[], [(4, 4)] * 3])
def test_placeholders_and_images_must_agree_in_number(config, grids):
    ids = [config.image_token_id, 9, config.image_token_id]
    with pytest.raises(InputError, match=f"2 image placeholders for {len(grids)} images"):
        expand_placeholders(ids, grids, config)


@pytest.mark.parametrize("task", PAPERS)
def test_a_prompt_is_the_rendered_chat_with_room_for_its_images(tokenizer, config, task):
    grids = [(4, 6), (8, 8)]
    prompt = 2 * MARK + TASKS[task].wording()
    ids = prompt_ids(tokenizer, prompt, grids, config)
    assert (ids == config.image_token_id).sum() == sum(token_count(g, config.vision) for g in grids)
    text = tokenizer.decode(ids[ids != config.image_token_id], skip_special=False)
    rendered = tokenizer.render_chat(messages(prompt), add_generation_prompt=True)
    assert text == rendered.replace("<|image_pad|>", "")


def test_the_corpus_holds_prompts_targets_vocabulary_and_names(source):
    cases = [source.case(i) for i in range(len(source))]
    texts = list(corpus(cases, source.diagnoses, 3, lambda m: m[0]["content"][-1]["text"]))
    for task in PAPERS:
        assert messages(MARK + TASKS[task].wording())[0]["content"][-1]["text"] in texts
        assert all(target_text(task, c, source.diagnoses, 3) in texts for c in cases)
    joined = "\n".join(texts)
    assert all(f'"{name}"' in joined for name in source.diagnoses)
    for field in FIELDS.values():
        assert all(f'{{"{field.name}": "{value}"}}' in texts for value in field.values)
    assert canonical_fields(cases[0].caption)
