"""What a run is: facts that every checkpoint holds, compared before anything is written."""

import dataclasses
import functools
import hashlib
import importlib.metadata
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skinflow_jax.clinical import ontology
from skinflow_jax.config import RunConfig, to_dict
from skinflow_jax.errors import ConfigError, InputError
from skinflow_jax.runs.resume_rules import changes, check_changes, plain
from skinflow_jax.runs.workdir import SOURCE, TOKENIZER
from skinflow_jax.storage.paths import files_in
from skinflow_jax.typed_fields import from_dict

DATA = "data"
"""`--allow-changed=data` takes other cases or images for those that the run was made with."""


@dataclass(frozen=True)
class Origin:
    """The model that a run started from: a folder (None: random weights), its step, a fingerprint.

    `step` is None for a Hugging Face folder. `fingerprint` is of the model as it was read, before
    the config added to it: a conversion rounds, and not alike on every processor.
    """

    folder: str | None
    step: int | None
    fingerprint: str


@dataclass(frozen=True)
class RunFacts:
    """The fact sheet.

    Attributes:
      config: as run, of JSON types.
      code: version and digest of the program.
      tokenizer: SHA-256 by file name of the workdir's tokenizer folder.
      data: digest of cases and images, see `data.records.Manifest`.
      origin: what it started from.
      examples: how many the run has taken from the shuffled stream of its data.
      rewards: SHA-256 by path of the files whose functions it is rewarded by.
      source: the same of the files that it has of a Hugging Face folder.
      ontology: digest of the one that evaluates its answers; "" of an earlier version.
    """

    config: dict[str, Any]
    code: str
    tokenizer: dict[str, str]
    data: str
    origin: Origin
    examples: int = 0
    rewards: dict[str, str] = field(default_factory=dict)
    source: dict[str, str] = field(default_factory=dict)
    ontology: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Of JSON types, with algorithm and seed in front, for who looks."""
        chosen = {name: self.config[name] for name in ("algorithm", "seed")}
        return {**chosen, **dataclasses.asdict(self)}


def read_run_facts(stored: Mapping[str, Any], where: Path) -> RunFacts:
    """The facts in a checkpoint; raises InputError where it is of another version, or no run's."""
    names = {entry.name for entry in dataclasses.fields(RunFacts)}
    try:
        return from_dict(RunFacts, {k: v for k, v in stored.items() if k in names})
    except ConfigError as error:
        raise InputError(
            f"{where} does not say what its run was made of ({error}): it is an import, or of an "
            f"earlier version; start a new workdir from it with --config.model.init_from={where}"
        ) from error


def made_by(config: RunConfig, workdir: Path, data: str, origin: Origin) -> RunFacts:
    """The facts of a run that begins, whose tokenizer lies in `workdir` already."""
    return RunFacts(
        config=plain(to_dict(config)),
        code=code_version(),
        **inherited(workdir),
        data=data,
        origin=origin,
        rewards=_reward_files(config),
        ontology=ontology().digest,
    )


def check_config(
    facts: RunFacts, config: RunConfig, workdir: Path, allowed: Collection[str]
) -> list[str]:
    """What a resumed run has to say, a line each; raises ConfigError naming what is refused."""
    found = changes(facts.config, plain(to_dict(config)))
    allowed = [name for name in allowed if name != DATA]
    told = [f"resume: {change}" for change in check_changes(found, allowed, workdir)]
    for path, digest in _reward_files(config).items():
        if digest != facts.rewards.get(path, digest):
            told.append(f"resume: the rewards in {path} are not those of before")
    if facts.ontology not in ("", ontology().digest):
        told.append("resume: the ontology is not that of before")
    if facts.code != code_version():
        told.append(f"resume: the program was {facts.code}, it is {code_version()}")
    return told


def _reward_files(config: RunConfig) -> dict[str, str]:
    """SHA-256 by path; a file that is missing is named when its function is loaded."""
    if config.algorithm != "grpo":
        return {}
    paths = {entry.rpartition(":")[0] for entry in config.rl.rewards if ":" in entry}
    return {
        path: hashlib.sha256(Path(path).read_bytes()).hexdigest()
        for path in sorted(paths)
        if Path(path).is_file()
    }


def check_data(facts: RunFacts, digest: str, workdir: Path, allowed: Collection[str]) -> None:
    """Raise InputError where the cases or images are not those that the run was made with."""
    if facts.data != digest and DATA not in allowed:
        raise InputError(
            f"{workdir} was made with other cases or images (digest {facts.data}, now {digest}): "
            "restore the data, choose another workdir, or go on with these by --allow-changed=data"
        )


def inherited(workdir: Path) -> dict[str, dict[str, str]]:
    """Of what a run has from the model that it started from: see `RunFacts`."""
    return {name: file_digests(workdir / name) for name in (TOKENIZER, SOURCE)}


def check_inherited(facts: Mapping[str, Any], workdir: Path) -> None:
    """Raise InputError naming the file that is not as the weights know it.

    `facts`: with what `inherited` gave; a checkpoint of an earlier version may not have it.
    """
    for folder in (TOKENIZER, SOURCE):
        before = facts.get(folder)
        found = file_digests(workdir / folder)
        for name in sorted(before.keys() | found.keys()) if before is not None else ():
            if before.get(name) != found.get(name):
                state = "missing" if name not in found else "not the one that the weights speak"
                raise InputError(
                    f"{workdir / folder / name} is {state}: restore the file from a copy of the run"
                )


def file_digests(folder: Path) -> dict[str, str]:
    """SHA-256 by name of the files in a folder; empty where there is none."""
    files = sorted(path for path in files_in(folder) if path.parent == folder)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@functools.cache
def code_version() -> str:
    """Like "0.1.0+3f2a9c41": the release, and a digest of the package's files."""
    try:
        release = importlib.metadata.version("skinflow-jax")
    except importlib.metadata.PackageNotFoundError:
        release = "unknown"
    root, digest = Path(__file__).parents[1], hashlib.sha256()
    # Tables of the clinical room are part of the program.
    files = (path for form in ("*.py", "*.csv", "*.toml", "*.txt") for path in root.rglob(form))
    for path in sorted(files):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return f"{release}+{digest.hexdigest()[:8]}"
