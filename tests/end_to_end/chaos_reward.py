"""A reward that a random model earns: the clinical ones give it nothing to learn from."""


def letters(completions, examples):
    return [sum(map(ord, text)) % 7 / 7 for text in completions]
