"""Groups cut the frequencies by distance, as evenly as conjugate pairs allow."""

import numpy as np
import pytest

from skinflow_jax.errors import ConfigError
from skinflow_jax.models.frequency_groups import frequency_groups, group_members


def whole_plane(found, inputs):
    """Groups of all coefficients of the full transform, those not stored by their conjugates."""
    outputs = found.shape[0]
    v = np.arange(inputs)
    stored = v <= inputs // 2
    u = np.arange(outputs)[:, None]
    return found[np.where(stored, u, -u % outputs), np.where(stored, v, inputs - v)]


SIZES = [(8, 8), (7, 6), (5, 9), (96, 256), (1280, 3420), (3420, 1280)]


@pytest.mark.parametrize(
    ("outputs", "inputs", "groups"),
    [(o, i, k) for o, i in SIZES for k in (1, 4, 64, 640) if k <= o * (i // 2 + 1)],
)
def test_conjugates_share_a_group_and_distance_never_falls(outputs, inputs, groups):
    found = frequency_groups(outputs, inputs, groups)
    plane = whole_plane(found, inputs)
    np.testing.assert_array_equal(plane, np.roll(plane[::-1, ::-1], (1, 1), axis=(0, 1)))
    u, v = np.fft.fftfreq(outputs)[:, None], np.fft.rfftfreq(inputs)
    radius = np.sqrt(u**2 + v**2)
    lowest = [radius[found == k].min(initial=np.inf) for k in range(groups)]
    highest = [radius[found == k].max(initial=0) for k in range(groups)]
    for k in range(groups - 1):
        assert highest[k] <= lowest[k + 1] + 1e-12
    assert found[0, 0] == 0 and found.dtype == np.int32
    # A conjugate may have changed groups, so sizes are even but for a few.
    sizes = np.bincount(found.ravel(), minlength=groups)
    expected = found.size / groups
    assert np.abs(sizes - expected).max() <= max(1, 2 * outputs**0.5) + 1


@pytest.mark.parametrize("groups", [0, 41])
def test_a_number_of_groups_that_cannot_be_is_refused(groups):
    with pytest.raises(ConfigError, match="must lie between 1 and 40"):
        frequency_groups(8, 8, groups)


@pytest.mark.parametrize(("outputs", "inputs", "groups"), [(6, 8, 5), (7, 9, 3), (4, 4, 12)])
def test_members_list_every_coefficient_once_under_its_group(outputs, inputs, groups):
    ids = frequency_groups(outputs, inputs, groups).ravel()
    members = group_members(outputs, inputs, groups)
    real = members < ids.size
    assert sorted(members[real]) == list(range(ids.size))
    assert (ids[members[real]] == np.nonzero(real)[0]).all()
