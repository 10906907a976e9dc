"""Fixtures shared by all tests."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Real images, label tables and Qwen's tokenizer; never part of the project."""
    folder = os.environ.get("SKINFLOW_TEST_DATA")
    if not folder:
        pytest.skip("SKINFLOW_TEST_DATA is not set: it names the folder with the real test data")
    path = Path(folder)
    assert path.is_dir(), f"SKINFLOW_TEST_DATA={folder} is not a folder"
    return path
