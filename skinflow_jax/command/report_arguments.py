"""The arguments of `skinflow report`."""

import argparse

from skinflow_jax.command.shared_arguments import add_ontology
from skinflow_jax.command.values import folders, here


def add_report(report: argparse.ArgumentParser) -> None:
    """Which evaluations, with images or without, and where to."""
    report.add_argument(
        "--evaluation",
        type=folders,
        required=True,
        metavar="DIR[,DIR2[,DIR3]]",
        help="eval/STEP of a run; several are shown side by side, each against the one before it",
    )
    report.add_argument(
        "--images", action="store_true", help="with the images, small and without metadata"
    )
    report.add_argument(
        "--records", type=here, help="that hold the images; default: found near the evaluation"
    )
    report.add_argument(
        "--out", type=here, metavar="FILE", help="default: report.html beside the last evaluation"
    )
    add_ontology(report)
