"""Where a policy looks on held-out cases, with the images of others and with random weights."""

import functools
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import jax

from skinflow_jax.config import RunConfig
from skinflow_jax.data.exchange import drawn, exchanged
from skinflow_jax.data.pipeline import Batch
from skinflow_jax.data.records import RecordSet
from skinflow_jax.errors import ConfigError, RunError
from skinflow_jax.evaluation.attention_files import FILE, write_attention
from skinflow_jax.evaluation.attention_maps import attention_of, first_diagnoses
from skinflow_jax.evaluation.attention_summary import AttentionSummary, summarise_attention
from skinflow_jax.evaluation.predictions import Prediction
from skinflow_jax.models.vlm import init_model
from skinflow_jax.runs.opening import Policy
from skinflow_jax.storage.paths import reaching

TASK = "diagnosis"


def check_attention(config: RunConfig, cases: int) -> None:
    """Raise ConfigError where `cases` are to be looked at and no diagnosis is asked for."""
    if cases and TASK not in config.evaluation.tasks:
        raise ConfigError(
            "--attention looks at diagnoses, and evaluation.tasks has none: add --config."
            f"evaluation.tasks={','.join((*config.evaluation.tasks, TASK))}"
        )


def evaluate_attention(
    policy: Policy,
    config: RunConfig,
    records: RecordSet,
    batches: Callable[..., Iterator[Batch]],
    diagnoses: Sequence[Prediction],
    out: Path,
    *,
    cases: int,
    mesh=None,
) -> AttentionSummary:
    """Look at `cases` of the held-out records, drawn; writes attention.json and attention.npz.

    `batches`: `evaluation_batches` of the records, without task and images. `diagnoses`: the
    answers whose first names are looked at; the controls are given the same ones. On the mesh in
    use.
    """
    look = functools.partial(
        attention_of,
        answers=first_diagnoses(diagnoses, policy.tokenizer),
        compute=config.model.compute,
        mesh=mesh,
    )
    own = {number: number for number in drawn(records, cases, TASK)}
    others = exchanged(records, cases, TASK)
    found = look(policy.model, batches(task=TASK, images_of=own))
    controls = {"images exchanged": look(policy.model, batches(task=TASK, images_of=others))}
    sizes, dtype = policy.model.config, str(policy.model.decoder.embedding[...].dtype)
    random = init_model(sizes, config.seed, mesh, dtype)
    controls["random weights"] = look(random, batches(task=TASK, images_of=own))
    summary = summarise_attention(found, controls)
    if jax.process_index() == 0:
        with reaching(out, RunError):
            write_attention(found, out / FILE)
            told = json.dumps(summary.to_dict(), indent=1, allow_nan=False)
            (out / "attention.json").write_text(told, encoding="utf-8")
    return summary
