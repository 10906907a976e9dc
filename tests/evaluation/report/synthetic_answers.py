"""Synthetic answers to cases that nobody has, of every kind that a report tells apart."""

import itertools
import json

import numpy as np

from skinflow_jax.data.pipeline import Example
from skinflow_jax.evaluation.answers import evaluate_answer
from skinflow_jax.evaluation.report.evaluations import Evaluation, join

TRUTHS = ("melanoma", "psoriasis", "tinea corporis", "melanocytic naevus", "herpes zoster")
LISTS = (
    ["melanoma", "psoriasis", "tinea corporis"],
    ["melanocytic naevus", "melanoma", "vitiligo"],
    ["psoriasis", "lichen planus", "eczema", "tinea corporis", "herpes zoster", "scabies"],
    ["xyz"],
    None,
)
KNOWN = {"colour": "red", "shape": "round"}

HOSTILE = (
    "<script>window.hacked = 1</script>",
    '"><img src=x onerror="window.hacked = 1">',
    "</style></script><svg onload='window.hacked = 1'>",
    "\u202eright to left\u2066",
    "half \ud800 pair, NUL \x00, bell \x07",
    "{{ 7 * 7 }}{% include 'style.css' %}",
    "javascript:window.hacked=1 &lt; &amp;",
)


def diagnosis(case_id, names, truth, skin_type=None, **attributes):
    """The evaluated list of `names`, a refused text where it is None or a str."""
    text = names if isinstance(names, str) else json.dumps({"diagnoses": names})
    return evaluated(case_id, "diagnosis", "no JSON" if names is None else text, truth, skin_type)


def evaluated(case_id, task, text, truth, skin_type=None):
    facts = {} if skin_type is None else {"fitzpatrick": skin_type}
    image = (np.zeros((1, 1, 3), np.uint8),)
    return evaluate_answer(text, Example(case_id, task, dict(KNOWN), truth, facts, image))


def diagnoses(count, shift=0):
    """`count` diagnoses; each kind of list meets each truth."""
    pairs = itertools.cycle(itertools.product(LISTS, TRUTHS))
    chosen = itertools.islice(pairs, shift, shift + count)
    truths = itertools.cycle(TRUTHS)
    return [
        diagnosis(f"case-{i}", names, truth, skin_type=i % 6 + 1)
        for i, ((names, _), truth) in enumerate(zip(chosen, truths, strict=False))
    ]


def captions(count):
    """`count` captions, every second of which is right."""
    texts = itertools.cycle([json.dumps(KNOWN), '{"colour": "brown", "shape": "round"}'])
    return [evaluated(f"case-{i}", "caption", next(texts), "melanoma") for i in range(count)]


def evaluation(predictions, name="run", folder=None, **more):
    """As it is read from a folder."""
    return Evaluation(name, folder or name, tuple(predictions), **more)


def joined(*predictions, **more):
    """Evaluations named "run 0", "run 1", …"""
    return join([evaluation(p, f"run {i}", **more) for i, p in enumerate(predictions)])
