"""A reward for tests of whole runs: groups differ, and some do not."""


def early_letter(completions, examples):
    """Whether an answer begins with a letter of the first third."""
    return [float(text[:1] < "h") for text in completions]
