"""A robustness.json of synthetic answers: as they are, and ever worse under two degradations."""

from synthetic_answers import captions, diagnoses

from skinflow_jax.evaluation.robustness import Condition, robustness

CONDITIONS = [
    *(Condition("blur", level, 2.0**level, "sigma in %") for level in (1, 2, 3)),
    *(Condition("darker", level, -float(level), "stops of exposure") for level in (1, 2)),
]


def told(count=20, task="diagnosis"):
    """What robustness.json holds, over `count` cases."""
    answers = {"diagnosis": diagnoses, "caption": lambda count, shift=0: captions(count)}[task]
    under = {each: answers(count, shift=each.level) for each in CONDITIONS}
    return robustness(answers(count), under, of=3 * count).to_dict()
