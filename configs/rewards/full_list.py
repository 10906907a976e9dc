"""A reward function as a user writes one; `configs/debug_lora.py` names it."""

from skinflow_jax.clinical import parse_diagnoses


def full_list(completions, examples):
    """The share of six places that have a name of their own; captions are not scored."""
    return [
        len(set(parse_diagnoses(text).names or [])) / 6 if example.task == "diagnosis" else None
        for text, example in zip(completions, examples, strict=True)
    ]
