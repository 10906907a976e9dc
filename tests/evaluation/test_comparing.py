"""Claims about two evaluations side by side: joined by case, only on what both have."""

import dataclasses

import pytest
from test_summary import captioned, diagnosed

from skinflow_jax.errors import InputError
from skinflow_jax.evaluation.comparing import common, compared, comparisons

ROWS = [diagnosed(str(n), "melanoma", 1 if n % 2 else None) for n in range(6)]


def test_cases_are_joined_by_task_and_id_whatever_their_order():
    better = [dataclasses.replace(p, rank=1) for p in reversed(ROWS)]
    top1 = comparisons(["a", "b"], [ROWS, better])[1]
    assert (top1.difference.mean, top1.difference.n, top1.difference.gained) == (0.5, 6, 3)


def test_only_common_cases_are_compared_and_the_others_counted():
    caption = captioned("0", 0.5)
    found = common([*ROWS, caption], [*ROWS[2:], diagnosed("new", "acne", 1)])
    assert len(found.pairs) == 4 and found.alone == (3, 1)
    assert [c.difference.n for c in compared("x", found.pairs)[:2]] == [0, 4]


def test_a_case_with_another_reference_is_no_common_one():
    other = [dataclasses.replace(p, reference="acne") for p in ROWS[:2]] + ROWS[2:]
    found = common(ROWS, other)
    assert (len(found.pairs), found.changed, found.alone) == (4, 2, (0, 0))


def test_a_case_that_is_there_twice_is_refused():
    with pytest.raises(InputError, match="the diagnosis of case 1 is there 2 times"):
        common(ROWS, [*ROWS, ROWS[1]])
