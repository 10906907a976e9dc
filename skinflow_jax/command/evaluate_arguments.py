"""The arguments of `skinflow evaluate`: of a model, of answers in files, of two evaluations."""

import argparse

from skinflow_jax.command.shared_arguments import add_config, add_dtype, add_ontology, add_records
from skinflow_jax.command.values import bucket_too, here, two_places

# Of clinical.listed, which is too slow to import for --help.
FORMS = ("json", "lines")
_OF_MODELS = ("config", "split_by", "records", "dtype")
_OF_ANSWERS = ("references", "answers", "missing")


def add_evaluate(evaluate: argparse.ArgumentParser) -> None:
    """Its arguments."""
    add_config(evaluate, "config file; by default the one the run was made with")
    of = evaluate.add_mutually_exclusive_group(required=True)
    of.add_argument("--checkpoint", type=bucket_too, help="workdir, model or adapter folder")
    of.add_argument(
        "--predictions",
        type=here,
        metavar="FILE",
        help="answers of any system: .jsonl, .json, .csv or .tsv",
    )
    of.add_argument(
        "--compare",
        type=two_places,
        metavar="DIR,DIR",
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
    add_ontology(evaluate)
    add_records(evaluate)
    add_dtype(evaluate, "default: float32 weights, activations as in the config")


def settle_evaluate(arguments: argparse.Namespace) -> None:
    """Refuse what the chosen source of answers cannot use; files need no processes or programs."""
    wrong = [] if arguments.predictions else list(_OF_ANSWERS)
    if arguments.checkpoint:
        said, wrong = "--checkpoint", [*wrong, "ontology"]
    else:
        said = "--predictions" if arguments.predictions else "--compare"
        wrong += _OF_MODELS
        del arguments.cluster, arguments.compilation_cache
    given = [f"--{name.replace('_', '-')}" for name in wrong if getattr(arguments, name)]
    given += [f"--config.{key}" for key in arguments.overrides if "config" in wrong]
    if given:
        arguments.parser.error(f"{given[0]} has no meaning with {said}")
