"""The order of examples: a function of the place, in which classes and cases have their turns."""

import itertools
from collections import Counter

import grain
import numpy as np
import pytest

from skinflow_jax.data.buckets import Buckets, Needs
from skinflow_jax.data.sampling import (
    balanced,
    classes_of,
    like_sizes,
    repeated,
    shuffled,
    size_classes,
    stream_seed,
)
from skinflow_jax.errors import InputError

CLASSES = ["naevus"] * 17 + ["melanoma"] * 4 + ["psoriasis"] * 6 + ["lentigo"]


def taken(order, stop, start=0):
    return [order(place) for place in range(start, stop)]


@pytest.mark.parametrize("count", [1, 11, 1000])
def test_the_shuffled_order_is_grains_own(count):
    """Runs that were begun under Grain's transformation go on with the same examples."""
    theirs = grain.MapDataset.range(count).shuffle(stream_seed(7)).repeat()
    ours = shuffled(count, stream_seed(7))
    places = range(2 * count - 9, 2 * count + 9)
    assert [theirs[p] for p in places if p >= 0] == [ours(p) for p in places if p >= 0]


def test_balanced_draws_every_class_once_a_round():
    order = balanced(CLASSES, seed=1)
    drawn = [CLASSES[number] for number in taken(order, 400)]
    for start in range(0, 400, 4):
        assert set(drawn[start : start + 4]) == set(CLASSES)
    rounds = Counter(tuple(drawn[start : start + 4]) for start in range(0, 400, 4))
    assert len(rounds) > 12, "the order of the classes changes from round to round"


@pytest.mark.parametrize("name", sorted(set(CLASSES)))
def test_a_class_has_epochs_of_its_own_in_which_each_case_comes_once(name):
    members = {number for number, other in enumerate(CLASSES) if other == name}
    drawn = [number for number in taken(balanced(CLASSES, seed=3), 400) if number in members]
    size = len(members)
    epochs = [drawn[i : i + size] for i in range(0, len(drawn) - size + 1, size)]
    assert all(set(epoch) == members for epoch in epochs)
    assert size < 4 or epochs[0] != epochs[1]


def test_classes_of_one_size_are_not_drawn_in_step():
    """Case i of one class would otherwise always meet case i of the other."""
    order = balanced(["a", "b"] * 50, seed=0)
    drawn = [sorted(taken(order, start + 2, start)) for start in range(0, 200, 2)]
    assert len({(b // 2 - a // 2) % 50 for a, b in map(sorted, drawn)}) > 20


@pytest.mark.parametrize("count", [2, 3])
def test_few_classes_come_in_every_order_about_as_often(count):
    """Within five standard deviations over 3,000 rounds."""
    order, rounds = balanced([str(i) for i in range(count)], seed=5), 3000
    orders = Counter(tuple(taken(order, count * (i + 1), count * i)) for i in range(rounds))
    expected = rounds / len(list(itertools.permutations(range(count))))
    assert len(orders) == rounds / expected
    assert all(abs(n - expected) < 5 * expected**0.5 for n in orders.values())


@pytest.mark.parametrize("run", [4, 16])
def test_runs_are_of_one_size_class(run):
    """Mixed are fewer than there are classes, in each pool."""
    sizes = np.random.default_rng(0).integers(5, size=1000)
    order = like_sizes(repeated(1000), sizes, run, seed=2)
    pool = run * min(256, 1000 // run)
    numbers = np.array(taken(order, 2 * pool)).reshape(2, -1, run)
    mixed = [sum(len(set(sizes[r])) > 1 for r in numbers[i]) for i in range(2)]
    assert max(mixed) <= 4
    first = [int(sizes[r].max()) for r in numbers[0]]
    assert first not in (sorted(first), sorted(first, reverse=True)), "runs are shuffled"


def test_like_sizes_change_the_places_alone():
    """Every pool holds what it held; a stream that ends has each example of its epochs."""
    plain, sizes = repeated(100), [number % 3 for number in range(100)]
    order = like_sizes(plain, sizes, 8, seed=0)
    assert taken(order, 96) != taken(plain, 96)
    for start in range(0, 960, 96):
        assert sorted(taken(order, start + 96, start)) == sorted(taken(plain, start + 96, start))
    finite = like_sizes(plain, sizes, 8, seed=0, length=300)
    assert Counter(taken(finite, 300)) == Counter(3 * list(range(100)))


@pytest.mark.parametrize("balance", [False, True])
def test_an_order_is_the_same_wherever_it_is_asked_first(balance):
    def fresh():
        base = balanced(CLASSES, seed=8) if balance else repeated(len(CLASSES))
        return like_sizes(base, [number % 2 for number in range(len(CLASSES))], 4, seed=8)

    whole = taken(fresh(), 200)
    for place in (199, 3, 57, 120):
        order = fresh()
        assert order(place) == whole[place]
        assert order(0) == whole[0]
    assert fresh()(10**15) in range(len(CLASSES))


def test_size_classes_are_the_buckets_that_each_would_take_alone():
    buckets = Buckets((64, 128), (4, 9), 8, images=(1, 2))
    needs = [Needs(60, 3, 1), Needs(65, 4, 1), Needs(64, 4, 1), Needs(70, 9, 1), Needs(70, 4, 2)]
    assert size_classes(needs, buckets) == [0, 1, 0, 2, 3]


def test_classes_are_diagnoses_attributes_or_columns(records):
    pairs = [(4, "diagnosis"), (0, "caption"), (4, "caption")]
    assert classes_of(records, pairs, "class") == ["eczema", "acne", "eczema"]
    assert classes_of(records, pairs, "fitzpatrick") == ["5", "1", "5"]
    with pytest.raises(InputError, match=r"data\.balance='fitz': no case .* class .* fitzpatrick"):
        classes_of(records, pairs, "fitz")


def test_as_numbered(records):
    assert taken(repeated(3), 7) == [0, 1, 2, 0, 1, 2, 0]
