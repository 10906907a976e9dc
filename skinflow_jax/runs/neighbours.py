"""`skinflow evaluate --neighbours`: which labelled cases, and by whose tower."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from skinflow_jax.config import RunConfig
from skinflow_jax.data.checks import usable_pairs
from skinflow_jax.data.pipeline import Batch
from skinflow_jax.data.records import RecordSet
from skinflow_jax.errors import ConfigError
from skinflow_jax.evaluation.case_features import case_features
from skinflow_jax.evaluation.neighbours import Neighbours, neighbours_of
from skinflow_jax.parallel.agreement import check_same
from skinflow_jax.runs.cases import buckets, prepare_records
from skinflow_jax.runs.opening import Policy
from skinflow_jax.training.progress import track

TASK = "diagnosis"


def check_neighbours(config: RunConfig) -> None:
    """Raise ConfigError where neighbours are asked for of no diagnoses or of the training cases."""
    if not config.evaluation.neighbours:
        return
    if TASK not in config.evaluation.tasks:
        raise ConfigError(
            "evaluation.neighbours is of diagnoses, and evaluation.tasks has none: add --config."
            f"evaluation.tasks={','.join((*config.evaluation.tasks, TASK))}"
        )
    if config.evaluation.split == config.data.split:
        raise ConfigError(
            f"evaluation.neighbours: the evaluated cases are those of data.split="
            f"{config.data.split}, so each is its own neighbour; choose another evaluation.split"
        )


def labelled_cases(config: RunConfig, records_folder: Path) -> RecordSet | None:
    """The training cases that have a diagnosis, `evaluation.neighbours` of them at most, drawn.

    Of drawings no more are made than are looked at. None where none are asked for.
    """
    data, most = config.data, config.evaluation.neighbours
    if not most:
        return None
    count = data.count
    if data.source == "procedural":
        count = most if count is None else min(most, count)
    training = prepare_records(data, data.split, count, records_folder)
    order = np.random.default_rng(0).permutation(len(training)).tolist()
    chosen = sorted([n for n in order if training.case(n).diagnosis][:most])
    check_same("labelled cases", training.digest)
    return training.select(chosen)


def find_neighbours(
    policy: Policy,
    config: RunConfig,
    heldout: RecordSet,
    labelled: RecordSet,
    batches_of: Callable[..., Callable[..., Iterator[Batch]]],
    mesh=None,
) -> Neighbours:
    """The nearest of the `labelled` cases to every held-out one; says how far it is.

    `batches_of(records=…)` gives `evaluation_batches` but for the task; `mesh` is in use.
    """
    if not len(labelled):
        return Neighbours(0, {}, f"since no case of data.split={config.data.split} has a diagnosis")
    usable = usable_pairs(
        *(labelled, policy.tokenizer, policy.model.config),
        tasks=(TASK,),
        buckets=buckets(config.data, labelled),
        seed=config.data.seed,
        targets=False,
    )
    if usable.dropped:
        print(f"nearest neighbour: {usable.summary()}")
    labelled = labelled.select([number for number, _ in usable.pairs])

    def features(records: RecordSet, said: str):
        batches = batches_of(records=records)(task=TASK)
        total = math.ceil(len(records) / config.evaluation.batch_size)
        return case_features(
            policy.model,
            track(batches, f"features of {said} cases", total, unit="batches"),
            compute=config.model.compute,
            mesh=mesh,
        )

    cases = map(labelled.case, range(len(labelled)))
    labels = {case.case_id: case.diagnosis for case in cases}
    return neighbours_of(features(heldout, "held-out"), features(labelled, "labelled"), labels)
