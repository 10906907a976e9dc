"""How many names and answers the clinical room reads a second, by process time; no accelerator.

Run: python benchmarks/clinical_speed.py. Each figure is the best of five, in a process of its own
where it has to be cold.
"""

import json
import platform
import random
import subprocess
import sys
import time

NAMES = 5000
COMPLETIONS = 4096


def spellings(seed: int) -> list[str]:
    """Distinct names as people write them, half of them unknown."""
    from skinflow_jax.clinical import ontology

    rng = random.Random(seed)
    known = [n for d in ontology().diseases.values() for n in (d.name, *d.synonyms)]
    forms = ("{}", "{} of the left arm", "chronic {}", "{}, early", "{} or not", "xyz {}", "{}?")
    found: dict[str, None] = {}
    while len(found) < NAMES:
        found[rng.choice(forms).format(rng.choice(known))] = None
    return list(found)


def relations(rounds: int) -> float:
    """Relations a second of `NAMES` distinct predictions; the first round is cold."""
    from skinflow_jax.clinical import find, relation

    find("melanoma")  # the index is built once a process
    names, elapsed = spellings(0), 0.0
    references = ["melanoma", "psoriasis", "scabies", "vascular lesion", "cellulitis"]
    for _ in range(rounds):
        began = time.process_time()
        for i, name in enumerate(names):
            relation(name, references[i % len(references)])
        elapsed = time.process_time() - began
    return NAMES / elapsed


def rewards(task: str) -> float:
    """Seconds for the rewards of `COMPLETIONS` distinct answers, cold."""
    from skinflow_jax.clinical import CLINICAL, caption_reward, diagnosis_reward, find

    find("melanoma")
    rng, names = random.Random(1), spellings(1)
    reference = {name: field.values[0] for name, field in CLINICAL.fields.items()}
    texts = [json.dumps({"diagnoses": rng.sample(names, 6)}) for _ in range(COMPLETIONS)]
    if task == "caption":
        words = [[word for word, _ in field.words()] for field in CLINICAL.fields.values()]
        texts = [
            json.dumps({n: rng.choice(w) for n, w in zip(reference, words, strict=True)})
            for _ in range(COMPLETIONS)
        ]
    began = time.process_time()
    for text in texts:
        if task == "caption":
            caption_reward(text, reference)
        else:
            diagnosis_reward(text, "melanoma", safety_penalty=0.5)
    return time.process_time() - began


MEASURED = {
    "relations a second, cold": (lambda: relations(1), max),
    "relations a second, warm": (lambda: relations(2), max),
    f"seconds for {COMPLETIONS:,} diagnosis rewards, cold": (lambda: rewards("diagnosis"), min),
    f"seconds for {COMPLETIONS:,} caption rewards, cold": (lambda: rewards("caption"), min),
}


def main() -> None:
    """All figures; with a name only that one, once."""
    if len(sys.argv) > 1:
        print(MEASURED[sys.argv[1]][0]())
        return
    print(f"Python {platform.python_version()}, {platform.machine()}, {NAMES:,} distinct names")
    for name, (_, best) in MEASURED.items():
        program = [sys.executable, __file__, name]
        runs = [
            subprocess.run(program, capture_output=True, text=True, check=True) for _ in "12345"
        ]
        print(f"{name}: {best(float(run.stdout) for run in runs):,.2f}", flush=True)


if __name__ == "__main__":
    main()
