"""The arguments of `skinflow evaluate`: of a model, of answers in files, of two evaluations."""

import argparse

from skinflow_jax.command.shared_arguments import add_config, add_dtype, add_ontology, add_records
from skinflow_jax.command.values import bucket_too, here, names, positive, two_places

# Of clinical.listed, which is too slow to import for --help.
FORMS = ("json", "lines")
_OF_MODELS = (
    *("config", "split_by", "records", "dtype"),
    *("robustness", "robustness_cases", "attention", "neighbours"),
)
_OF_ANSWERS = ("references", "answers", "missing")


def add_evaluate(evaluate: argparse.ArgumentParser) -> None:
    """Its arguments."""
    add_config(evaluate, "config file; by default the one the run was made with")
    of = evaluate.add_mutually_exclusive_group(required=True)
    of.add_argument(
        "--checkpoint", type=bucket_too, metavar="DIR", help="workdir, model or adapter folder"
    )
    of.add_argument(
        "--predictions",
        type=here,
        metavar="FILE",
        help="answers of any system: .jsonl, .json, .csv or .tsv",
    )
    of.add_argument(
        "--compare",
        type=two_places,
        metavar="A,B",
        help="two evaluations, on the cases that both have",
    )
    evaluate.add_argument(
        "--references", type=here, metavar="FILE", help="of --predictions; default: the same file"
    )
    evaluate.add_argument(
        "--answers", choices=FORMS, help="how --predictions list diagnoses; default: json"
    )
    evaluate.add_argument(
        "--missing", choices=("invalid",), help="count a reference without an answer as invalid"
    )
    evaluate.add_argument(
        "--out", type=bucket_too, help="where to write; default: eval/STEP of the run"
    )
    evaluate.add_argument(
        "--robustness",
        type=names,
        nargs="?",
        const=(),
        metavar="blur,jpeg,…",
        help="also under degraded images, of all kinds or these: see docs/robustness.md",
    )
    evaluate.add_argument(
        "--robustness-cases",
        type=positive,
        metavar="N",
        help="of the cases, drawn, for --robustness; default: 100",
    )
    evaluate.add_argument(
        "--attention",
        type=positive,
        nargs="?",
        const=500,
        metavar="N",
        help="also where the model looks, in N of the cases; default without N: 500",
    )
    evaluate.add_argument(
        "--neighbours",
        type=positive,
        nargs="?",
        const=500,
        metavar="N",
        help="also the nearest-neighbour floor, of N labelled cases; default without N: 500",
    )
    add_ontology(evaluate)
    add_records(evaluate)
    add_dtype(evaluate, "default: float32 weights, activations as in the config")


def settle_evaluate(arguments: argparse.Namespace) -> None:
    """Refuse what the chosen source of answers cannot use, and take it out of the arguments.

    Files need no processes, programs or records; a checkpoint's config names the ontology.
    """
    wrong = [] if arguments.predictions else list(_OF_ANSWERS)
    if arguments.checkpoint:
        said, wrong, needless = "--checkpoint", [*wrong, "ontology"], ["ontology"]
    else:
        said = "--predictions" if arguments.predictions else "--compare"
        wrong += _OF_MODELS
        needless = ["cluster", "compilation_cache", "records"]
    given = [
        f"--{name.replace('_', '-')}" for name in wrong if getattr(arguments, name) is not None
    ]
    given += [f"--config.{key}" for key in arguments.overrides if not arguments.checkpoint]
    if given:
        arguments.parser.error(f"{given[0]} has no meaning with {said}")
    for name in needless:
        delattr(arguments, name)
