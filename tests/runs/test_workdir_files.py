"""Every file of a workdir, flipped: a resume refuses it by name, says so, or does not need it."""

import dataclasses
import shutil

import jax
import numpy as np
import pytest
from stand_in import SMALL_RUN, stand_ins

from skinflow_jax.data.records import RecordSet
from skinflow_jax.errors import InputError
from skinflow_jax.runs import train as runs_train

pytestmark = pytest.mark.slow

# Written by a run and not read by a resume, but for the steps of the lines; an older checkpoint is
# compared when it is taken.
HARMLESS = (
    "checkpoints/1/",
    "config.json",
    "preprocessor_config.json",
    "tensorboard/",
    "metrics.jsonl",
    "rollouts.jsonl",
    ".lock",
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        stand_ins(patch)
        workdir = tmp_path_factory.mktemp("run") / "run"
        policy = runs_train.train(SMALL_RUN, workdir)
        yield workdir, [np.asarray(x) for x in jax.tree.leaves(policy.model)]


def noticed_when_read(file):
    """Whether a shard's damage is met, at the latest, by the batch that needs it."""
    records = RecordSet(file.parent)
    try:
        for number in range(len(records)):
            records[number]
    except InputError as error:
        return file.parent.name in str(error)
    return False


def test_a_flipped_file_is_refused_told_or_harmless(run, tmp_path, capsys):
    workdir, parameters = run
    longer = dataclasses.replace(SMALL_RUN, loop=dataclasses.replace(SMALL_RUN.loop, steps=3))
    names = sorted(str(p.relative_to(workdir)) for p in workdir.rglob("*") if p.is_file())
    assert {"config.json", "metrics.jsonl", "tokenizer/tokenizer.json"} < set(names)
    silent = []
    for name in names:
        copy = tmp_path / "copy"
        shutil.copytree(workdir, copy)
        content = bytearray((copy / name).read_bytes())
        if not content:
            shutil.rmtree(copy)
            continue
        content[len(content) // 2] ^= 1
        (copy / name).write_bytes(content)
        capsys.readouterr()
        try:
            policy = runs_train.train(longer, copy, resume=True)
        except InputError as error:
            told, same = str(error), True
            assert "\n" not in told
        else:
            printed = capsys.readouterr()
            told = printed.err
            found = [np.asarray(x) for x in jax.tree.leaves(policy.model)]
            same = all(map(np.array_equal, found, parameters))
        folder = name.split("/")[0]
        if not (told and folder in told) and not name.startswith(HARMLESS):
            silent += [] if folder == "records" and noticed_when_read(copy / name) else [name]
        assert same, f"{name}: another model than was saved"
        shutil.rmtree(copy)
    assert silent == []
