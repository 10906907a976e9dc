"""The features of cases by the vision tower, batch by batch."""

import itertools
from collections.abc import Iterable

import numpy as np
from jaxtyping import Float

from skinflow_jax.data.pipeline import Batch
from skinflow_jax.models.image_features import image_features
from skinflow_jax.models.vlm import ComputeConfig, Vlm
from skinflow_jax.parallel import local_rows, place_batch
from skinflow_jax.parallel.agreement import agreed, gather
from skinflow_jax.parallel.peers import moved


def case_features(
    model: Vlm, batches: Iterable[Batch], *, compute: ComputeConfig, mesh=None
) -> dict[str, Float[np.ndarray, " D"]]:
    """`image_features` of every case of `batches` (see `evaluation_batches`) by its id, in order.

    Of several processes each has its own rows of a batch; all get the cases of all.
    """
    found = {}
    for batch in agreed(iter(batches)):
        features = local_rows(image_features(model, place_batch(batch.inputs, mesh), compute))
        own = [(batch.examples[row].case_id, features[row]) for row in range(batch.valid)]
        found |= dict(itertools.chain.from_iterable(gather(own)))
        moved()
    return found
