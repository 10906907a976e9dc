"""import-hf and export-hf on a tiny model: types, modes, adapters, and kills in the middle."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from random_model import SHALLOW, listening, spread_model
from safetensors.numpy import load_file

from skinflow_jax.checkpoints import hf_export
from skinflow_jax.checkpoints.hf_adapter import CONFIG, save_adapter
from skinflow_jax.checkpoints.hf_export import save_pretrained
from skinflow_jax.checkpoints.hf_import import load_pretrained
from skinflow_jax.cli import main
from skinflow_jax.errors import InputError
from skinflow_jax.models.config import DveConfig, LoraConfig
from skinflow_jax.models.dve_conversion import with_dve
from skinflow_jax.models.lora import with_lora
from skinflow_jax.runs import policies
from skinflow_jax.runs.opening import open_checkpoint
from skinflow_jax.runs.policies import adapter_base, export_hf, import_hf
from skinflow_jax.tokenizers import HuggingFaceTokenizer, load_tokenizer, train_sentencepiece

INDEX = "model.safetensors.index.json"
LORA = LoraConfig(rank=2)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    texts = ["a brown, irregular plaque on the arm", '{"diagnoses": ["melanoma"]}'] * 4
    return train_sentencepiece(texts, tmp_path_factory.mktemp("tokenizer"), vocab_size=320)


@pytest.fixture(scope="module")
def model(tokenizer):
    return spread_model(SHALLOW.with_tokenizer(tokenizer))


@pytest.fixture(scope="module")
def half(model, tokenizer, tmp_path_factory):
    """A bfloat16 folder."""
    folder = tmp_path_factory.mktemp("half") / "model"
    save_pretrained(model, folder, tokenizer=tokenizer, dtype="bfloat16")
    return folder


@pytest.fixture(scope="module")
def imported(half, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("imported") / "run"
    import_hf(half, workdir)
    return workdir


@pytest.fixture(scope="module")
def adapter(half, tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapter") / "adapter"
    save_adapter(listening(with_lora(load_pretrained(half), LORA)), folder, base=str(half))
    return folder


def weights(folder):
    return {k: x for file in folder.glob("*.safetensors") for k, x in load_file(file).items()}


def assert_same(found, expected):
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


@pytest.mark.parametrize(("asked", "written"), [(None, "bfloat16"), ("float32", "float32")])
def test_an_export_has_the_type_of_its_source_or_the_one_asked_for(
    imported, half, asked, written, tmp_path
):
    flags = [] if asked is None else [f"--dtype={asked}"]
    out = tmp_path / "out"
    assert main(["export-hf", f"--checkpoint={imported}", f"--out={out}", *flags]) == 0
    found, expected = weights(out), weights(half)
    assert json.loads((out / "config.json").read_text())["torch_dtype"] == written
    assert found.keys() == expected.keys()
    for name, x in found.items():
        assert x.dtype == written
        np.testing.assert_array_equal(x, expected[name].astype(x.dtype))


@pytest.mark.parametrize(
    ("size", "limit"), [("1MB", 10**6), ("700KiB", 700 * 2**10), ("900000", 900_000), ("5GB", None)]
)
def test_shards_are_as_large_as_asked_for(imported, size, limit, tmp_path):
    out = tmp_path / "out"
    flags = [f"--out={out}", f"--max-shard-size={size}"]
    assert main(["export-hf", f"--checkpoint={imported}", *flags]) == 0
    shards = [load_file(file) for file in out.glob("*.safetensors")]
    if limit is None:
        assert len(shards) == 1
        return
    assert len(shards) > 1
    for shard in shards:
        assert len(shard) == 1 or sum(x.nbytes for x in shard.values()) <= limit


@pytest.mark.parametrize("size", ["0", "5 apples", "-1GB", "1e9", "GB", "9" * 20])
def test_a_size_that_is_none_is_refused(size, tmp_path, capsys):
    flags = [f"--out={tmp_path}/out", f"--max-shard-size={size}"]
    assert main(["export-hf", f"--checkpoint={tmp_path}", *flags]) == 2
    assert "--max-shard-size" in capsys.readouterr().err


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_files_have_the_mode_that_the_umask_leaves(model, umask, mode, tmp_path, monkeypatch):
    """Also the Python files of a dynamic model, whatever mode they are installed with."""
    installed = [tmp_path / file.name for file in hf_export.TORCH_FILES]
    for copy, file in zip(installed, hf_export.TORCH_FILES, strict=True):
        copy.write_bytes(file.read_bytes())
        copy.chmod(0o444)
    monkeypatch.setattr(hf_export, "TORCH_FILES", installed)
    before = os.umask(umask)
    try:
        save_pretrained(with_dve(model, DveConfig(groups=4)), tmp_path / "out")
        save_adapter(with_lora(model, LORA), tmp_path / "adapter", base=None)
    finally:
        os.umask(before)
    files = [*(tmp_path / "out").iterdir(), *(tmp_path / "adapter").iterdir()]
    assert {"modeling_skinflow.py", "README.md", CONFIG} <= {file.name for file in files}
    assert {file.stat().st_mode & 0o777 for file in files} == {mode}


def test_a_tokenizer_that_reads_back_as_another_leaves_no_export(imported, tmp_path, monkeypatch):
    other = train_sentencepiece(["a brown plaque"] * 9, tmp_path / "other", vocab_size=300)
    monkeypatch.setattr(
        HuggingFaceTokenizer, "save_pretrained", lambda self, folder: other.save_pretrained(folder)
    )
    with pytest.raises(InputError, match="vocab_size is 300, in training it was 320"):
        export_hf(imported, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_an_adapter_is_opened_upon_the_base_that_it_names(adapter, half):
    policy = open_checkpoint(adapter)
    assert policy.model.config.lora == LORA and policy.tokenizer is not None
    assert_same(policy.model.decoder.embedding, load_pretrained(half).decoder.embedding)
    assert adapter_base(adapter) == half


@pytest.mark.slow
def test_an_adapter_whose_base_is_elsewhere_is_imported_upon_one_given(
    adapter, half, tmp_path, capsys
):
    moved = tmp_path / "moved"
    moved.mkdir()
    for file in adapter.iterdir():
        (moved / file.name).write_bytes(file.read_bytes())
    fields = json.loads((moved / CONFIG).read_text())
    (moved / CONFIG).write_text(json.dumps(fields | {"base_model_name_or_path": "Qwen/Other"}))
    with pytest.raises(InputError, match=r"base, Qwen/Other, is no folder here: .*--base=FOLDER"):
        open_checkpoint(moved)
    given = [f"--model={moved}", f"--base={half}", f"--workdir={tmp_path}/run"]
    assert main(["import-hf", *given]) == 0
    assert "its base is Qwen/Other" in capsys.readouterr().out
    assert_same(open_checkpoint(tmp_path / "run").model, open_checkpoint(adapter).model)
    assert adapter_base(tmp_path / "run") == half
    out = tmp_path / "out"
    assert main(["export-hf", f"--checkpoint={tmp_path}/run", f"--out={out}", "--adapter"]) == 0
    assert json.loads((out / CONFIG).read_text())["base_model_name_or_path"] == str(half)
    assert_same(open_checkpoint(out).model, open_checkpoint(adapter).model)
    merged = tmp_path / "merged"
    export_hf(tmp_path / "run", merged, dtype="float32")
    assert not any("lora" in name for name in weights(merged))


def test_an_import_takes_no_image_size_from_one_that_was_killed(half, tmp_path):
    folder, run = shutil.copytree(half, tmp_path / "model"), tmp_path / "run"
    run.mkdir()
    (run / ".lock").touch()
    (folder / "preprocessor_config.json").rename(run / "preprocessor_config.json")
    import_hf(folder, run)
    assert open_checkpoint(run).pixels is None


def test_a_base_is_named_whatever_folder_the_import_was_started_in(half, tmp_path, monkeypatch):
    monkeypatch.chdir(half.parent)
    import_hf(Path(half.name), tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    assert adapter_base(tmp_path / "run") == half


def test_the_tokenizer_beside_an_adapter_is_the_one_it_speaks(adapter, half, tmp_path):
    """With the chat template that it was trained with; one of another model is refused."""
    copy = shutil.copytree(adapter, tmp_path / "adapter")
    load_tokenizer(half).save_pretrained(copy)
    template = "{% for message in messages %}{{ message.role }}!{% endfor %}"
    (copy / "chat_template.jinja").write_text(template)
    found = open_checkpoint(copy).tokenizer
    asked = [{"role": "user", "content": "x"}]
    assert found.render_chat(asked, add_generation_prompt=True) == "user!"
    assert found.eos_ids == open_checkpoint(half).tokenizer.eos_ids
    other = train_sentencepiece(["another corpus"] * 9, tmp_path / "other", vocab_size=320)
    other.save_pretrained(copy)
    with pytest.raises(InputError, match=rf"{copy}: its tokenizer gives other ids than that of"):
        open_checkpoint(copy)


def test_a_base_for_what_is_no_adapter_and_an_adapter_of_no_lora_are_refused(
    half, imported, tmp_path
):
    with pytest.raises(InputError, match="is no PEFT adapter: leave --base out"):
        import_hf(half, tmp_path / "run", base=half)
    with pytest.raises(InputError, match="no LoRA adapters: export it without --adapter"):
        export_hf(imported, tmp_path / "out", adapter=True)
    assert not list(tmp_path.iterdir())


def test_a_base_that_is_a_run_is_to_be_made_a_folder_of(
    adapter, imported, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(policies, "adapter_base", lambda checkpoint: imported)
    export_hf(adapter, tmp_path / "out", adapter=True)
    command = f"skinflow export-hf --checkpoint={imported} --out=FOLDER"
    assert capsys.readouterr().out.endswith(f"make a folder of it by {command}\n")
    card = (tmp_path / "out" / "README.md").read_text()
    assert f'# The base is made by: {command}\nbase, folder = "FOLDER", "."\n' in card
    assert_same(open_checkpoint(tmp_path / "out").model, open_checkpoint(adapter).model)


def test_adapters_upon_weights_that_are_kept_nowhere_are_refused(adapter, tmp_path, monkeypatch):
    monkeypatch.setattr(policies, "adapter_base", lambda checkpoint: None)
    with pytest.raises(InputError, match=r"kept nowhere.*: export it merged, without --adapter"):
        export_hf(adapter, tmp_path / "out", adapter=True)
    assert not list(tmp_path.iterdir())


def test_adapters_have_no_shards(tmp_path, fails):
    flags = [f"--out={tmp_path}/out", "--adapter", "--max-shard-size=1MB"]
    error = fails("export-hf", f"--checkpoint={tmp_path}", *flags, code=2)
    assert error == "an adapter is one file: leave --max-shard-size out, or --adapter"


@pytest.mark.parametrize("name", ["source", "tokenizer", "preprocessor_config.json", "config.json"])
def test_an_import_replaces_nothing_that_no_run_has_written(half, tmp_path, name):
    """A project may have folders of these names, and a Hugging Face folder such files."""
    mine = tmp_path / "project" / name
    if mine.suffix:
        mine.parent.mkdir()
        mine.write_text("mine")
    else:
        mine.mkdir(parents=True)
    with pytest.raises(InputError, match=rf"project holds {name}, which no run has written there"):
        import_hf(half, tmp_path / "project")
    assert mine.exists() and [path.name for path in mine.parent.iterdir()] == [name]


ONE = "<|vision_start|><|image_pad|><|vision_end|>"


@pytest.mark.parametrize(
    ("template", "answer"),
    [
        ("{{ messages[-1].content[-1].text }}", "a prompt of one image 0 image placeholders"),
        (f"{ONE}{ONE}{{{{ messages[-1].content[-1].text }}}}", "one image 2 image placeholders"),
        (f"{ONE} Describe it.", "its chat template leaves out what is asked"),
        ("{{ raise_exception('no images') }}", r"chat_template.jinja: .*refused: .*no images"),
        (None, "no chat template"),
    ],
)
def test_a_template_that_makes_no_prompt_is_told_at_the_import(half, tmp_path, template, answer):
    folder = shutil.copytree(half, tmp_path / "model")
    (folder / "chat_template.jinja").unlink()
    if template is not None:
        (folder / "chat_template.jinja").write_text(template)
    with pytest.raises(InputError, match=answer):
        import_hf(folder, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_folder_is_not_imported_into_itself_nor_a_model_beside_a_run(half, tmp_path):
    folder = shutil.copytree(half, tmp_path / "model")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(InputError, match=r"model holds config\.json"):
        import_hf(folder, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    run = tmp_path / "run"
    run.mkdir()
    for name in (".lock", "config.json"):  # of a run that was killed before its first checkpoint
        (run / name).write_text("{}")
    with pytest.raises(InputError, match="run holds a run already"):
        import_hf(folder, run)


def test_where_and_how_an_export_cannot_go_is_told_before_a_model_is_read(
    imported, tmp_path, monkeypatch
):
    monkeypatch.setattr(policies, "open_checkpoint", None)
    monkeypatch.chdir(tmp_path)
    for out, answer in (
        (imported / "checkpoints" / "7", "7 is among the run's checkpoints"),
        (imported / "checkpoints" / "0" / "model", "model is among the run's checkpoints"),
        (imported, "exists and is not empty"),
        (Path(), "is the current folder"),
    ):
        with pytest.raises(InputError, match=answer):
            export_hf(imported, out)
    with pytest.raises(InputError, match="an adapter is one file: leave --max-shard-size out"):
        export_hf(imported, tmp_path / "out", adapter=True, max_shard_bytes=10**6)
    assert not list(tmp_path.iterdir())


KILLED = """
import os, signal, sys
from pathlib import Path
from skinflow_jax.checkpoints import hf_export, run_state
from skinflow_jax.runs.policies import export_hf, import_hf
write, kind = hf_export.write_file, sys.argv[1]
def killed(*_):
    os.kill(os.getpid(), signal.SIGKILL)
def write_and_die(path, *rest):
    write(path, *rest)
    killed()
hf_export.write_file = write_and_die
run_state.RunCheckpoints._finish = killed
here, there = map(Path, sys.argv[2:])
import_hf(here, there) if kind == "import" else export_hf(here, there, max_shard_bytes=10**6)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["import", "export"])
def test_what_is_killed_midway_looks_like_nothing_and_does_not_stand_in_the_way(
    kind, half, imported, tmp_path
):
    source, target = (half if kind == "import" else imported), tmp_path / "target"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, kind, str(source), str(target)],
        env=os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
    assert kind == "import" or not target.exists()
    with pytest.raises(InputError):
        open_checkpoint(target)
    import_hf(source, target) if kind == "import" else export_hf(source, target)
    assert_same(open_checkpoint(target).model, open_checkpoint(source).model)
    assert [path.name for path in tmp_path.iterdir()] == ["target"]
