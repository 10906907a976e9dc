"""Cases shown the images of others: what a model that does not look answers just as well."""

import itertools
from collections import defaultdict
from collections.abc import Hashable

import numpy as np

from skinflow_jax.data.record_set import RecordSet
from skinflow_jax.data.tasks import PAPERS


def drawn(records: RecordSet, most: int, task: str) -> list[int]:
    """Numbers of `most` cases, drawn; the same records give the same ones, and more the same first.

    Of captions only cases whose caption is known: others are not scored.
    """
    order = np.random.default_rng(0).permutation(len(records)).tolist()
    known = (number for number in order if task != "caption" or records.case(number).caption)
    return list(itertools.islice(known, most))


def exchanged(records: RecordSet, most: int, task: str) -> dict[int, int]:
    """Number of a case → number of the case whose images it is shown; `most` cases, `drawn`.

    Cases pass their images round, among those with as many images; where a prompt is the row's own
    and may fill its bucket, among those of one size. Who would be shown an image of the same
    patient or lesion, or has no partner, is left out. The same records give the same exchange.
    """
    alike: dict[Hashable, list[int]] = defaultdict(list)
    for number in drawn(records, most, task):
        images = records[number].images
        key = len(images) if task in PAPERS else tuple(image.shape for image in images)
        alike[key].append(number)
    pairs = [
        pair
        for numbers in alike.values()
        for pair in zip(numbers, [*numbers[1:], numbers[0]], strict=True)
    ]
    return {case: other for case, other in pairs if _apart(records, case, other)}


def _apart(records: RecordSet, case: int, other: int) -> bool:
    group, others = records.case(case).group, records.case(other).group
    return case != other and (not group or group != others)
