"""What a run cannot learn from is known before its first step, left out, counted and listed."""

import dataclasses
import json

import numpy as np
import pytest
from test_pipeline import BUCKETS

from skinflow_jax.data.buckets import Buckets, bucket_shapes
from skinflow_jax.data.checks import report_dropped, usable_pairs
from skinflow_jax.data.pipeline import evaluation_batches, make_pipeline
from skinflow_jax.data.records import RecordSet, build_records
from skinflow_jax.data.tasks import PAPERS, target_text
from skinflow_jax.errors import InputError


class Holes:
    """The source without the captions and diagnoses of some of its cases."""

    def __init__(self, source, no_caption=(), no_diagnosis=(), odd=()):
        self._source, self.name, self.diagnoses = source, source.name, source.diagnoses
        self._changes = {i: {"caption": {}} for i in no_caption}
        self._changes |= {i: {"diagnosis": ""} for i in no_diagnosis}
        self._changes |= {i: {"caption": {"shape": "spiral"}} for i in odd}

    def __len__(self):
        return len(self._source)

    def __getattr__(self, name):
        return getattr(self._source, name)

    def case(self, index):
        return dataclasses.replace(self._source.case(index), **self._changes.get(index, {}))


@pytest.fixture
def with_holes(source, tmp_path):
    holes = Holes(source, no_caption=(2, 5), no_diagnosis=(7,), odd=(9,))
    build_records(holes, tmp_path / "set", min_pixels=56**2, max_pixels=112 * 168, fingerprint={})
    return RecordSet(tmp_path / "set")


def usable(records, tokenizer, config, **changes):
    options = {"tasks": PAPERS, "buckets": BUCKETS, "seed": 0, **changes}
    return usable_pairs(records, tokenizer, config, **options)


@pytest.mark.parametrize("targets", [True, False])
def test_cases_without_an_answer_are_left_out_of_that_task_alone(
    with_holes, tokenizer, config, targets
):
    found = usable(with_holes, tokenizer, config, targets=targets)
    left_out = {(entry.task, entry.case): entry.reason for entry in found.dropped}
    assert list(left_out) == [
        ("caption", "case-2"),
        ("caption", "case-5"),
        ("caption", "case-9"),
        ("diagnosis", "case-7"),
    ]
    assert "no caption field is known" in left_out["caption", "case-2"]
    assert "spiral" in left_out["caption", "case-9"]
    assert len(found.pairs) == 2 * 11 - 4
    assert {(7, "caption"), (2, "diagnosis"), (9, "diagnosis")} <= set(found.pairs)


def test_a_target_that_is_one_token_too_long_is_left_out(records, tokenizer, config):
    def length(index):
        text = target_text("caption", records.case(index), records.manifest.diagnoses, 0)
        return len(tokenizer.encode(text)) + 1

    lengths = [length(i) for i in range(len(records))]
    longest = max(lengths)
    assert min(lengths) < longest
    options = {"tasks": ("caption",)}
    whole = Buckets(BUCKETS.prompt_lengths, BUCKETS.windows, longest)
    assert usable(records, tokenizer, config, buckets=whole, **options).dropped == ()
    short = Buckets(BUCKETS.prompt_lengths, BUCKETS.windows, longest - 1)
    found = usable(records, tokenizer, config, buckets=short, **options)
    assert [i for i, _ in found.pairs] == [i for i, n in enumerate(lengths) if n < longest]
    assert f"has {longest} tokens but completion_length is {longest - 1}" in found.dropped[0].reason
    options["targets"] = False
    assert usable(records, tokenizer, config, buckets=short, **options).dropped == ()


def test_images_that_fit_no_bucket_are_left_out_of_training(records, tokenizer, config):
    """And of the shapes that are compiled; an evaluation leaves none out, and refuses."""
    buckets = Buckets((200,), (1,), 100)
    found = usable(records, tokenizer, config, buckets=buckets)
    kept = {records.case(i).case_id for i, _ in found.pairs}
    assert 0 < len(kept) < len(records)
    assert all("needs windows" in entry.reason for entry in found.dropped)
    batches = make_pipeline(
        *(records, tokenizer, config), tasks=PAPERS, batch_size=2, seed=0, buckets=buckets, epochs=1
    )
    assert {example.case_id for batch in batches for example in batch.examples} == kept
    assert bucket_shapes(batches.usable.needs, config, rows=2, buckets=buckets)
    with pytest.raises(InputError, match=r"case case-\d+: .* needs windows \d .* is 1; raise data"):
        evaluation_batches(
            *(records, tokenizer, config), task="diagnosis", batch_size=2, buckets=buckets
        )


def test_the_shapes_that_are_compiled_are_those_that_batches_take(records, tokenizer, config):
    """Also of rows that several processes have exchanged, which take the largest."""
    buckets = Buckets((80, 120, 200), (1, 2, 4), 100)
    options = {"tasks": PAPERS, "batch_size": 2, "seed": 0, "buckets": buckets, "epochs": 4}
    batches = make_pipeline(records, tokenizer, config, **options)

    def shapes(inputs):
        return {(one.input_ids.shape, one.patches.shape, one.patches.dtype) for one in inputs}

    taken = shapes(batch.inputs for batch in batches)
    needs = batches.usable.needs
    assert len(needs) == len(batches.usable.pairs)
    compiled = shapes(bucket_shapes(needs, config, rows=2, buckets=buckets))
    assert len(taken) > 1 and taken <= compiled
    largest = shapes(bucket_shapes(needs, config, rows=2, buckets=buckets, largest=True))
    patches = (2, 1, 4 * 64, config.vision.patch_pixels)
    assert largest - compiled == {((2, 200), patches, np.dtype(np.uint8))}


def test_a_pipeline_draws_what_is_usable_and_tells_what_is_not(with_holes, tokenizer, config):
    batches = make_pipeline(
        *(with_holes, tokenizer, config),
        tasks=PAPERS,
        batch_size=3,
        seed=3,
        buckets=BUCKETS,
        epochs=1,
    )
    drawn = sorted((e.case_id, e.task) for batch in batches for e in batch.examples)
    pairs = batches.usable.pairs
    assert drawn == sorted((with_holes.case(i).case_id, task) for i, task in pairs)


def test_a_task_with_few_cases_has_its_first_usable_ones(with_holes, tokenizer, config):
    found = usable(with_holes, tokenizer, config, cases_of_task={"caption": 4, "diagnosis": 0})
    assert found.pairs == tuple((i, "caption") for i in (0, 1, 3, 4))


def test_a_task_without_a_usable_case_is_refused(source, tokenizer, config, tmp_path):
    holes = Holes(source, no_caption=range(11))
    build_records(holes, tmp_path / "set", min_pixels=56**2, max_pixels=112 * 168, fingerprint={})
    with pytest.raises(InputError, match=r"none of the 11 .* caption task; .*case-0: no caption"):
        usable(RecordSet(tmp_path / "set"), tokenizer, config)


def test_what_is_left_out_is_printed_in_short_and_written_in_full(
    with_holes, records, tokenizer, config, tmp_path, capsys
):
    found = usable(with_holes, tokenizer, config, buckets=Buckets((200,), (1,), 100))
    report_dropped(found, tmp_path / "run" / "left_out.jsonl")
    lines = capsys.readouterr().out.splitlines()
    count = {task: sum(entry.task == task for entry in found.dropped) for task in PAPERS}
    assert lines[0] == f"left out: {count['caption']} of the caption task, " + (
        f"{count['diagnosis']} of the diagnosis task"
    )
    assert len(lines) == 1 + 5 + 2 and "more" in lines[-2] and "left_out.jsonl" in lines[-1]
    written = (tmp_path / "run" / "left_out.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in written] == [dataclasses.asdict(e) for e in found.dropped]
    report_dropped(usable(records, tokenizer, config), tmp_path / "run" / "left_out.jsonl")
    assert capsys.readouterr().out == "" and not list((tmp_path / "run").iterdir())
