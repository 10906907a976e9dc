"""What a Hugging Face folder states beside its weights goes through training into the export."""

import dataclasses
import json
import shutil

import pytest
from hf_files import processor, write
from random_model import SHALLOW
from stand_in import SMALL_RUN, stand_ins

from skinflow_jax.checkpoints.hf_export import save_pretrained
from skinflow_jax.config import ModelChoice
from skinflow_jax.errors import InputError
from skinflow_jax.models.vlm import init_model
from skinflow_jax.runs import train as runs_train
from skinflow_jax.runs.cases import open_cases
from skinflow_jax.runs.opening import open_checkpoint
from skinflow_jax.runs.policies import export_hf, fresh_tokenizer, import_hf


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """As other trainers leave it: eos in another order, pad as eos, transformers 5's processor."""
    place = tmp_path_factory.mktemp("hf")
    data = SMALL_RUN.data
    source = open_cases(data, data.split, data.count, place)
    tokenizer = fresh_tokenizer(SMALL_RUN, source, place / "tokenizer")
    model = init_model(SHALLOW.with_tokenizer(tokenizer), 0)
    save_pretrained(model, place / "model", tokenizer=tokenizer)
    folder = place / "model"
    (folder / "preprocessor_config.json").unlink()
    eos, pad = tokenizer.eos_ids, tokenizer.pad_id
    generation = {"eos_token_id": [eos[1], eos[0]], "pad_token_id": eos[0], "bos_token_id": pad}
    stated = processor()
    stated["image_processor"]["size"] = {"shortest_edge": 3136, "longest_edge": 50_176}
    config = json.loads((folder / "config.json").read_text()) | {"attention_dropout": 0.125}
    tokens = json.loads((folder / "tokenizer_config.json").read_text()) | {"padding_side": "left"}
    return write(
        folder,
        config=config,
        tokenizer_config=tokens,
        generation_config=generation | {"temperature": 0.5, "repetition_penalty": 1.05},
        processor_config=stated,
    )


@pytest.fixture(scope="module")
def imported(folder, tmp_path_factory):
    run = tmp_path_factory.mktemp("imported") / "run"
    # As a killed import may leave it.
    write(run / "source", video_preprocessor_config={})
    (run / ".lock").touch()
    import_hf(folder, run)
    return run


@pytest.fixture(scope="module")
def trained(imported, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        stand_ins(patch)
        workdir = tmp_path_factory.mktemp("trained") / "run"
        model = ModelChoice(init_from=str(imported))
        runs_train.train(dataclasses.replace(SMALL_RUN, model=model), workdir)
        return workdir


SOURCE = ("config.json", "generation_config.json", "processor_config.json")


def test_a_workdir_keeps_the_files_that_it_descends_from(folder, imported, trained):
    for run in (imported, trained):
        assert sorted(path.name for path in (run / "source").iterdir()) == sorted(SOURCE)
        for name in SOURCE:
            assert (run / "source" / name).read_bytes() == (folder / name).read_bytes()


def test_an_imported_workdir_opens_as_the_folder_does(folder, imported):
    theirs, ours = open_checkpoint(folder), open_checkpoint(imported)
    assert ours.tokenizer.eos_ids == theirs.tokenizer.eos_ids == ours.model.config.eos_token_ids
    assert ours.tokenizer.pad_id == theirs.tokenizer.pad_id == ours.model.config.pad_token_id
    assert ours.pixels == theirs.pixels and ours.pixels.max_pixels == 50_176
    assert dict(ours.source) == dict(theirs.source)


@pytest.mark.parametrize("kind", ["imported", "trained"])
def test_an_export_has_all_of_it_and_the_budget_of_the_run(kind, folder, request, tmp_path):
    run = request.getfixturevalue(kind)
    export_hf(run, tmp_path / "out")
    stated = {name: json.loads((tmp_path / "out" / name).read_text()) for name in SOURCE}
    before = {name: json.loads((folder / name).read_text()) for name in SOURCE}
    assert stated["generation_config.json"] == before["generation_config.json"]
    assert stated["config.json"]["attention_dropout"] == 0.125
    most = 50_176 if kind == "imported" else SMALL_RUN.data.max_pixels
    assert stated["processor_config.json"]["image_processor"]["size"]["longest_edge"] == most
    video = stated["processor_config.json"]["video_processor"]
    assert video == before["processor_config.json"]["video_processor"]
    name = "tokenizer_config.json"
    assert (tmp_path / "out" / name).read_bytes() == (folder / name).read_bytes()
    exported = open_checkpoint(tmp_path / "out")
    assert exported.tokenizer.eos_ids == open_checkpoint(run).tokenizer.eos_ids
    assert exported.pixels.max_pixels == most


@pytest.mark.parametrize("name", SOURCE)
def test_a_changed_file_of_a_workdir_is_named(name, imported, tmp_path):
    copy = shutil.copytree(imported, tmp_path / "copy")
    (copy / "source" / name).write_text("{}")
    with pytest.raises(InputError, match=f"source/{name} is not the one"):
        open_checkpoint(copy)
    (copy / "source" / name).unlink()
    with pytest.raises(InputError, match=f"source/{name} is missing"):
        open_checkpoint(copy)
