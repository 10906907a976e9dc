"""Fixtures shared by all tests."""

import os
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

# The shapes in signatures are checked while the tests run, nowhere else; only in modules that are
# always given JAX arrays, because that is what the annotations name.
install_import_hook(
    [
        "skinflow_jax.models.attention",
        "skinflow_jax.models.decoder",
        "skinflow_jax.models.layers",
        "skinflow_jax.models.vlm",
    ],
    "beartype.beartype",
)


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Real images, label tables and Qwen's tokenizer; never part of the project."""
    folder = os.environ.get("SKINFLOW_TEST_DATA")
    if not folder:
        pytest.skip("SKINFLOW_TEST_DATA is not set: it names the folder with the real test data")
    path = Path(folder)
    assert path.is_dir(), f"SKINFLOW_TEST_DATA={folder} is not a folder"
    return path
