"""What Stage I adds to a warm-up on real captions: PAD-UFES-20, a tiny model from random weights.

python benchmarks/pad_ufes.py --data=DIR/pad_ufes_20 --workdir=runs/pad_ufes

For each seed it trains the runs of configs/pad_ufes: a warm-up on the captions of a third of the
patients, Stage I (GRPO) from it on others, and supervised training on the captions of both. All
describe the photographs of the same held-out patients. Beside them stands the best caption that is
the same for everybody. What is done is not done again. The report is printed and in report.md.
"""

import argparse
import itertools
from pathlib import Path

import numpy as np
import stages

from skinflow_jax.clinical.caption_schema import FIELDS, to_json
from skinflow_jax.clinical.rewards import caption_field_scores
from skinflow_jax.config import load_config
from skinflow_jax.evaluation.metrics import (
    FEW,
    Estimate,
    PairedDifference,
    macro_recall,
    mean_with_interval,
    paired_difference,
)
from skinflow_jax.evaluation.tables import FEW_SIGN
from skinflow_jax.runs.cases import prepare_records, readable_cases

CONFIGS = Path(__file__).parents[1] / "configs" / "pad_ufes"
RUNS = {
    "warmup": ("warmup", None),
    "stage1": ("stage1", "warmup"),
    "all_captions": ("all_captions", None),
}
TITLES = {
    "warmup": "warm-up (SFT, a third of the patients)",
    "stage1": "warm-up, then Stage I (GRPO, a third of the patients)",
    "all_captions": "SFT on the captions of both",
}
MEAN = "all fields"
ALIKE = "location"
"""The field of which every value weighs the same in a column of its own: a constant answer cannot
profit there from being the commonest."""


def main() -> None:
    """Train, evaluate, print and write the report."""
    arguments = _arguments()
    overrides = {
        "data.data_root": str(arguments.data),
        **dict(p.split("=", 1) for p in arguments.set),
    }
    for seed in range(arguments.seeds):
        stages.run_stages(RUNS, CONFIGS, arguments.workdir, seed, overrides)
    text = report(arguments.workdir, arguments.seeds, overrides)
    (arguments.workdir / "report.md").write_text(text, encoding="utf-8")
    print(text)


def report(workdir: Path, seeds: int, overrides: dict) -> str:
    """Markdown: the score of each field, means over seeds with intervals over patients."""
    data = load_config(CONFIGS / "warmup.py", overrides).data
    parts = {
        split: readable_cases(prepare_records(data, split, None, workdir / "records"))
        for split in data.fractions
    }
    heldout = [case for case in parts["heldout"] if case.caption]
    patients = [case.group for case in heldout]
    scores = {
        TITLES[name]: mean_scores(
            [_texts(workdir / str(seed) / name, heldout) for seed in range(seeds)], heldout
        )
        for name in RUNS
    }
    constant = best_constant(parts["warmup"] + parts["rl"])
    scores[f"always {constant}"] = mean_scores([[constant] * len(heldout)], heldout)
    fields = list(next(iter(scores.values())))
    places = [str(case.caption.get(ALIKE)) for case in heldout]
    counts = ", ".join(f"{split} {len(cases)}" for split, cases in parts.items())
    lines = [
        f"Photographs: {counts}. {len(heldout)} photographs of {len(set(patients))} held-out "
        f"patients are described, seeds {', '.join(map(str, range(seeds)))}.",
        "",
        f"| | {' | '.join(fields)} | {ALIKE}, each of {len(set(places))} alike |",
        "| --- |" + " ---: |" * (len(fields) + 1),
        *(
            f"| {title} | {' | '.join(_cell(estimate(found[f], patients)) for f in fields)} "
            f"| {_cell(estimate(found[ALIKE], patients, places))} |"
            for title, found in scores.items()
        ),
        "",
        f"{FEW_SIGN}: fewer than {FEW} patients.",
        "",
        *_differences(scores, patients, fields),
        "",
        *stages.signal_lines("stage1", workdir, seeds),
        "",
        stages.costs(RUNS, workdir, seeds),
        "",
    ]
    return "\n".join(lines)


def mean_scores(texts: list[list[str]], cases) -> dict[str, np.ndarray]:
    """Of each field and of all together the score `[N]`, mean over seeds; NaN where not known."""
    found = {name: np.full((len(texts), len(cases)), np.nan) for name in (*FIELDS, MEAN)}
    for seed, row in enumerate(texts):
        for number, (text, case) in enumerate(zip(row, cases, strict=True)):
            scores = caption_field_scores(text, case.caption)
            for name, score in {**scores, MEAN: np.mean(list(scores.values()))}.items():
                found[name][seed, number] = score
    return {n: values.mean(axis=0) for n, values in found.items() if not np.isnan(values).all()}


def best_constant(cases) -> str:
    """The one caption that scores highest on `cases`, of the values that occur in them."""
    known = [case for case in cases if case.caption]
    values = {
        name: sorted({str(case.caption[name]) for case in known if name in case.caption})
        for name in FIELDS
    }
    present = {name: found for name, found in values.items() if found}
    choices = (
        to_json(dict(zip(present, chosen, strict=True)))
        for chosen in itertools.product(*present.values())
    )
    return max(
        choices, key=lambda text: np.nanmean(mean_scores([[text] * len(known)], known)[MEAN])
    )


def estimate(scores: np.ndarray, patients: list[str], classes: list[str] | None = None) -> Estimate:
    """The mean of what is known, over `classes` where given, with an interval over patients."""
    known = ~np.isnan(scores)
    groups = np.array(patients)[known].tolist()
    if classes is None:
        return mean_with_interval(scores[known], groups=groups)
    return macro_recall(np.array(classes)[known].tolist(), scores[known], groups=groups)


def difference(before: np.ndarray, after: np.ndarray, patients: list[str]) -> PairedDifference:
    """The mean change of what is known, with an interval over patients."""
    known = ~np.isnan(before)
    groups = list(np.array(patients)[known])
    return paired_difference(before[known], after[known], groups=groups)


def _differences(scores, patients, fields) -> list[str]:
    before = scores[TITLES["warmup"]]
    lines = []
    for name in RUNS:
        if name != "warmup":
            after = scores[TITLES[name]]
            found = {f: difference(before[f], after[f], patients) for f in fields}
            cells = (f"{f} {_shown(x.mean, x, '+')}" for f, x in found.items())
            lines.append(f"* {name} - warmup: {'; '.join(cells)}")
    return lines


def _texts(folder: Path, cases) -> list[str]:
    found = {line["case_id"]: line["text"] for line in stages.predictions(folder)}
    return [found[case.case_id] for case in cases]


def _cell(found: Estimate) -> str:
    return _shown(found.value, found)


def _shown(value: float, found: Estimate | PairedDifference, sign: str = "") -> str:
    few = FEW_SIGN if found.few else ""
    return f"{value:{sign}.3f}{few} [{found.low:{sign}.3f}, {found.high:{sign}.3f}]"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="the folder of PAD-UFES-20")
    parser.add_argument("--workdir", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="of all configs")
    return parser.parse_args()


if __name__ == "__main__":
    main()
