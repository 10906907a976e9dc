"""The command line as a user meets it: exit codes, one line on stderr, what each command leaves."""

import errno
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from photographs import CONFIGS, PAD, SFT, damage, first_cases
from PIL import Image
from random_model import SHALLOW

from skinflow_jax import cli
from skinflow_jax.checkpoints.hf_export import save_pretrained
from skinflow_jax.cli import main
from skinflow_jax.config import load_config
from skinflow_jax.models.config import SIZES
from skinflow_jax.runs import cases, policies, train

TINY = [
    "--config.data.count=24",
    "--config.batch_size=4",
    "--config.loop.steps=2",
    "--config.evaluation.count=8",
    "--config.evaluation.batch_size=8",
]
COMMANDS = ["demo", "data build", "train", "evaluate", "generate", "import-hf", "export-hf"]
COMMANDS += ["data caption", "llm-judge"]


@pytest.fixture(scope="module")
def hf_folder(tmp_path_factory):
    """A tiny untrained model as a Hugging Face folder, its images at most 112 x 112 pixels."""
    folder = tmp_path_factory.mktemp("hf")
    config = load_config(CONFIGS / "debug_sft.py", {"data.count": "24"})
    source = cases.open_cases(config.data, config.data.split, config.data.count, folder)
    make_tokenizer = functools.partial(
        policies.fresh_tokenizer, config, source, folder / "tokenizer"
    )
    policy = policies.starting_policy(config, make_tokenizer)
    save_pretrained(
        policy.model,
        folder / "model",
        tokenizer=policy.tokenizer,
        min_pixels=config.data.min_pixels,
        max_pixels=config.data.max_pixels,
    )
    return folder / "model"


@pytest.fixture(scope="module")
def imported(hf_folder, tmp_path_factory):
    """The workdir that `import-hf` makes of it."""
    workdir = tmp_path_factory.mktemp("imported") / "run"
    assert main(["import-hf", f"--model={hf_folder}", f"--workdir={workdir}"]) == 0
    return workdir


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "lesion.png"
    pixels = np.random.default_rng(0).integers(0, 255, (300, 400, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_is_there_and_fits_80_columns(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as caught:
        main([*command.split(), "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert "not a medical device" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 80


def test_the_help_names_every_command(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    assert all(command.split()[0] in text for command in COMMANDS)


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("", "give a command: demo, data, train"),
        ("trian", "unknown command trian: did you mean train?"),
        ("xyzzy", "unknown command xyzzy: choose one of demo"),
        ("data", "build"),
        ("data bild", "invalid choice: 'bild'"),
        ("--verison", "unknown argument --verison: did you mean --version?"),
        ("train --work=x", "unknown argument --work=x"),
        ("train --workdri=x", "did you mean --workdir=x?"),
        ("train", "--workdir"),
        ("train configs/debug_sft.py --workdir=x", "did you mean --config=configs/debug_sft.py?"),
        ("train --workdir=x --config.rl.group_size 16", "write --config.rl.group_size=VALUE"),
        ("train --workdir=x --config rl.group_size=16", "write --config.rl.group_size=16"),
        ("train --workdir=x --config=none.py", "none.py is not a file"),
        ("train --workdir=x --config.rl.group_siez=16", "did you mean rl.group_size?"),
        ("train --workdir=x --config.data.source=pad_ufes_20", "data.data_root"),
        ("train --workdir=x --config.seed=", "--config.seed= has no value"),
        ("train --workdir=x --config.=3", "a name in the key is empty"),
        ("train --workdir=x --config.seed=1 --config.seed=-2", "config seed=-2 must be"),
        ("generate --checkpoint=x --image=y --max-tokens=0", "not a whole number above 0"),
        ("generate --checkpoint=x --image=y --max-tokens=ten", "not a whole number above 0"),
        ("generate --checkpoint=x --image=y --config.seed=1", "takes no config"),
        ("demo --seed=x", "invalid int value"),
        ("demo --source=imagenet", "imagenet"),
        ("demo --source=pad_ufes_20", "--data-root"),
    ],
)
def test_a_wrong_command_line_gets_one_helpful_line_and_code_2(line, answer, fails):
    assert answer in fails(*line.split(), code=2)


def test_a_missing_option_of_a_misspelt_one_is_not_what_is_complained_of(fails):
    line = fails("evaluate", "--checkpont=runs/x", code=2)
    assert "did you mean --checkpoint=runs/x?" in line


@pytest.mark.parametrize(
    "line",
    [
        "generate --checkpoint={0}/none --image={1}",
        "evaluate --checkpoint={0}/none",
        "export-hf --checkpoint={0}/none --out={0}/out",
        "import-hf --model={0}/none --workdir={0}/out",
        f"train {SFT} --config.model.init_from={{0}}/none --workdir={{0}}/out",
    ],
)
def test_a_missing_model_is_named_with_what_to_give(line, tmp_path, image, fails):
    problem = fails(*line.format(tmp_path, image).split(), code=2)
    assert f"{tmp_path}/none does not exist" in problem and "Hugging Face model folder" in problem
    assert not (tmp_path / "out").exists(), "nothing is begun that cannot be finished"


def test_a_folder_without_a_model_and_a_file_are_told_apart(tmp_path, image, fails):
    assert "neither checkpoints/ nor config.json" in fails(
        "generate", f"--checkpoint={tmp_path}", f"--image={image}", code=2
    )
    assert "is not a folder" in fails(
        "generate", f"--checkpoint={image}", f"--image={image}", code=2
    )


def test_a_later_stage_names_the_command_to_run_first(tmp_path, fails, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = CONFIGS / "debug_stage1.py"
    problem = fails("train", f"--config={config}", "--workdir=w", code=2)
    first = f"skinflow train --config={CONFIGS / 'debug_sft.py'} --workdir=runs/debug_sft"
    assert "model.init_from=runs/debug_sft does not exist" in problem and first in problem


@pytest.mark.parametrize("content", ["missing", "text", "truncated", "empty"])
def test_generate_fails_on_its_one_bad_image_before_it_loads_the_model(
    content, tmp_path, image, fails
):
    bad = tmp_path / "bad.jpg"
    if content == "text":
        bad.write_text("no image at all")
    elif content == "truncated":
        Image.open(image).save(bad)
        bad.write_bytes(bad.read_bytes()[:5000])
    elif content == "empty":
        bad.touch()
    problem = fails(
        *("generate", f"--checkpoint={tmp_path}/none", f"--image={image}", f"--image={bad}"), code=2
    )
    assert problem.startswith(f"{bad}: ")


def test_generate_names_the_image_that_is_too_long(hf_folder, tmp_path, fails):
    path = tmp_path / "ribbon.png"
    Image.new("RGB", (900, 3)).save(path)
    problem = fails("generate", f"--checkpoint={hf_folder}", f"--image={path}", code=2)
    assert problem.startswith(f"{path}: ") and "crop it" in problem


def test_a_chat_template_without_a_place_for_the_image_is_refused(
    hf_folder, tmp_path, image, fails
):
    folder = shutil.copytree(hf_folder, tmp_path / "model")
    (folder / "chat_template.jinja").write_text("{{ messages[0]['content'][1]['text'] }}")
    problem = fails("generate", f"--checkpoint={folder}", f"--image={image}", code=2)
    assert "0 image placeholders for 1 images" in problem


@pytest.mark.parametrize(
    ("file", "change", "answer"),
    [
        ("config.json", {"model_type": "llama"}, "'llama'; only qwen2_5_vl and skinflow_"),
        ("config.json", {"intermediate_size": 256}, "config.json asks for"),
        ("config.json", {"num_hidden_layers": 4}, "tensors missing"),
        ("preprocessor_config.json", {"max_pixels": "many"}, "max_pixels='many' must be"),
    ],
)
def test_a_hugging_face_folder_that_does_not_fit_is_named(
    file, change, answer, hf_folder, tmp_path, fails
):
    folder = shutil.copytree(hf_folder, tmp_path / "model")
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    problem = fails("import-hf", f"--model={folder}", f"--workdir={tmp_path}/run", code=2)
    assert answer in problem


class SeenImages:
    """Stands for the sampler: records the prompts and answers nothing."""

    def __init__(self, monkeypatch):
        self.tokens = []
        monkeypatch.setattr("skinflow_jax.evaluation.generate.sample", self)

    def __call__(self, model, inputs, *_, **__):
        self.tokens.append(int((np.asarray(inputs.input_ids) == model.config.image_token_id).sum()))
        nothing = np.zeros((1, 1, 1), int)
        return type("Rollout", (), {"tokens": nothing, "mask": nothing.astype(bool)})


@pytest.mark.parametrize("kind", ["hf_folder", "imported"])
def test_generate_resizes_as_training_did(kind, request, image, monkeypatch, capsys):
    seen = SeenImages(monkeypatch)
    checkpoint = request.getfixturevalue(kind)
    assert main(["generate", f"--checkpoint={checkpoint}", f"--image={image}"]) == 0
    # 300 x 400 in at most 112 x 112 pixels is 84 x 112: 3 x 4 tokens.
    assert seen.tokens == [12, 12]
    assert "not a medical device" in capsys.readouterr().out


def test_generate_takes_another_budget_on_request(hf_folder, image, monkeypatch):
    seen = SeenImages(monkeypatch)
    options = [f"--checkpoint={hf_folder}", f"--image={image}", f"--max-pixels={224 * 224}"]
    assert main(["generate", *options]) == 0
    assert seen.tokens == [6 * 9, 6 * 9]


def test_generate_asks_for_a_budget_that_no_file_states(
    hf_folder, tmp_path, image, monkeypatch, fails
):
    seen = SeenImages(monkeypatch)
    folder = shutil.copytree(hf_folder, tmp_path / "model")
    (folder / "preprocessor_config.json").unlink()
    options = [f"--checkpoint={folder}", f"--image={image}"]
    assert "add --max-pixels" in fails("generate", *options, code=2)
    assert main(["generate", *options, "--max-pixels=12544"]) == 0
    assert seen.tokens == [12, 12]


def test_generate_reads_the_budget_that_transformers_5_writes(
    hf_folder, tmp_path, image, monkeypatch
):
    seen = SeenImages(monkeypatch)
    folder = shutil.copytree(hf_folder, tmp_path / "model")
    size = {"size": {"shortest_edge": 3136, "longest_edge": 12544}}
    (folder / "preprocessor_config.json").write_text(json.dumps(size))
    assert main(["generate", f"--checkpoint={folder}", f"--image={image}"]) == 0
    assert seen.tokens == [12, 12]


def test_import_and_export_return_the_weights_and_the_budget(imported, hf_folder, tmp_path, fails):
    out = tmp_path / "out"
    assert main(["export-hf", f"--checkpoint={imported}", f"--out={out}"]) == 0
    for name in ("model-00001-of-00001.safetensors", "preprocessor_config.json", "tokenizer.json"):
        assert (out / name).read_bytes() == (hf_folder / name).read_bytes(), name
    again = fails("export-hf", f"--checkpoint={imported}", f"--out={out}", code=2)
    assert "exists and is not empty" in again
    taken = fails("import-hf", f"--model={hf_folder}", f"--workdir={imported}", code=2)
    assert "holds a run already" in taken


def test_evaluate_asks_what_an_imported_model_is_to_be_evaluated_on(imported, hf_folder, fails):
    for checkpoint in (imported, hf_folder):
        assert "add --config=FILE" in fails("evaluate", f"--checkpoint={checkpoint}", code=2)
    assert "add --out" in fails("evaluate", f"--checkpoint={hf_folder}", SFT, code=2)


def test_training_does_not_overwrite_a_run(imported, fails):
    problem = fails("train", SFT, f"--workdir={imported}", code=2)
    assert "holds a run already: add --resume or choose another workdir" in problem


def test_a_workdir_that_cannot_be_made_is_named(image, fails):
    problem = fails("train", SFT, *TINY, f"--workdir={image}/run", code=2)
    assert str(image) in problem and "Not a directory" in problem


def test_a_full_disk_is_one_line(tmp_path, fails, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "x"))

    monkeypatch.setattr(cases, "build_records", full)
    problem = fails("data", "build", SFT, f"--out={tmp_path}", code=1)
    assert problem == f"{tmp_path}/x: no space left on device: free some space there"


def test_an_error_of_storage_that_names_no_file_names_the_folder(tmp_path, fails, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cases, "build_records", full)
    problem = fails("data", "build", SFT, f"--out={tmp_path}", code=1)
    assert problem == f"{tmp_path}: no space left on device: free some space there"


@pytest.mark.parametrize("where", ["end", "written"])
def test_a_full_standard_output_is_named(where, tmp_path):
    """As in `skinflow … >log` on a full disk: the folder of the command is not what is full."""
    build = [sys.executable, "-m", "skinflow_jax", "data", "build", SFT, f"--out={tmp_path}"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*build, "--config.data.count=4"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | ({"PYTHONUNBUFFERED": "1"} if where == "written" else {}),
        )
    assert done.stderr == "skinflow: standard output: no space left on device\n"
    assert done.returncode == 1


@pytest.mark.parametrize("option", ["--workdir", "--records", "--config"])
def test_an_empty_path_is_not_the_current_folder(option, fails, tmp_path, monkeypatch):
    """As in `--workdir=$UNSET`."""
    monkeypatch.chdir(tmp_path)
    given = {"--config": SFT.split("=")[1], "--workdir": str(tmp_path / "w"), option: ""}
    problem = fails("train", *(f"{name}={value}" for name, value in given.items()), code=2)
    assert f"argument {option}: the path is empty" in problem
    assert not list(tmp_path.iterdir())


def test_a_folder_whose_name_a_terminal_would_obey_is_printed_escaped(tmp_path, capsys):
    out = tmp_path / "\x1b[31m"
    assert main(["data", "build", SFT, "--config.data.count=4", f"--out={out}"]) == 0
    assert "\\x1b[31m" in (printed := capsys.readouterr().out) and "\x1b" not in printed


def test_running_out_of_memory_says_which_knobs_help(tmp_path, fails, monkeypatch):
    def exhausted(*_, **__):
        raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory\nallocating 1 GiB")

    monkeypatch.setattr(train, "train", exhausted)
    assert "lower batch_size" in fails("train", SFT, f"--workdir={tmp_path}/w", code=1)


@pytest.mark.parametrize(
    ("command", "code"), [("train", 42), ("ablation", 42), ("evaluate", 143), ("demo", 143)]
)
def test_sigterm_before_a_run_begins_says_whether_to_start_it_again(
    command, code, tmp_path, fails, monkeypatch
):
    """While libraries are imported, which takes seconds."""
    monkeypatch.setattr(cli, "prepare", lambda _: os.kill(os.getpid(), signal.SIGTERM))
    folder = "--checkpoint" if command == "evaluate" else "--workdir"
    assert "SIGTERM" in fails(command, f"{folder}={tmp_path}", code=code)


def test_a_defect_of_ours_keeps_its_traceback(tmp_path, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("a defect")

    monkeypatch.setattr(train, "train", broken)
    with pytest.raises(RuntimeError, match="a defect"):
        main(["train", SFT, f"--workdir={tmp_path}/w"])


def metrics_of(workdir: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (workdir / "metrics.jsonl").open()]


@pytest.mark.slow
def test_a_run_on_real_photographs_from_training_to_an_export(
    pad_copy, tmp_path, image, capsys, fails, monkeypatch
):
    names = first_cases(pad_copy, 24)[1:3]
    damage(pad_copy, names)
    workdir, out = tmp_path / "run", tmp_path / "export"
    train = ["train", *PAD, *TINY, f"--config.data.data_root={pad_copy}", f"--workdir={workdir}"]
    train += ["--config.data.prompt_lengths=64", "--config.loop.log_every=1"]
    train += ["--config.evaluation.tasks=diagnosis", "--config.model.size=shallow"]
    monkeypatch.setitem(SIZES, "shallow", SHALLOW)
    assert main(train) == 0
    end = capsys.readouterr().out.split("2/2 steps")[1]
    assert "233 cases" in end and "2 skipped" in end and all(name in end for name in names)
    assert metrics_of(workdir) == [1, 2]

    assert "holds a run already" in fails(*train, code=2)
    longer = [*train, "--resume", "--config.loop.steps=3"]
    problem = fails(*longer, "--config.model.size=tiny", code=2)
    assert "model.size was 'shallow', the config says 'tiny'" in problem
    assert main(longer) == 0
    assert metrics_of(workdir) == [1, 2, 3]

    assert main(["evaluate", f"--checkpoint={workdir}"]) == 0
    figures = json.loads((workdir / "eval" / "3" / "metrics.json").read_text())
    assert figures["Top-1"]["n"] == 8, "evaluated by the run's own config"
    assert len((workdir / "eval" / "3" / "predictions.jsonl").read_text().splitlines()) == 8

    assert main(["export-hf", f"--checkpoint={workdir}", f"--out={out}"]) == 0
    stated = json.loads((out / "preprocessor_config.json").read_text())
    assert stated["max_pixels"] == 112 * 112
    options = [f"--checkpoint={workdir}", f"--image={image}", "--max-tokens=8"]
    assert main(["generate", *options]) == 0
    out = capsys.readouterr().out
    assert str(image) in out and "caption" in out and "diagnos" in out


@pytest.mark.parametrize(
    ("arguments", "code"), [(["--version"], 0), (["train"], 2), (["evaluate", "--checkpoint=x"], 2)]
)
def test_python_m_skinflow_jax_gives_the_same_exit_codes(arguments, code, tmp_path):
    ran = subprocess.run(
        [sys.executable, "-m", "skinflow_jax", *arguments],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert ran.returncode == code
    assert ran.stderr.count("\n") == (code > 0) and "Traceback" not in ran.stderr
    if code == 0:
        assert ran.stdout.startswith("skinflow 0.")


def test_a_file_name_that_is_no_utf_8_or_holds_control_sequences_can_be_printed(
    hf_folder, image, fails, capsys
):
    name = os.fsdecode(bytes(image.parent) + b"/\x1b[2Jbad\xff.png")
    arguments = ("generate", f"--checkpoint={hf_folder}", f"--image={name}", "--max-tokens=2")
    shown = f"{image.parent}/" + r"\x1b[2Jbad\udcff.png"
    assert fails(*arguments, code=2).startswith(f"{shown}: no such image file")
    shutil.copy(image, name)
    assert main(list(arguments)) == 0
    assert f"\n{shown}\n" in capsys.readouterr().out
