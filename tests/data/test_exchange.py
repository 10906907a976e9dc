"""Claims about cases that are shown the images of others."""

from types import MappingProxyType

import numpy as np
import pytest

from skinflow_jax.data.exchange import exchanged
from skinflow_jax.data.record_set import Record
from skinflow_jax.data.sources.case import Case


class Records(list):
    """Records in memory."""

    def case(self, index):
        return self[index].case


def records(*rows, caption=MappingProxyType({"colour": "red"})):
    """Of (group, shapes of the images)."""
    return Records(
        Record(
            Case(case_id=str(n), group=group, caption=caption, diagnosis="acne"),
            tuple(np.full((*shape, 3), n, np.uint8) for shape in shapes),
        )
        for n, (group, shapes) in enumerate(rows)
    )


SMALL, LARGE = (28, 28), (56, 28)


def test_each_case_gets_the_images_of_one_other_and_gives_its_own_once():
    found = exchanged(records(*[(str(n), [SMALL]) for n in range(20)]), 100, "diagnosis")
    assert set(found) == set(found.values()) == set(range(20))
    assert all(case != other for case, other in found.items())


def test_only_so_many_cases_are_drawn_and_always_the_same():
    cases = records(*[(str(n), [SMALL]) for n in range(50)])
    found = exchanged(cases, 10, "caption")
    assert len(found) == 10 and found == exchanged(cases, 10, "caption")
    assert set(found) != set(range(10))


def test_nobody_is_shown_an_image_of_the_same_patient_or_of_another_number():
    cases = records(("a", [SMALL]), ("a", [SMALL]), ("b", [SMALL] * 2), ("c", [SMALL] * 2))
    assert exchanged(cases, 100, "diagnosis") in ({2: 3, 3: 2},)


@pytest.mark.parametrize(("task", "count"), [("diagnosis", 4), ("question", 2)])
def test_where_prompts_differ_only_images_of_one_size_are_exchanged(task, count):
    cases = records(("a", [SMALL]), ("b", [SMALL]), ("c", [LARGE]), ("d", [(28, 56)]))
    assert len(exchanged(cases, 100, task)) == count


def test_one_case_has_no_partner():
    assert exchanged(records(("a", [SMALL])), 100, "diagnosis") == {}


def test_captions_are_asked_again_only_where_one_is_known():
    cases = records(*[(str(n), [SMALL]) for n in range(9)], caption={})
    assert exchanged(cases, 100, "caption") == {} and len(exchanged(cases, 100, "diagnosis")) == 9
