"""A reward that only the first diagnosis earns; `configs/ham10000/stage2.py` names it."""

from skinflow_jax.clinical.rewards import first_accepted


def first_place(completions, examples):
    """1 where the first diagnosis is accepted, else 0; captions are not scored."""
    return [
        float(first_accepted(text, example.diagnosis) == 1) if example.task == "diagnosis" else None
        for text, example in zip(completions, examples, strict=True)
    ]
