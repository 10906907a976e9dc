"""What Stage II adds to a warm-up on real images: HAM10000, a tiny model from random weights.

python benchmarks/ham10000.py --data=DIR/ham10000 --workdir=runs/ham10000
python benchmarks/ham10000.py --data=… --workdir=… --split=dev   # to choose settings

For each seed it trains the runs of configs/ham10000: a warm-up on a fifth of the lesions, Stage II
(GRPO) from it on the diagnoses of others, and supervised training on the labels of both. All name
the diagnosis of the same held-out lesions. Beside them stand the most frequent class and a softmax
regression on colour histograms of the same images. What is done is not done again. The report is
printed and written to report.md.
"""

import argparse
from pathlib import Path

import class_recalls
import colour_histograms
import stages
from class_recalls import Answers, shown, shown_difference

from skinflow_jax.config import DataConfig, load_config
from skinflow_jax.data.sources.ham10000 import DIAGNOSES
from skinflow_jax.evaluation.metrics import FEW
from skinflow_jax.evaluation.tables import FEW_SIGN
from skinflow_jax.runs.cases import prepare_records, readable_cases

CONFIGS = Path(__file__).parents[1] / "configs" / "ham10000"
RUNS = {
    "warmup": ("warmup", None),
    "stage2": ("stage2", "warmup"),
    "all_labels": ("all_labels", None),
}
TITLES = {
    "warmup": "warm-up (SFT, a fifth of the lesions)",
    "stage2": "warm-up, then Stage II (GRPO, half of the lesions)",
    "all_labels": "SFT on the labels of both",
}
SHORT = {name: short for short, name in DIAGNOSES.items()}


def main() -> None:
    """Train, evaluate, print and write the report."""
    arguments = _arguments()
    overrides = {
        "data.data_root": str(arguments.data),
        "evaluation.split": arguments.split,
        **dict(pair.split("=", 1) for pair in arguments.set),
    }
    for seed in range(arguments.seeds):
        stages.run_stages(RUNS, CONFIGS, arguments.workdir, seed, overrides)
    text = report(arguments.workdir, arguments.seeds, overrides)
    (arguments.workdir / "report.md").write_text(text, encoding="utf-8")
    print(text)


def report(workdir: Path, seeds: int, overrides: dict) -> str:
    """Markdown: macro recall and accuracy of each, differences, confusion, signal of Stage II."""
    config = load_config(CONFIGS / "warmup.py", overrides)
    data, heldout_split = config.data, config.evaluation.split
    parts = {s: _records(data, s, workdir) for s in ("warmup", "rl", "dev", heldout_split)}
    heldout = parts[heldout_split]
    cases = [heldout.case(number) for number in range(len(heldout))]
    references, lesions = [c.diagnosis for c in cases], [c.group for c in cases]
    runs = {
        name: Answers(
            references,
            lesions,
            [_firsts(workdir / str(seed) / name, cases) for seed in range(seeds)],
        )
        for name in RUNS
    }
    others = {
        title: Answers(references, lesions, [firsts])
        for title, firsts in _baselines(parts, heldout)
    }
    counts = ", ".join(f"{name} {len(records):,}" for name, records in parts.items())
    lines = [
        f"Images: {counts}. {len(references):,} images of {len(set(lesions)):,} lesions of the "
        f"{heldout_split} part are named, seeds {', '.join(map(str, range(seeds)))}. "
        f"{FEW_SIGN}: fewer than {FEW} lesions.",
        "",
        "| | macro recall, % | accuracy, % | seeds |",
        "| --- | ---: | ---: | ---: |",
    ]
    for title, answers in {
        **{TITLES[name]: found for name, found in runs.items()},
        **others,
    }.items():
        each = ", ".join(f"{100 * value:.1f}" for value in answers.by_seed())
        lines.append(
            f"| {title} | {shown(answers.macro_recall())} | {shown(answers.accuracy())} | {each} |"
        )
    lines += ["", *_differences(runs), "", *_confusion(runs), ""]
    return "\n".join(
        [
            *lines,
            *stages.signal_lines("stage2", workdir, seeds),
            "",
            stages.costs(RUNS, workdir, seeds),
            "",
        ]
    )


def _records(data: DataConfig, split: str, workdir: Path):
    return prepare_records(data, split, None, workdir / "records")


def _firsts(folder: Path, cases) -> list[str | None]:
    """The first diagnosis of each case; the right one's own name where it was accepted as that."""
    found = {line["case_id"]: line for line in stages.predictions(folder)}
    lines = [found[case.case_id] for case in cases]
    return [line["reference"] if line["rank"] == 1 else line["first"] for line in lines]


def _baselines(parts, heldout):
    training = [*readable_cases(parts["warmup"]), *readable_cases(parts["rl"])]
    labels = [case.diagnosis for case in training]
    majority = max(sorted(set(labels)), key=labels.count)
    yield f"always {majority}", [majority] * len(heldout)
    known = {name: colour_histograms.histograms(records) for name, records in parts.items()}
    features, _ = colour_histograms.histograms(heldout)
    for names, title in ((("warmup",), "the warm-up's labels"), (("warmup", "rl"), "all labels")):
        training = colour_histograms.joined([known[name] for name in names])
        found = colour_histograms.fit_best(training, known["dev"])
        title = f"colour histograms, {title} (penalty {found.penalty:g})"
        yield title, found.predict(features).tolist()


def _differences(runs: dict[str, Answers]) -> list[str]:
    pairs = (("stage2", "warmup"), ("all_labels", "warmup"), ("all_labels", "stage2"))
    return [
        f"* {after} - {before}: macro recall "
        f"{shown_difference(class_recalls.difference(runs[before], runs[after]))}"
        for after, before in pairs
    ]


def _confusion(runs: dict[str, Answers]) -> list[str]:
    best = max(runs, key=lambda name: runs[name].macro_recall().value)
    lines = []
    for name in dict.fromkeys(("stage2", best)):
        table = class_recalls.confusion_markdown(runs[name], SHORT)
        lines += [f"Images by class and first answer, {name}, mean over seeds:", "", table, ""]
    return lines


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="the folder of HAM10000")
    parser.add_argument("--workdir", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=2, help="how many")
    parser.add_argument("--split", default="heldout", help="which part is named")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="of all configs")
    return parser.parse_args()


if __name__ == "__main__":
    main()
