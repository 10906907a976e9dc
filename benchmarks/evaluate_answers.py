"""Seconds and peak memory of `skinflow evaluate --predictions` on synthetic answers.

Run: python benchmarks/evaluate_answers.py. Each case is a command of its own, timed from start to
end; the answers are drawn names, with a skin type, a partition and a confidence each.
"""

import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ANSWERS = 10_000


def names(seed: int) -> tuple[random.Random, list[str]]:
    """Names of diseases that can be answered."""
    from skinflow_jax.clinical import ontology

    return random.Random(seed), [d.name for d in ontology().diseases.values() if d.answerable]


def write(folder: Path, *, free_text: bool) -> None:
    """answers.jsonl and references.jsonl; of free text no two references are alike."""
    rng, known = names(0)
    labels = rng.sample(known, 114)
    rows, references = [], []
    for n in range(ANSWERS):
        truth = rng.choice(labels)
        guesses = rng.sample(labels, 5)
        guesses.insert(rng.randrange(6), truth if rng.random() < 0.5 else rng.choice(known))
        label = f"{truth} of a patient seen in ward {n}, under observation" if free_text else truth
        rows.append({"case_id": str(n), "text": json.dumps({"diagnoses": guesses})})
        rows[-1]["confidence"] = round(rng.random(), 4)
        references.append({"case_id": str(n), "diagnosis": label, "skin_type": rng.randint(1, 6)})
        references[-1]["nine_partition"] = f"part {rng.randrange(9)}"
    for name, lines in (("answers", rows), ("references", references)):
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / f"{name}.jsonl").write_text(text)


def measured(folder: Path) -> str:
    """The command's wall time, processor time and peak memory."""
    command = [sys.executable, "-m", "skinflow_jax", "evaluate", f"--out={folder / 'out'}"]
    command += [f"--predictions={folder}/answers.jsonl", f"--references={folder}/references.jsonl"]
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    seconds = used.ru_utime + used.ru_stime
    return f"{wall:.1f} s ({seconds:.1f} s of processor), peak {used.ru_maxrss / 1024:.0f} MiB"


def main() -> None:
    """Both kinds of references."""
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {ANSWERS:,} answers")
    for free_text in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder), free_text=free_text)
            kind = "distinct free-text references" if free_text else "114 references"
            print(f"{kind}: {measured(Path(folder))}", flush=True)


if __name__ == "__main__":
    main()
