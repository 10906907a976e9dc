"""The Fourier transform made of matrix products is the library's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from skinflow_jax.models.dft import factors, irfft2


@pytest.mark.parametrize(
    ("outputs", "inputs"), [(6, 8), (7, 8), (6, 9), (5, 7), (1, 1), (2, 1), (96, 256), (342, 128)]
)
def test_it_inverts_like_numpy(outputs, inputs):
    # Not the transform of a real weight: training moves what its redundant entries hold, too.
    rng = np.random.default_rng(0)
    pairs = rng.normal(size=(2, 3, outputs, inputs // 2 + 1)).astype(np.float32)
    expected = np.fft.irfft2(pairs[0].astype(np.float64) + 1j * pairs[1], s=(outputs, inputs))
    found = irfft2(jnp.asarray(pairs), inputs)
    assert found.shape == (3, inputs, outputs)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(np.swapaxes(found, 1, 2), expected, atol=1e-6 * scale)


def test_the_lengths_of_the_7b_tower_split_into_small_factors():
    assert factors(3420) == (57, 60)
    assert factors(1280) == (32, 40)
    assert factors(13) == (1, 13)


def test_twelve_7b_weights_take_few_operations():
    spectrum = jax.ShapeDtypeStruct((2, 1, 3420, 641), jnp.float32)
    compiled = jax.jit(irfft2, static_argnums=1).lower(spectrum, 1280).compile()
    tower = 1347e9  # analytic, 1,024 patches
    assert 12 * compiled.cost_analysis()["flops"] < 0.04 * tower
