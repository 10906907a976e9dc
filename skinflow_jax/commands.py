"""What each command does: it calls one room with what `command.line` made of its arguments.

Imports of the rooms wait until a command runs, so that `--help` answers at once.
"""

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from skinflow_jax.config_files.shipped import config_file
from skinflow_jax.errors import (
    ConfigError,
    InputError,
    Interrupted,
    StartAgain,
    Terminated,
    printable,
)
from skinflow_jax.storage.paths import is_bucket, storage_path


def _demo(arguments) -> None:
    from skinflow_jax.runs.demo import run_demo

    try:
        run_demo(
            arguments.workdir,
            source=arguments.source,
            data_root=arguments.data_root,
            seed=arguments.seed,
        )
    except StartAgain as error:  # a demo begins anew, it has nothing to go on from
        signal = str(error).partition(":")[0]
        raise Terminated(f"{signal}: ended; the demo starts from the beginning") from error
    except KeyboardInterrupt as error:
        raise Interrupted("interrupted; the demo starts from the beginning") from error


def _config(arguments):
    from skinflow_jax.config import load_config

    return load_config(arguments.config, arguments.overrides)


def _data_build(arguments) -> None:
    config = _config(arguments)
    from skinflow_jax.data.splitting.files import summary
    from skinflow_jax.runs.cases import build_whole, prepare_records, split_cases, use_ontology

    use_ontology(config)
    data = config.data
    if data.source == "procedural":
        records = prepare_records(data, data.split, data.count, arguments.out)
    else:
        records = build_whole(data, arguments.out)
    if not records.manifest.has_news:  # else it has been printed
        print(records.manifest.summary())
    if data.source != "procedural":
        print(summary(*split_cases(records, data)))
    print(printable(f"written: {records.folder}"))


def _data_inspect(arguments) -> None:
    from skinflow_jax.runs.inspect_records import inspect_records

    inspect_records(arguments.records, arguments.out)


def _data_verify(arguments) -> None:
    from skinflow_jax.data.verification import verify_records
    from skinflow_jax.training.progress import track_counts

    with track_counts("records") as progress:
        records = verify_records(arguments.records, progress)
    print(printable(f"{arguments.records}: {len(records):,} records as they were built"))


def _data_export(arguments) -> None:
    from skinflow_jax.data.record_set import RecordSet
    from skinflow_jax.data.row_forms import export_rows

    records = RecordSet(arguments.records)
    count, left_out = export_rows(records, arguments.out, form=arguments.form, task=arguments.task)
    first = f"; {len(left_out):,} left out, the first: {left_out[0]}" if left_out else ""
    print(printable(f"written: {arguments.out}/rows.jsonl, {count:,} rows{first}"))
    if records.manifest.note:
        print(printable(f"of {records.manifest.note}: its licence holds for the rows too"))


def _data_caption(arguments) -> None:
    from skinflow_jax.data.captioning.records import caption_records
    from skinflow_jax.data.record_set import RecordSet
    from skinflow_jax.training.progress import track_counts

    records = RecordSet(arguments.records)
    with _what_is_done_is_kept(), track_counts("captions", unit="cases") as progress:
        report = caption_records(
            records,
            arguments.out,
            reader=arguments.reader,
            schema=arguments.schema,
            within=arguments.within,
            review=arguments.review,
            progress=progress,
            **_endpoint(arguments),
        )
    print(report.summary())
    print(printable(f"written: {arguments.out}"))


def _llm_judge(arguments) -> None:
    from skinflow_jax.command.standard_output import Console
    from skinflow_jax.evaluation.llm_judge import run_llm_judge
    from skinflow_jax.training.progress import track_counts

    files, votes = (arguments.predictions, arguments.out), arguments.votes
    with _what_is_done_is_kept(), track_counts("verdicts", unit="cases") as progress:
        report = run_llm_judge(*files, votes=votes, progress=progress, **_endpoint(arguments))
    Console().print(report.table())
    print("\n".join(report.lines()))
    print(printable(f"written: {arguments.out}"))
    report.check()


def _endpoint(arguments) -> dict[str, Any]:
    """What the commands that ask an endpoint have in common."""
    from skinflow_jax.endpoint.client import Patience
    from skinflow_jax.endpoint.journal import Budget

    return {
        "base_url": arguments.base_url,
        "model": arguments.model,
        "key_variable": arguments.key_variable,
        "concurrency": arguments.concurrency,
        "budget": Budget(arguments.max_calls, arguments.max_tokens),
        "patience": Patience(arguments.timeout, per_minute=arguments.requests_per_minute),
    }


def _train(arguments) -> None:
    config = _config(arguments)
    from skinflow_jax.runs.train import train

    _check_start(config.model.init_from, arguments.config)
    train(
        config,
        arguments.workdir,
        resume=arguments.resume,
        records_folder=arguments.records,
        step=arguments.step,
        allow_changed=arguments.allow_changed,
        grace=arguments.grace,
        only_run=True,
    )
    written = printable(str(arguments.workdir))
    print(f"written: {written}; next: skinflow evaluate --checkpoint={written}")


def _check_start(init_from: str | None, config: Path | None) -> None:
    """Raise InputError before the images are read where there is no model to start from."""
    if init_from is None:
        return
    from skinflow_jax.runs.opening import check_checkpoint

    start = storage_path(init_from)
    # Our configs start from the workdir that is named after the config that makes it.
    maker = config and config.with_name(f"{start.name}{config.suffix}")
    if maker and config_file(maker).is_file() and not is_bucket(start) and not start.exists():
        raise InputError(
            f"model.init_from={init_from} does not exist; make it first: "
            f"skinflow train --config={maker} --workdir={init_from}"
        )
    check_checkpoint(start)


def _evaluate(arguments) -> None:
    if not arguments.checkpoint:
        from skinflow_jax.runs.evaluate_answers import evaluate_files

        names = ("predictions", "references", "compare", "out", "answers", "missing")
        evaluate_files(**{name: getattr(arguments, name) for name in names})
        return
    from skinflow_jax.runs.evaluate import evaluate, stored_evaluation
    from skinflow_jax.runs.opening import check_checkpoint
    from skinflow_jax.runs.robustness import Robust

    check_checkpoint(arguments.checkpoint)
    if arguments.config is None:
        config = stored_evaluation(arguments.checkpoint, arguments.overrides)
    else:
        config = _config(arguments)
    evaluate(
        config,
        arguments.checkpoint,
        arguments.out,
        arguments.records,
        arguments.dtype,
        robustness=Robust.asked(arguments.robustness, arguments.robustness_cases),
        attention=arguments.attention or 0,
        neighbours=arguments.neighbours,
    )


def _report(arguments) -> None:
    from skinflow_jax.runs.report import write_report

    write_report(arguments.evaluation, arguments.out, arguments.images, arguments.records)


def _generate(arguments) -> None:
    import jax

    from skinflow_jax.data.images import load_image
    from skinflow_jax.evaluation.generate import generation_mesh, print_answers
    from skinflow_jax.models.vlm import ComputeConfig
    from skinflow_jax.runs.opening import (
        open_checkpoint,
        stored_schema,
        stored_sizes,
        use_stored_ontology,
    )

    use_stored_ontology(arguments.checkpoint)
    images = {str(path): [load_image(path)] for path in arguments.image}
    if arguments.one_case:
        images = {", ".join(images): list(itertools.chain.from_iterable(images.values()))}
    dtype, mesh = arguments.dtype or "float32", None
    if arguments.tensor or jax.device_count() > 1:
        mesh = generation_mesh(stored_sizes(arguments.checkpoint), arguments.tensor)
    policy = open_checkpoint(arguments.checkpoint, mesh, dtype=dtype)
    low, high = policy.pixel_range(
        arguments.max_pixels, name=str(arguments.checkpoint), remedy="add --max-pixels"
    )
    print_answers(
        policy.model,
        policy.tokenizer,
        images,
        prompt=arguments.prompt,
        schema=stored_schema(arguments.checkpoint),
        max_tokens=arguments.max_tokens,
        min_pixels=low,
        max_pixels=high,
        compute=ComputeConfig(dtype),
        mesh=mesh,
    )


def _ablation(arguments) -> None:
    from skinflow_jax.runs.ablation import run_ablation

    with _what_is_done_is_kept():
        run_ablation(arguments.configs, arguments.seeds, arguments.workdir)


@contextlib.contextmanager
def _what_is_done_is_kept() -> Iterator[None]:
    """Of commands that take no --resume: the same command goes on."""
    try:
        yield
    except StartAgain as error:
        signal = str(error).partition(":")[0]
        raise StartAgain(f"{signal}: ended; start it again: what is done is kept") from error
    except KeyboardInterrupt as error:
        raise Interrupted("interrupted; start it again: what is done is kept") from error


def _inspect(arguments) -> None:
    named = ("step", "sort", "task", "limit", "records", "out")
    given = {name: value for name in named if (value := getattr(arguments, name)) is not None}
    if arguments.rollouts:
        from skinflow_jax.runs.inspect_rollouts import inspect_rollouts

        return inspect_rollouts(arguments.checkpoint, **given)
    if given:
        raise ConfigError(f"--{next(iter(given))} belongs to --rollouts: add it")
    from skinflow_jax.runs.inspect import inspect_checkpoint

    return inspect_checkpoint(arguments.checkpoint)


def _import_hf(arguments) -> None:
    from skinflow_jax.runs.policies import import_hf

    stay_off_accelerators()
    import_hf(arguments.model, arguments.workdir, arguments.base)


def _export_hf(arguments) -> None:
    from skinflow_jax.runs.policies import export_hf

    stay_off_accelerators()
    export_hf(
        arguments.checkpoint,
        arguments.out,
        dtype=arguments.dtype,
        adapter=arguments.adapter,
        max_shard_bytes=arguments.max_shard_size,
    )


def _verify(arguments) -> None:
    from skinflow_jax.checkpoints.hf_verify import verify

    stay_off_accelerators()
    verify(arguments.model, trust_remote_code=arguments.trust_remote_code)


def stay_off_accelerators() -> None:
    """For what only moves weights between files: one chip would have to hold all of them."""
    import jax

    jax.config.update("jax_platforms", "cpu")


COMMANDS = {
    "demo": _demo,
    "data build": _data_build,
    "data caption": _data_caption,
    "data inspect": _data_inspect,
    "data verify": _data_verify,
    "data export": _data_export,
    "train": _train,
    "evaluate": _evaluate,
    "report": _report,
    "llm-judge": _llm_judge,
    "generate": _generate,
    "ablation": _ablation,
    "inspect": _inspect,
    "import-hf": _import_hf,
    "export-hf": _export_hf,
    "verify": _verify,
}
