"""Answers about single images: the model's own greedy answer, shown to people."""

import json

import numpy as np
import pytest
from random_model import SHALLOW, spread_model

from skinflow_jax.errors import ConfigError, InputError, printable
from skinflow_jax.evaluation.generate import answer, describe, generation_mesh


class Words:
    """A tokenizer that spells each id as a number; its prompt has one image."""

    def render_chat(self, messages, *, add_generation_prompt):
        return messages[0]["content"][-1]["text"]

    def encode(self, text):
        return [SHALLOW.vision_start_token_id, SHALLOW.image_token_id, 10 + len(text)]

    def decode(self, ids):
        return " ".join(map(str, ids))


def test_an_answer_depends_on_the_image_and_the_task_and_is_repeatable():
    model = spread_model(SHALLOW)
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (60, 90, 3), dtype=np.uint8) for _ in range(2)]
    budget = {"min_pixels": 56 * 56, "max_pixels": 84 * 84, "max_tokens": 5}

    def ask(image, prompt):
        return answer(model, Words(), [image], prompt, **budget)

    first = ask(images[0], "a question")
    assert first == ask(images[0], "a question") and len(first.split()) <= 5
    assert first != ask(images[1], "a question")
    assert first != ask(images[0], "another one")


class Marked(Words):
    """Keeps the places of the images, by what stands before them."""

    def render_chat(self, messages, *, add_generation_prompt):
        return "".join(part.get("text", "<image>") for part in messages[0]["content"])

    def encode(self, text):
        start, image = SHALLOW.vision_start_token_id, SHALLOW.image_token_id
        parts = [[10 + len(words)] if words else [] for words in text.split("<image>")]
        return [*parts[0], *(i for part in parts[1:] for i in (start, image, 9, *part))]


def test_several_images_stand_where_the_prompt_says_or_in_front():
    model = spread_model(SHALLOW)
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (60, 90, 3), dtype=np.uint8) for _ in range(2)]
    budget = {"min_pixels": 56 * 56, "max_pixels": 84 * 84, "max_tokens": 5}

    def ask(prompt, given=images):
        return answer(model, Marked(), given, prompt, **budget)

    assert ask("which?") == ask("<image><image>which?") != ask("<image>which?<image>")
    assert ask("which?") != ask("which?", images[::-1])
    with pytest.raises(InputError, match="1 image placeholders for 2 images"):
        ask("<image>which?")


def test_more_devices_than_there_are_are_refused():
    assert generation_mesh(SHALLOW) is None
    with pytest.raises(ConfigError, match="--tensor=2: there are 1 devices"):
        generation_mesh(SHALLOW, 2)


def test_a_caption_is_shown_field_by_field():
    text = describe("caption", '{"colour": ["red", "brown"], "lesion_type": "papule"}')
    lines = text.splitlines()
    assert lines[0] == "caption"
    assert lines[1].split() == ["colour", "red,", "brown"] and lines[2].endswith("papule")
    assert lines[1].index("red") == lines[2].index("papule")


def test_diagnoses_are_numbered_with_their_class():
    names = ["melanoma", "gremlin pox", "psoriasis", "skin tag", "skin cancer"]
    lines = describe("diagnosis", json.dumps({"diagnoses": names})).splitlines()
    assert lines[1] == "  1. melanoma  (malignant tumour, urgent)"
    assert lines[2] == "  2. gremlin pox  (not in the ontology)"
    assert lines[3] == "  3. psoriasis  (routine)"  # no tumour: neither benign nor malignant
    assert lines[4] == "  4. skin tag  (benign tumour, routine)"
    assert lines[5] == "  5. skin cancer  (too broad to act on)"


@pytest.mark.parametrize("text", ["", "I see " + "a red spot and " * 30])
@pytest.mark.parametrize("task", ["caption", "diagnosis"])
def test_an_answer_out_of_form_is_shown_as_it_is_in_80_columns(task, text):
    shown = describe(task, text)
    assert shown.startswith(f"{task}: not well-formed (not one JSON object")
    assert max(map(len, shown.splitlines())) <= 80
    assert all(word in shown for word in text.split()) and (text or "(empty)" in shown)


@pytest.mark.parametrize("task", ["caption", "diagnosis", "question"])
def test_an_answer_is_shown_without_what_a_terminal_would_obey(task):
    names = ["mole\n\n3. benign", "tab\there"]
    for text in ("\x1b[2J\u202e\ud800", json.dumps({"diagnoses": names}), '{"colour": "red\\n"}'):
        shown = describe(task, text).splitlines()
        assert all(line.isprintable() for line in shown)
    assert len(describe("diagnosis", json.dumps({"diagnoses": names})).splitlines()) == 3


def test_names_are_shown_without_what_a_terminal_would_obey():
    assert printable("mole é \N{GREEK SMALL LETTER MU}.png") == "mole é μ.png"
    assert printable("\x1b[2Jbad\udcff\n\u202e.png") == r"\x1b[2Jbad\udcff\n\u202e.png"
    printable("\udcff").encode()
