"""A gates.json of made-up gates: group 2 of block 1's "up" listens to melanoma's partition."""

import numpy as np
from synthetic_answers import diagnoses

from skinflow_jax.evaluation.gates import ImageGates, summarise_gates

MAPS = ((1, "up"), (3, "down"))
GROUPS = 4


def told(count=40):
    """What gates.json holds."""
    rng, found, answers = np.random.default_rng(0), [], diagnoses(count)
    for answer in answers:
        gates = {each: 1 + 0.001 * rng.standard_normal(GROUPS) for each in MAPS}
        gates[1, "up"][2] += 0.1 * (answer.reference == "melanoma")
        found.append(ImageGates(answer.case_id, gates))
    return summarise_gates(found, answers, of=3 * count).to_dict()
