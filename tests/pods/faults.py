"""A fault that only one process of a run meets, and that no check before the first step finds."""

import itertools


def long_target(first: int) -> None:
    """From its `first`-th on, the targets of process 1 are longer than any batch has room for."""
    import jax

    from skinflow_jax.data import pipeline

    original, calls = pipeline.target_text, itertools.count()

    def text(*arguments) -> str:
        longer = next(calls) >= first and jax.process_index() == 1
        return original(*arguments) * (50 if longer else 1)

    pipeline.target_text = text
