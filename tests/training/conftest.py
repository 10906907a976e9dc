"""Runs of a small model that tests of one module share."""

import functools

import pytest
from random_model import SHALLOW

from skinflow_jax.models.config import SIZES
from skinflow_jax.runs import train as runs_train


@pytest.fixture(scope="module")
def shallow():
    """`tiny` is a model that compiles quickly, and runs of one config share the compiled step."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SIZES, "tiny", SHALLOW)
        # The same object for the same settings, by which a step is known.
        patch.setattr(runs_train, "make_optimizer", functools.cache(runs_train.make_optimizer))
        yield


@pytest.fixture(scope="module")
def run(request, shallow, tmp_path_factory):
    """(policy, workdir) of the module's CONFIG."""
    folder = tmp_path_factory.mktemp("run")
    return runs_train.train(request.module.CONFIG, folder), folder
