"""Batches: every case in its turn, with its own image and answer, on any number of hosts."""

import itertools
import json
from collections import Counter

import numpy as np
import pytest

from skinflow_jax.data.images import patchify
from skinflow_jax.data.pipeline import Buckets, evaluation_batches, make_pipeline
from skinflow_jax.data.tasks import PAPERS, target_text
from skinflow_jax.errors import ConfigError, InputError
from skinflow_jax.models.inputs import ModelInputs, patch_slots

BUCKETS = Buckets(prompt_lengths=(120, 200), windows=(2, 4, 6), completion_length=100)


@pytest.fixture
def pipeline(records, tokenizer, config):
    def make(records=records, **changes):
        options = {"tasks": PAPERS, "batch_size": 4, "seed": 0, "buckets": BUCKETS}
        return make_pipeline(records, tokenizer, config, **{**options, **changes})

    return make


def keys(batches):
    return [(example.case_id, example.task) for batch in batches for example in batch.examples]


def arrays(batch):
    fields = [getattr(batch.inputs, name) for name in ModelInputs.__dataclass_fields__]
    return [*fields, batch.completion_ids, batch.completion_mask]


def assert_equal(left, right):
    assert left.examples == right.examples
    for a, b in zip(arrays(left), arrays(right), strict=True):
        np.testing.assert_array_equal(a, b)


def test_each_row_holds_the_image_of_its_own_case(pipeline, records, config, shaded_source):
    """The grey of the patches tells the case; the prompt has that image's number of tokens."""
    cases = {record.case.case_id: record for record in records}
    for batch in itertools.islice(pipeline(), 8):
        for b, example in enumerate(batch.examples):
            image = cases[example.case_id].images[0]
            assert image[0, 0, 0] == shaded_source.shade(int(example.case_id.split("-")[1]))
            patches, grid = patchify(image, config.vision)
            placed = batch.inputs.patches[b, 0]
            np.testing.assert_array_equal(placed[patch_slots(grid, config.vision)], patches)
            assert batch.inputs.patch_mask[b].sum() == len(patches)
            tokens = (batch.inputs.input_ids[b] == config.image_token_id).sum()
            assert tokens == (batch.inputs.image_slots[b] >= 0).sum() == len(patches) // 4
            np.testing.assert_array_equal(example.image, image)


def test_a_completion_is_the_target_of_its_case_and_the_end_of_turn(
    pipeline, records, tokenizer, config
):
    cases = {record.case.case_id: record.case for record in records}
    for batch in itertools.islice(pipeline(seed=5), 6):
        for ids, mask, example in zip(
            batch.completion_ids, batch.completion_mask, batch.examples, strict=True
        ):
            text = target_text(
                example.task, cases[example.case_id], records.manifest.diagnoses, seed=5
            )
            assert tokenizer.decode(ids[mask][:-1], skip_special=False) == text
            assert tokenizer.decode(ids[mask][-1:], skip_special=False) == "<|im_end|>"
            assert (ids[~mask] == config.pad_token_id).all()
            assert not mask[mask.sum() :].any()


def test_an_example_carries_what_rewards_and_reports_need(pipeline, source):
    for example in next(iter(pipeline())).examples:
        case = source.case(int(example.case_id.split("-")[1]))
        assert (example.caption, example.diagnosis) == (case.caption, case.diagnosis)
        assert example.attributes == case.attributes
        assert json.dumps(example.attributes)


def test_without_targets_there_are_no_completions(pipeline):
    batch = next(iter(pipeline(targets=False)))
    assert batch.completion_ids is None and batch.completion_mask is None


def test_an_epoch_visits_each_case_and_task_once_in_an_order_of_its_own(pipeline, records):
    everything = {(record.case.case_id, task) for record in records for task in PAPERS}
    seen = keys(pipeline(batch_size=2, epochs=3))
    size = len(everything)
    epochs = [seen[i * size : (i + 1) * size] for i in range(3)]
    assert all(set(epoch) == everything for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]


def test_the_seed_decides_the_order(pipeline):
    assert keys(pipeline(epochs=1)) == keys(pipeline(epochs=1))
    assert keys(pipeline(epochs=2)) != keys(pipeline(epochs=2, seed=1))
    second_of_0 = keys(pipeline(batch_size=2, epochs=2))[22:]
    assert second_of_0 != keys(pipeline(batch_size=2, epochs=1, seed=1))


def test_without_shuffling_the_order_is_that_of_the_records(pipeline, records):
    seen = keys(pipeline(tasks=("caption",), shuffle=False, epochs=1, batch_size=11))
    assert seen == [(record.case.case_id, "caption") for record in records]


def test_batches_run_on_across_the_end_of_an_epoch(pipeline):
    assert len(keys(pipeline(tasks=("caption",), epochs=4))) == 44


@pytest.mark.parametrize("prefetch", [0, 3])
def test_a_fresh_pipeline_goes_on_where_a_killed_one_stood(pipeline, prefetch):
    """Also across the end of an epoch; batches made ahead but not handed out are not lost."""
    expected = list(itertools.islice(pipeline(prefetch=prefetch), 14))
    for killed_after in (0, 1, 5, 9):
        batches = pipeline(prefetch=prefetch)
        for _ in range(killed_after):
            next(batches)
        taken = batches.examples_taken
        batches.close()
        assert taken == 4 * killed_after
        fresh = pipeline(prefetch=prefetch, start=taken)
        assert fresh.examples_taken == taken
        for batch in expected[killed_after : killed_after + 3]:
            assert_equal(next(fresh), batch)


@pytest.mark.parametrize("processes", [(1, 1), (2, 1), (1, 2), (2, 2)])
@pytest.mark.parametrize("sizes", [(2, 1), (4, 6), (6, 2)])
def test_another_batch_size_or_number_of_processes_goes_on_with_the_next_example(
    pipeline, processes, sizes
):
    """Together they see the stream of a run that was never stopped, over several epochs."""
    sizes = [2 * size for size in sizes]
    seen, taken = [], 0
    for count, size, steps in zip(processes, sizes, (5, 9), strict=True):
        hosts = [
            pipeline(batch_size=size, start=taken, process_index=i, process_count=count)
            for i in range(count)
        ]
        for _ in range(steps):
            seen += [pair for host in hosts for pair in keys([next(host)])]
        assert len({host.examples_taken for host in hosts}) == 1
        taken = hosts[0].examples_taken
    assert taken == len(seen) == 5 * sizes[0] + 9 * sizes[1]
    assert seen == keys(itertools.islice(pipeline(batch_size=1), taken))


def test_the_stream_depends_on_the_pairs_and_the_seed_alone(pipeline, records):
    """Not on the order of the tasks, the buckets, whether targets are made."""
    plain = keys(itertools.islice(pipeline(), 9))
    wider = Buckets((200,), (6,), 500)
    for other in ({"tasks": PAPERS[::-1]}, {"targets": False}, {"buckets": wider}, {"prefetch": 0}):
        assert keys(itertools.islice(pipeline(**other), 9)) == plain


def test_a_finite_stream_ends_wherever_it_was_begun(pipeline):
    assert len(keys(pipeline(epochs=2, start=40))) == 4
    assert keys(pipeline(epochs=2, start=44)) == []


@pytest.mark.parametrize("processes", [2, 4])
def test_hosts_share_the_batches_of_a_single_one(pipeline, processes):
    """Disjoint rows that together are the very batch one process would make, in its order.

    In its shape too, which some of the rows alone would not need.
    """
    buckets = {"buckets": Buckets((120, 140, 200), (1, 2, 4, 6), 100)}
    whole = list(itertools.islice(pipeline(**buckets), 9))
    assert len({batch.inputs.patches.shape for batch in whole}) > 1
    parts = [
        list(itertools.islice(pipeline(process_index=i, process_count=processes, **buckets), 9))
        for i in range(processes)
    ]
    for number, batch in enumerate(whole):
        rows = [host[number] for host in parts]
        assert [e for row in rows for e in row.examples] == batch.examples
        joined = np.concatenate([row.completion_ids for row in rows])
        np.testing.assert_array_equal(joined, batch.completion_ids)
        shapes = {tuple(array.shape for array in arrays(row)) for row in rows}
        assert len(shapes) == 1, "hosts must agree on the shapes"
        assert rows[0].inputs.input_ids.shape[1:] == batch.inputs.input_ids.shape[1:]
        assert rows[0].inputs.patches.shape[1:3] == batch.inputs.patches.shape[1:3]


def test_balanced_batches_have_each_class_equally_often_and_go_on_anywhere(pipeline):
    """Seven diagnoses of one or two cases; under two processes and from any place the same."""
    options = {"batch_size": 14, "tasks": ("diagnosis",), "balance": "class"}
    whole = list(itertools.islice(pipeline(**options), 6))
    for batch in whole:
        assert set(Counter(e.diagnosis for e in batch.examples).values()) == {2}
    hosts = [
        pipeline(**options, process_index=i, process_count=2, start=28, prefetch=i)
        for i in range(2)
    ]
    for batch in whole[2:]:
        assert [e for host in hosts for e in next(host).examples] == batch.examples
    by_type = next(pipeline(**options | {"batch_size": 6, "balance": "fitzpatrick"}))
    assert sorted(e.attributes["fitzpatrick"] for e in by_type.examples) == [1, 2, 3, 4, 5, 6]
    with pytest.raises(InputError, match=r"data\.balance='sex': no case has that"):
        pipeline(balance="sex")


def test_batches_of_like_sizes_are_padded_less(pipeline):
    """The five heights need 1 or 2 windows, in batches of their own but for one a pool."""
    buckets = Buckets((120, 200), (1, 2, 4), 100)
    options = {"batch_size": 2, "tasks": ("diagnosis",), "buckets": buckets}
    plain, like = (
        list(itertools.islice(pipeline(**options, like_sizes=run), 50)) for run in (0, 2)
    )
    assert Counter(keys(like)).keys() == Counter(keys(plain)).keys()

    def mixed(batches):
        return sum(len({e.image.shape[0] > 112 for e in batch.examples}) > 1 for batch in batches)

    assert mixed(like) <= 10 < mixed(plain), "pools are of five batches"
    for batch in like:
        needed = max(-(-e.image.shape[0] // 112) for e in batch.examples)
        assert batch.inputs.patches.shape[2] == 64 * needed
    later = pipeline(**options, like_sizes=2, start=60)
    assert_equal(next(later), like[30])
    with pytest.raises(ConfigError, match=r"data\.like_sizes=32 exceeds the 11 examples"):
        pipeline(**options | {"like_sizes": 32})


AUGMENTED = {"augmentation": ("flip", "rotate", "brightness")}


def test_augmented_images_depend_on_the_place_alone(pipeline):
    """Not on the batch size, the number of processes or where the run began."""
    whole = list(itertools.islice(pipeline(**AUGMENTED), 12))
    for i in range(2):
        half = pipeline(**AUGMENTED, process_index=i, process_count=2, start=24)
        for batch in whole[6:]:
            mine = next(half).inputs.patches
            np.testing.assert_array_equal(mine, batch.inputs.patches[2 * i : 2 * i + 2])
    images = [example.image for batch in whole for example in batch.examples]
    singly = [next(batch).examples[0].image for batch in [pipeline(**AUGMENTED, batch_size=1)] * 9]
    for one, other in zip(images, singly, strict=False):
        np.testing.assert_array_equal(one, other)


def test_augmentation_changes_images_anew_each_time_and_nothing_else(pipeline, records):
    """The grey of an image tells its case: it is only brighter or darker, by a tenth at most."""
    plain, changed = (
        [e for b in itertools.islice(pipeline(**o), 22) for e in b.examples]
        for o in ({}, {"augmentation": ("brightness",)})
    )
    assert plain == changed
    ratios = [b.image.mean() / a.image.mean() for a, b in zip(plain, changed, strict=True)]
    assert 0.88 < min(ratios) < 0.95 and 1.05 < max(ratios) < 1.12
    assert len({round(ratio, 3) for ratio in ratios}) > 40
    again = [e for b in itertools.islice(pipeline(augmentation=()), 22) for e in b.examples]
    for one, other in zip(plain, again, strict=True):
        np.testing.assert_array_equal(one.image, other.image)


def test_quarter_turns_fit_the_buckets_of_the_images_as_they_were(pipeline, config):
    for batch in itertools.islice(pipeline(augmentation=("rotate90",)), 12):
        shapes = {example.image.shape for example in batch.examples}
        assert batch.inputs.patches.shape[2] in {64 * w for w in BUCKETS.windows}
        tokens = (batch.inputs.input_ids == config.image_token_id).sum(axis=1)
        assert tokens.tolist() == [e.image.size // 3 // 28**2 for e in batch.examples]
        assert shapes


def test_the_smallest_bucket_that_holds_the_batch_is_taken(records, pipeline):
    """Images of 84 and 140 rows need 2 and 4 windows and less or more of a prompt."""
    areas = [record.images[0].size for record in records]
    small, large = records.select([int(np.argmin(areas))]), records.select([int(np.argmax(areas))])
    options = {"batch_size": 1, "tasks": ("diagnosis",), "epochs": 1}
    slots = [
        next(iter(pipeline(chosen, **options))).inputs.patches.shape[2] // 64
        for chosen in (small, large)
    ]
    sides = [chosen[0].images[0].shape[:2] for chosen in (small, large)]
    needed = [-(-height // 112) * -(-width // 112) for height, width in sides]
    assert needed[0] < needed[1]
    assert slots == [min(w for w in BUCKETS.windows if w >= n) for n in needed]
    batch = next(iter(pipeline(large, **options)))
    length = int(batch.inputs.token_mask.sum(axis=1).max())
    exact = Buckets((length, 200), BUCKETS.windows, BUCKETS.completion_length)
    beyond = Buckets((length - 1, 200), BUCKETS.windows, BUCKETS.completion_length)
    assert next(iter(pipeline(large, **options, buckets=exact))).inputs.input_ids.shape[1] == length
    assert next(iter(pipeline(large, **options, buckets=beyond))).inputs.input_ids.shape[1] == 200


def test_where_nothing_fits_the_first_case_says_what_to_change(pipeline):
    """Before training."""
    for buckets, reason in (
        (Buckets((60,), (6,), 100), r"needs prompt_lengths \d+ .* is 60; raise data"),
        (Buckets((200,), (6,), 3), r"its target has \d+ tokens but completion_length is 3; raise"),
    ):
        with pytest.raises(InputError, match=rf"none of the 11 .* caption .*case-0: .*{reason}"):
            pipeline(buckets=buckets)


def test_wrong_options_are_config_errors(pipeline):
    with pytest.raises(ConfigError, match="batch_size 4 does not divide among 3 processes"):
        pipeline(process_count=3)
    with pytest.raises(ConfigError, match="batch_size 64 exceeds the 22 examples"):
        pipeline(batch_size=64, epochs=1)
    with pytest.raises(ConfigError, match="unknown task 'triage'"):
        pipeline(tasks=("triage",))
    with pytest.raises(ConfigError, match=r"data\.tasks is empty"):
        pipeline(tasks=())
    with pytest.raises(ConfigError, match=r"data\.windows needs"):
        Buckets((8,), (), 8)
    with pytest.raises(ConfigError, match="names a task twice"):
        pipeline(tasks=("caption", "diagnosis", "caption"))
    for limits in ({"caption": -1}, {"caption": "3"}, {"caption": True}, {"caption": 1.5}):
        with pytest.raises(ConfigError, match=r"data\.cases_of_task\.caption=.* whole number"):
            pipeline(cases_of_task=limits)
    with pytest.raises(ConfigError, match="unknown task 'triage'"):
        pipeline(cases_of_task={"triage": 3})
    for start in (-1, 1.0, True):
        with pytest.raises(ConfigError, match="number of examples, 0 or more"):
            pipeline(start=start)


@pytest.mark.parametrize("processes", [1, 2])
def test_evaluation_counts_every_case_once_in_one_shape(records, tokenizer, config, processes):
    """11 cases in batches of 4: the last one is filled up, and says so."""
    options = {"task": "diagnosis", "batch_size": 4, "buckets": BUCKETS}
    hosts = [
        list(
            evaluation_batches(
                records, tokenizer, config, **options, process_index=i, process_count=processes
            )
        )
        for i in range(processes)
    ]
    seen = [
        example.case_id
        for batches in zip(*hosts, strict=True)
        for batch in batches
        for example in batch.examples[: batch.valid]
    ]
    assert seen == [record.case.case_id for record in records]
    assert len({batch.inputs.input_ids.shape for host in hosts for batch in host}) == 1
    last = hosts[-1][-1]
    assert last.valid == 4 // processes - 1
    assert last.examples[-1].case_id == "case-10"
    assert last.inputs.token_mask[-1].any()
