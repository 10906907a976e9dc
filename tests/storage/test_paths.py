"""Every path that a person gives is in a bucket where it may be, or refused in one line."""

import argparse
import dataclasses
import errno
from pathlib import Path

import fake_gcs
import pytest

from skinflow_jax.cli import main
from skinflow_jax.command.line import parsers
from skinflow_jax.config import RunConfig, load_config
from skinflow_jax.errors import ConfigError, InputError
from skinflow_jax.json_file import read_json
from skinflow_jax.runs.facts import file_digests
from skinflow_jax.storage import paths as storage
from skinflow_jax.typed_fields import fields_of

# Of the arguments that take a value: those that may be in a bucket, and those that are no path.
IN_A_BUCKET = {
    ("train", "--workdir"),
    ("evaluate", "--checkpoint"),
    ("evaluate", "--out"),
    ("generate", "--checkpoint"),
    ("inspect", "--checkpoint"),
    ("import-hf", "--workdir"),
    ("export-hf", "--checkpoint"),
    *((name, "--compilation-cache") for name in ("demo", "train", "evaluate", "generate")),
    ("ablation", "--compilation-cache"),
}
NO_PATH = {
    ("demo", "--source"),
    ("train", "--allow-changed"),
    ("data caption", "--reader"),
    *(
        (command, f"--{name}")
        for command in ("data caption", "llm-judge")
        for name in ("base-url", "model", "key-variable")
    ),
    ("data export", "--form"),
    ("data export", "--task"),
    ("evaluate", "--answers"),
    ("evaluate", "--missing"),
    ("evaluate", "--robustness"),
    ("generate", "--prompt"),
    ("inspect", "--sort"),
    ("inspect", "--task"),
}


@pytest.fixture
def bucket():
    server = fake_gcs.serve()
    fake_gcs.clear()
    yield storage.storage_path("gs://bucket/folder")
    server.shutdown()


def arguments():
    """(command, option, action) of every argument that takes a value."""
    found = []

    def collect(parser, command):
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for name, inner in action.choices.items():
                    collect(inner, f"{command} {name}".strip())
            elif action.nargs != 0:
                found.append((command, action.option_strings[0], action))

    collect(parsers()[0], "")
    return found


def test_the_lists_name_what_is_there():
    there = {(command, option) for command, option, _ in arguments()}
    assert there >= IN_A_BUCKET | NO_PATH


@pytest.mark.parametrize(
    ("command", "option", "action"),
    [pytest.param(*found, id=" ".join(found[:2])) for found in arguments()],
)
def test_an_argument_takes_a_bucket_or_refuses_it(command, option, action, bucket):
    convert = action.type or str
    address = "gs://bucket/folder"
    if (command, option) in NO_PATH or option in ("--cluster", "--coordinator", "--dtype"):
        assert not isinstance(convert("x"), Path)
    elif (command, option) in IN_A_BUCKET:
        assert str(convert(address)) == address
        with pytest.raises(argparse.ArgumentTypeError, match="s3://bucket/folder"):
            convert("s3://bucket/folder")
    else:
        with pytest.raises((argparse.ArgumentTypeError, ValueError)):
            convert(address)


def test_a_refused_argument_is_one_line(capsys):
    assert main(["generate", "--checkpoint=x", "--image=gs://bucket/a.jpg"]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "argument --image: gs://bucket/a.jpg must be on this machine: in a bucket may" in told


@pytest.mark.parametrize("name", ["data.data_root", "rl.rewards"])
def test_what_must_be_here_is_refused_by_name(name):
    with pytest.raises(
        ConfigError, match=rf"config {name}.*gs://bucket/x.* must be on this machine"
    ):
        load_config(None, {name: "gs://bucket/x"})


def test_a_path_of_python_is_taken_where_a_config_names_a_place():
    config = load_config(None, {"data.data_root": Path("images"), "data.source": "folder"})
    assert config.data.data_root == "images"


def test_a_run_may_start_from_a_bucket():
    config = load_config(None, {"model.init_from": "gs://bucket/x"})
    assert config.model.init_from == "gs://bucket/x"
    with pytest.raises(ConfigError, match=r"model.init_from='s3://b/x' is no address that can be"):
        load_config(None, {"model.init_from": "s3://b/x"})


def test_no_text_of_the_config_is_a_path_that_nobody_looked_at():
    """A new field that takes any text fails here until it says whether it names a place."""
    taken = []
    for name, _ in fields_of(RunConfig):
        try:
            load_config(None, {name: "gs://bucket/x"})
        except InputError:
            continue
        taken.append(name)
    assert taken == ["model.init_from", "data.balance"]  # the latter names an attribute


@pytest.mark.parametrize(
    "address", ["s3://bucket/x", "gs:/bucket/x", Path("gs://bucket/x"), "gs://", "gs:///x"]
)
def test_other_addresses_do_not_become_folders_of_that_name(address):
    with pytest.raises(InputError, match="gs://BUCKET/PATH"):
        storage.storage_path(address)


def test_what_reads_buckets_is_asked_for(monkeypatch):
    def missing(name, **_):
        raise ImportError("Please install gcsfs to access Google Storage")

    monkeypatch.setattr("fsspec.filesystem", missing)
    with pytest.raises(InputError, match="gs://bucket/x: buckets need gcsfs: pip install gcsfs"):
        storage.storage_path("gs://bucket/x")


def test_files_of_a_bucket_are_listed_read_and_removed(bucket, tmp_path):
    storage.write_whole(bucket / "a.json", '{"ä": 1}')
    storage.write_whole(bucket / "inner" / "b.txt", "b")
    assert read_json(bucket / "a.json") == {"ä": 1}
    names = sorted(path.relative_to(bucket).as_posix() for path in storage.files_in(bucket))
    assert names == ["a.json", "inner/b.txt"]
    assert storage.size(bucket / "inner" / "b.txt") == 1
    copy = storage.fetched(bucket)
    assert (copy / "inner" / "b.txt").read_text() == "b"
    assert file_digests(bucket) == file_digests(copy)
    storage.remove_tree(bucket)
    assert not fake_gcs.OBJECTS and list(storage.files_in(bucket)) == []


def test_the_mark_of_a_folder_is_no_file(bucket):
    fake_gcs.put("bucket/folder/", b"")
    storage.write_whole(bucket / "a.txt", "a")
    assert [path.name for path in storage.files_in(bucket)] == ["a.txt"]


@pytest.mark.parametrize("action", [lambda p: p.rename(p.parent / "b"), lambda p: p.open("a")])
def test_the_fake_bucket_cannot_do_what_no_bucket_can(bucket, action):
    storage.write_whole(bucket / "a.txt", "a")
    with pytest.raises(fake_gcs.NotOfABucket):
        action(bucket / "a.txt")


def test_dataclasses_made_from_python_are_checked_too():
    with pytest.raises(ConfigError, match="data_root"):
        dataclasses.replace(RunConfig().data, data_root="gs://bucket/x")


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ECONNREFUSED, "Connect call failed"),
        PermissionError("403: does not have storage.objects.list access"),
        BrokenPipeError(),
        RuntimeError("no credentials"),
    ],
)
def test_a_librarys_error_names_the_bucket(error):
    told = pytest.raises(InputError, match=r"^gs://bucket/x cannot be reached .*credentials")
    with told as found, storage.reaching("gs://bucket/x"):
        raise error
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "full"),
        PermissionError(errno.EACCES, "no", "/here"),
        InputError("ours"),
    ],
)
def test_an_error_of_this_machine_stays_what_it_is(error):
    with pytest.raises(type(error)) as found, storage.reaching("gs://bucket/x"):
        raise error
    assert found.value is error
