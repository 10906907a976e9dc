"""Which frequency group each coefficient of a linear map's spectrum belongs to.

The spectrum of a weight `[outputs, inputs]` is its real 2-D FFT `[outputs, inputs // 2 + 1]`: the
real axis runs over inputs, v, the full one over outputs, u. Source: `FDLinear.py` of the paper's
co-author (Linwei-Chen/FDConv); that SkinFlow uses it is an inference.
"""

import functools

import numpy as np

from skinflow_jax.errors import ConfigError


@functools.lru_cache(maxsize=32)
def frequency_groups(outputs: int, inputs: int, groups: int) -> np.ndarray:
    """Group of each coefficient, int32 `[outputs, inputs // 2 + 1]`: 0 for the lowest frequencies.

    Coefficients are ranked by their distance from frequency zero (ties by |u|, then v) and cut
    into `groups` runs whose sizes differ by at most one; then a coefficient and its complex
    conjugate get one group, that of the first-ranked. Without the latter the bases that the groups
    stand for would be neither real nor orthogonal.

    Raises ConfigError when there are more groups than coefficients.
    """
    columns = inputs // 2 + 1
    count = outputs * columns
    if not 1 <= groups <= count:
        raise ConfigError(
            f"dve.groups={groups} must lie between 1 and {count:,}, the frequency coefficients of "
            f"a {outputs} x {inputs} weight"
        )
    u, v = np.fft.fftfreq(outputs)[:, None], np.fft.rfftfreq(inputs)[None]
    radius = np.sqrt(u**2 + v**2)
    keys = (np.broadcast_to(key, radius.shape).ravel() for key in (v, np.abs(u), radius))
    rank = np.empty(count, np.int64)
    rank[np.lexsort(tuple(keys))] = np.arange(count)  # the last key is the first to decide
    found = (rank * groups // count).astype(np.int32).reshape(outputs, columns)
    # Columns whose conjugates lie in the column itself; elsewhere they are not stored.
    own_conjugate = [0, inputs // 2] if inputs % 2 == 0 else [0]
    upper = np.arange(1, (outputs + 1) // 2)
    for column in own_conjugate:
        found[-upper, column] = found[upper, column]
    found.flags.writeable = False
    return found


@functools.lru_cache(maxsize=32)
def group_members(outputs: int, inputs: int, groups: int) -> np.ndarray:
    """The coefficients of each group, int32 `[groups, most]`, as indices into a flattened spectrum.

    A group with fewer than `most` is padded with `outputs * (inputs // 2 + 1)`, past the end.
    """
    ids = frequency_groups(outputs, inputs, groups).ravel()
    sizes = np.bincount(ids, minlength=groups)
    order = np.argsort(ids, kind="stable")
    place = np.arange(ids.size) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    found = np.full((groups, sizes.max()), ids.size, np.int32)
    found[ids[order], place] = order
    found.flags.writeable = False
    return found
