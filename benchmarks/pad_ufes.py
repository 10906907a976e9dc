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
from skinflow_jax.evaluation.metrics import Estimate, macro_recall
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
            f"| {title} | {' | '.join(_shown(estimate(found[f], patients)) for f in fields)} "
            f"| {_shown(estimate(found[ALIKE], patients, places))} |"
            for title, found in scores.items()
        ),
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
    classes = np.array(classes or ["all"] * len(scores))[known].tolist()
    return macro_recall(classes, scores[known], groups=np.array(patients)[known].tolist())


def _differences(scores, patients, fields) -> list[str]:
    before = scores[TITLES["warmup"]]
    lines = []
    for name in RUNS:
        if name != "warmup":
            change = {f: scores[TITLES[name]][f] - before[f] for f in fields}
            cells = (f"{f} {_shown(estimate(change[f], patients), '+')}" for f in fields)
            lines.append(f"* {name} - warmup: {'; '.join(cells)}")
    return lines


def _texts(folder: Path, cases) -> list[str]:
    found = {line["case_id"]: line["text"] for line in stages.predictions(folder)}
    return [found[case.case_id] for case in cases]


def _shown(found: Estimate, sign: str = "") -> str:
    return f"{found.value:{sign}.3f} [{found.low:{sign}.3f}, {found.high:{sign}.3f}]"


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
