"""Claims that hold for every source: what they offer, what they never tell, what they survive."""

import contextlib
import dataclasses
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from small_sets import GIVEAWAY, SETS

from skinflow_jax.clinical.caption_schema import canonical_fields
from skinflow_jax.clinical.names import find
from skinflow_jax.data.sources.catalogue import CATALOGUE, open_source
from skinflow_jax.data.tasks import TASKS, prompt_text
from skinflow_jax.errors import ConfigError, InputError

EVERY = pytest.mark.parametrize("name", SETS)


def opened(name, root):
    options = {"diagnosis_column": "label"} if name == "csv" else {}
    return open_source(name, SETS[name](root), options)


def cases(source):
    return [source.case(index) for index in range(len(source))]


def test_every_source_of_the_catalogue_is_tried_here():
    rows = {"jsonl", "parquet"}  # in test_rows
    assert set(CATALOGUE) == set(SETS) | rows


@EVERY
def test_a_source_offers_cases_images_and_digests(name, tmp_path):
    source = opened(name, tmp_path)
    assert len(source) >= 2
    found = cases(source)
    assert len({case.case_id for case in found}) == len(found)
    for index, case in enumerate(found):
        images, digests = source.images(index), source.image_digests(index)
        assert len(images) == len(digests) - case.mask == len(case.views) >= 1
        assert all(image.dtype == np.uint8 and image.shape == (16, 20, 3) for image in images)
        assert case.group and isinstance(case.diagnosis, str)
        assert case.diagnosis in ("", *source.diagnoses)
        assert not case.soft or sum(case.soft.values()) == pytest.approx(1)
        canonical_fields(case.caption)
        record = json.loads(json.dumps(dataclasses.asdict(case)))
        assert type(case)(**record) == case


@EVERY
def test_a_source_goes_to_another_process_as_it_is(name, tmp_path):
    source = opened(name, tmp_path)
    copy = pickle.loads(pickle.dumps(source))
    assert cases(copy) == cases(source) and copy.image_digests(1) == source.image_digests(1)


@EVERY
def test_what_the_ontology_knows_has_its_canonical_name(name, tmp_path):
    for case in cases(opened(name, tmp_path)):
        disease = find(case.diagnosis)
        assert disease is None or disease.name == case.diagnosis


@EVERY
def test_nothing_that_gives_the_diagnosis_away_can_reach_a_prompt(name, tmp_path):
    """Prompts are the same without the columns and facts of a case, its names and its answers."""
    found = cases(opened(name, tmp_path))
    planted = any(GIVEAWAY in json.dumps(case.columns) for case in found)
    assert planted or name in ("bcn20000", "ddi", "folder")  # which have no place for it
    for case in found:
        asked = question(case)
        empty = {"columns": {}, "attributes": {}, "caption": {}, "soft": {}, "answer": ""}
        names = {"case_id": "x", "group": "x", "diagnosis": "scar", "split": ""}
        assert asked == question(dataclasses.replace(case, **empty, **names))
        texts = [prompt for prompt in asked.values() if prompt is not None]
        assert texts and GIVEAWAY not in json.dumps([*texts, case.answer, case.caption])


def question(case) -> dict[str, str | None]:
    """What is asked of a case in each task; None where it has no such question."""
    asked = dict.fromkeys(TASKS)
    for task in TASKS:
        with contextlib.suppress(InputError):
            asked[task] = prompt_text(task, case)
    return asked


@EVERY
def test_an_absent_image_is_named_or_its_row_left_out_and_told(name, tmp_path):
    root = SETS[name](tmp_path)
    source = opened(name, root)
    before = len(source)
    file = source._pictures(source._entries[0])[0].path
    file.unlink()
    source = open_source(name, root, {"diagnosis_column": "label"} if name == "csv" else {})
    if len(source) < before:
        assert name == "folder" or any("images are absent" in line for line in source.remarks)
        return
    with pytest.raises(InputError, match=r"no image .*add the file or remove the row") as caught:
        source.images(0)
    assert str(tmp_path) in str(caught.value)


@EVERY
def test_an_empty_folder_is_one_line(name, tmp_path):
    with pytest.raises(InputError) as caught:
        open_source(name, tmp_path / "nowhere")
    assert "nowhere" in str(caught.value) and "\n" not in str(caught.value)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError) as caught:
        open_source(name, tmp_path / "empty")
    assert "empty" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", CATALOGUE)
def test_an_unknown_option_or_value_is_named(name, tmp_path):
    with pytest.raises(ConfigError, match=r"data\.options\.colour: .*keys there are"):
        open_source(name, tmp_path, {"colour": 1})
    with pytest.raises(ConfigError, match=r"data\.options"):
        key = dataclasses.fields(CATALOGUE[name].Options)[0].name
        open_source(name, tmp_path, {key: 3.5})


def test_an_unknown_source_is_named_with_the_choices(tmp_path):
    with pytest.raises(ConfigError, match=r"unknown source 'isik'; choose from fitzpatrick17k, "):
        open_source("isik", tmp_path)


def test_every_source_stands_in_the_documentation_and_every_data_set_tells_its_licence():
    text = (Path(__file__).parents[3] / "docs" / "data.md").read_text(encoding="utf-8")
    own = ("folder", "csv", "jsonl", "parquet")
    for name, source in CATALOGUE.items():
        assert f"`{name}`" in text
        assert name in own or (source.note)
