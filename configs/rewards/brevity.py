"""A reward function as a user writes one; `configs/debug_lora.py` names it."""


def brevity(completions, examples):
    """1 for an empty completion, 0 for 400 characters or more; captions are not judged."""
    return [
        max(0.0, 1 - len(text) / 400) if example.task == "diagnosis" else None
        for text, example in zip(completions, examples, strict=True)
    ]
