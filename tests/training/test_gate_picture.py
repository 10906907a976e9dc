"""The picture of the gates: every map and group is a cell, and its colour tells its value."""

import numpy as np

from skinflow_jax.training.gate_picture import gate_picture

GROUPS = 12
GREY, BLUE, ORANGE = (238, 238, 238), (0, 114, 178), (213, 94, 0)


def cell(picture, panel, row, group):
    """The colour in the middle of a cell; panels begin after 150 pixels and are 24 apart."""
    left = 150 + panel * (GROUPS * 14 + 24)
    return tuple(picture[34 + row * 14 + 6, left + group * 14 + 6].tolist())


def test_gates_above_and_below_identity_have_two_colours_and_the_largest_is_full():
    mean = np.ones(GROUPS)
    mean[[2, 5]] = 1.004, 0.996
    spread = np.zeros(GROUPS)
    spread[7] = 0.01
    picture = gate_picture({"block0/up": (mean, spread), "block0/down": (np.ones(GROUPS), spread)})
    assert cell(picture, 0, 0, 2) == BLUE and cell(picture, 0, 0, 5) == ORANGE
    assert cell(picture, 0, 0, 0) == cell(picture, 0, 1, 2) == GREY
    assert cell(picture, 1, 0, 7) == cell(picture, 1, 1, 7) == BLUE
    assert cell(picture, 1, 0, 2) == GREY


def test_gates_at_identity_are_all_grey():
    picture = gate_picture({"block0/up": (np.ones(GROUPS), np.zeros(GROUPS))})
    assert {cell(picture, panel, 0, g) for panel in (0, 1) for g in range(GROUPS)} == {GREY}
    assert picture.dtype == np.uint8 and picture.shape[-1] == 3
