"""`skinflow evaluate --robustness`: the same held-out cases under degraded images."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np

from skinflow_jax.command.standard_output import Console
from skinflow_jax.config import DataConfig, RunConfig
from skinflow_jax.data.degradation import (
    CLUTTER,
    CLUTTERS,
    DEGRADATIONS,
    with_clutter,
    with_degradation,
)
from skinflow_jax.data.records import RecordSet
from skinflow_jax.data.sources import ProceduralSource
from skinflow_jax.data.tasks import PAPERS
from skinflow_jax.errors import ConfigError, RunError, printable
from skinflow_jax.evaluation.predictions import Prediction
from skinflow_jax.evaluation.protocol import predict
from skinflow_jax.evaluation.robustness import Condition, Robustness, robustness
from skinflow_jax.runs.cases import open_cases
from skinflow_jax.runs.opening import Policy
from skinflow_jax.storage.paths import make_folder, reaching
from skinflow_jax.training.progress import track
from skinflow_jax.typed_fields import shown

FILE = "robustness.json"


@dataclass(frozen=True)
class Robust:
    """What is asked for: names of degradations, () for all that the data can have; `cases`."""

    names: tuple[str, ...] = ()
    cases: int = 100

    @classmethod
    def asked(cls, names: tuple[str, ...] | None, cases: int | None) -> "Robust | None":
        """What the command line asks for; None of `names`: nothing."""
        if names is None and cases is not None:
            raise ConfigError("--robustness-cases goes with --robustness: add it, or drop both")
        return None if names is None else cls(names, cases or cls.cases)

    def check(self, config: RunConfig) -> None:
        """Raise ConfigError for a name that is none, clutter of what is not drawn, no answers."""
        self.conditions(config.data)
        if not _tasks(config):
            raise ConfigError(
                "--robustness is of captions and diagnoses: evaluation.tasks="
                f"{','.join(config.evaluation.tasks)} asks for neither"
            )

    def conditions(self, data: DataConfig) -> list[Condition]:
        """Every level of every degradation that is asked for."""
        drawn = data.source == "procedural"
        for name in self.names:
            if name != CLUTTER and name not in DEGRADATIONS:
                raise ConfigError(
                    f"--robustness={shown(name)} is unknown: choose of "
                    f"{', '.join((CLUTTER, *DEGRADATIONS))}"
                )
        if CLUTTER in self.names and not drawn:
            raise ConfigError(
                f"--robustness={CLUTTER} needs drawn cases: those of data.source={data.source} "
                f"cannot be drawn again; choose of {', '.join(DEGRADATIONS)}"
            )
        found = [
            Condition(name, level, setting, degradation.unit)
            for name, degradation in DEGRADATIONS.items()
            if not self.names or name in self.names
            for level, setting in enumerate(degradation.settings, 1)
        ]
        if drawn and (not self.names or CLUTTER in self.names):
            found = _clutter(data, asked=bool(self.names)) + found
        return found


def _tasks(config: RunConfig) -> list[str]:
    """What is asked, and has a figure here."""
    return [task for task in config.evaluation.tasks if task in PAPERS]


def _clutter(data: DataConfig, *, asked: bool) -> list[Condition]:
    """Levels above the clutter that the cases have."""
    own = data.options.get("clutter", 0.0)
    more = [setting for setting in CLUTTERS if setting > own]
    if asked and not more:
        raise ConfigError(
            f"--robustness={CLUTTER}: the cases have data.options.clutter={own:g} already, and "
            "there is no more: leave it out"
        )
    unit = f"of 0 to 1; the cases have {own:g}"
    return [Condition(CLUTTER, level, setting, unit) for level, setting in enumerate(more, 1)]


def degraded_records(records: RecordSet, condition: Condition, config: RunConfig) -> RecordSet:
    """The held-out `records` under a condition."""
    data, wanted = config.data, config.evaluation
    if condition.name != CLUTTER:
        return with_degradation(records, condition.name, condition.level)
    source = open_cases(data, wanted.split, wanted.count, records.folder)
    assert isinstance(source, ProceduralSource)
    budget = {"min_pixels": data.min_pixels, "max_pixels": data.max_pixels}
    return with_clutter(records, source, condition.setting, **budget)


def evaluate_robustness(
    policy: Policy,
    config: RunConfig,
    records: RecordSet,
    batches_of: Callable,
    out: Path,
    asked: Robust,
    mesh=None,
) -> Robustness:
    """Evaluate some of the held-out `records` under every condition; writes and prints the table.

    `batches_of(records)` gives `evaluation_batches` of them but for the task; `mesh` is in use.
    """
    drawn = np.random.default_rng(0).permutation(len(records))[: asked.cases]
    chosen = records.select(sorted(drawn.tolist()))
    conditions = asked.conditions(config.data)

    def answers(shown: RecordSet) -> list[Prediction]:
        batches, found = batches_of(records=shown), []
        for task in _tasks(config):
            found += predict(
                policy.model,
                batches(task=task),
                policy.tokenizer,
                max_tokens=config.data.completion_length,
                compute=config.model.compute,
                mesh=mesh,
                lists=config.lists,
            )
        return found

    own = answers(chosen)
    under = {
        condition: answers(degraded_records(chosen, condition, config))
        for condition in track(conditions, "degraded images", unit="levels")
    }
    found = robustness(own, under, of=len(records))
    if jax.process_index() == 0:
        with reaching(out, RunError):
            make_folder(out)
            told = json.dumps(found.to_dict(), indent=1, allow_nan=False)
            (out / FILE).write_text(told, encoding="utf-8")
    Console().print(found.table())
    print(printable(f"written: {out / FILE}"))
    return found
