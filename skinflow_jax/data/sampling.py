"""The order of examples: which (case, task) pair stands at each place of the stream.

An order is a pure function of the place, answered anywhere without what came before: a run goes on
at any place, under another batch size and on another number of processes.
"""

import functools
from collections.abc import Callable, Sequence

import numpy as np
from grain.experimental import index_shuffle

from skinflow_jax.data.buckets import Buckets, Needs
from skinflow_jax.data.record_set import RecordSet
from skinflow_jax.data.sources.case import Case
from skinflow_jax.errors import InputError

Order = Callable[[int], int]
"""The number of the example at a place of the stream, both from 0."""

CLASS = "class"
"""What `data.balance` calls the diagnosis; any other word is an attribute or a further column."""
POOL_RUNS = 256
"""Runs of like sizes are made of so many runs' examples: at most one run a size class is mixed."""


def shuffled(count: int, seed: int) -> Order:
    """Epochs of `count` examples, each once, in a new order each time.

    The bits are those of `grain.MapDataset.range(count).shuffle(seed).repeat()`.
    """

    def order(place: int) -> int:
        epoch, within = divmod(place, count)
        epoch_seed = (seed + epoch) % 2**32
        return index_shuffle(within, max_index=count - 1, seed=epoch_seed, rounds=4)

    return order


def _permuted(count: int, *key: int) -> Order:
    """As `shuffled`, where there may be few: Grain's takes milliseconds a place under some 500."""

    @functools.lru_cache(maxsize=2)
    def permutation(epoch: int) -> np.ndarray:
        return np.random.default_rng([*key, epoch]).permutation(count)

    return lambda place: int(permutation(place // count)[place % count])


def repeated(count: int) -> Order:
    """Epochs of `count` examples as they are numbered."""
    return lambda place: place % count


def balanced(classes: Sequence[str], seed: int) -> Order:
    """Each class once a round, the rounds in shuffled order; a class's examples in its own epochs.

    Args:
      classes: of each example, in the order of their numbers.
      seed: of the order.
    """
    names, found = np.unique(np.asarray(classes), return_inverse=True)
    members = [np.flatnonzero(found == number) for number in range(len(names))]
    turns = _permuted(len(names), seed, 0)
    within = [_permuted(len(cases), seed, i) for i, cases in enumerate(members, start=1)]

    def order(place: int) -> int:
        chosen = turns(place)
        return int(members[chosen][within[chosen](place // len(names))])

    return order


def like_sizes(
    order: Order, sizes: Sequence[int], run: int, *, seed: int, length: int | None = None
) -> Order:
    """`order` rearranged so that examples of one size class follow each other in runs of `run`.

    A batch whose size divides `run` has one class, but for the few runs in which two classes meet.
    Examples change places inside pools, each at most an epoch, so that they come as often as
    before. The runs of a pool are in shuffled order.

    Args:
      order: what is rearranged.
      sizes: size class of each example, by its number; neighbouring classes are alike.
      run: examples.
      seed: of the order of the runs.
      length: of the stream; None where it never ends.
    """
    sizes = np.asarray(sizes)
    pool = run * min(POOL_RUNS, max(1, len(sizes) // run))

    # A pool is arranged once for all its places; batches made ahead may stand in the next one.
    @functools.lru_cache(maxsize=3)
    def arranged(number: int) -> np.ndarray:
        places = range(number * pool, (number + 1) * pool)[: length and length - number * pool]
        numbers = np.array([order(place) for place in places])
        numbers = numbers[np.argsort(sizes[numbers], kind="stable")]
        whole = len(numbers) // run * run
        runs = np.random.default_rng([seed, number]).permutation(numbers[:whole].reshape(-1, run))
        return np.concatenate([runs.reshape(-1), numbers[whole:]])

    return lambda place: int(arranged(place // pool)[place % pool])


def stream_seed(seed: int) -> int:
    """What `shuffled` adds the epoch to: neighbouring seeds would share their orders."""
    return int(np.random.SeedSequence(seed).generate_state(1)[0])


def size_classes(needs: Sequence[Needs], buckets: Buckets) -> list[int]:
    """The shape that each prompt would have alone, as a number; neighbours differ least."""
    alone = {need: buckets.smallest([need]) for need in set(needs)}
    ranks = sorted(set(alone.values()), key=lambda shape: (shape.images, shape.windows, shape))
    numbers = {shape: number for number, shape in enumerate(ranks)}
    return [numbers[alone[need]] for need in needs]


def classes_of(records: RecordSet, pairs: Sequence[tuple[int, str]], balance: str) -> list[str]:
    """The class of each (record, task) pair: its diagnosis, or its attribute or column `balance`.

    Cases that have none, or several at once, are one class together.

    Raises InputError where no case has one, naming what there is.
    """
    cases = {number: records.case(number) for number, _ in pairs}
    classes = {number: _class_of(case, balance) for number, case in cases.items()}
    if not any(classes.values()):
        there = {name for case in cases.values() for name in {**case.attributes, **case.columns}}
        raise InputError(
            f"data.balance={balance!r}: no case has that; choose {CLASS} (the diagnosis) or one of "
            f"{', '.join(sorted(there)) or 'none: the cases have no attributes'}"
        )
    return [classes[number] for number, _ in pairs]


def _class_of(case: Case, balance: str) -> str:
    if balance == CLASS:
        return case.diagnosis
    value = case.attributes.get(balance, case.columns.get(balance))
    return str(value) if isinstance(value, str | int | float) else ""
