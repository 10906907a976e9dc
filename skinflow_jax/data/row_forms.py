"""Cases as rows of other training stacks: what `skinflow data export` writes.

The forms are those that `sources.rows` reads: images, question and answer come back as they were,
id, group and diagnosis where the options name their fields; attributes are not written.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from skinflow_jax.data.record_set import RecordSet
from skinflow_jax.data.sources.case import MARK
from skinflow_jax.data.tasks import prompt_text, target_text
from skinflow_jax.errors import InputError
from skinflow_jax.storage.whole_folder import check_vacant, whole_folder

Row = dict[str, Any]
IMAGES = "images"


def _messages(prompt: str, answer: str) -> Row:
    turns = [("user", prompt), ("assistant", answer)]
    return {"messages": [{"role": role, "content": text} for role, text in turns]}


def _parts(prompt: str) -> list[Row]:
    """The content of a message as a list of texts and images."""
    first, *rest = prompt.split(MARK)
    parts = [{"type": "text", "text": first}] if first else []
    for text in rest:
        parts += [{"type": "image"}, *([{"type": "text", "text": text}] if text else [])]
    return parts


def _trl(prompt: str, answer: str) -> Row:
    return {"prompt": [{"role": "user", "content": _parts(prompt)}], "answer": answer}


def _verl(prompt: str, answer: str) -> Row:
    return {
        "data_source": "skinflow",
        "prompt": [{"role": "user", "content": prompt}],
        "reward_model": {"style": "rule", "ground_truth": answer},
    }


def _openrlhf(prompt: str, answer: str) -> Row:
    return {"prompt": [{"role": "user", "content": _parts(prompt)}], "label": answer}


FORMS: dict[str, Callable[[str, str], Row]] = {
    "trl": _trl,
    "easyr1": lambda prompt, answer: {"problem": prompt, "answer": answer},
    "verl": _verl,
    "openrlhf": _openrlhf,
    "ms-swift": _messages,
    "llama-factory": _messages,
    "vlm-r1": lambda prompt, answer: {
        "conversations": [
            {"from": "human", "value": prompt},
            {"from": "gpt", "value": answer},
        ]
    },
}


def export_rows(
    records: RecordSet, folder: Path, *, form: str, task: str, seed: int = 0
) -> tuple[int, list[str]]:
    """Write `rows.jsonl` and the resized images of `records` into `folder`, whole or not at all.

    Args:
      form: a key of `FORMS`.
      task: what is asked, a key of `tasks.TASKS`.
      seed: of the diagnoses that fill up an answer.

    Returns how many rows were written, and why others were not. Raises InputError where the folder
    is not empty or no case has an answer.
    """
    check_vacant(folder)
    left_out, count = [], 0
    with whole_folder(folder) as building:
        (building / IMAGES).mkdir()
        with (building / "rows.jsonl").open("w", encoding="utf-8") as file:
            for number in range(len(records)):
                record = records[number]
                case = record.case
                try:
                    prompt = prompt_text(task, case, records.schema)
                    answer = target_text(task, case, records.diagnoses, seed, records.schema)
                except InputError as error:
                    left_out.append(str(error))
                    continue
                names = [f"{IMAGES}/{number:06d}-{i}.png" for i in range(len(record.images))]
                for name, image in zip(names, record.images, strict=True):
                    Image.fromarray(image).save(building / name)
                facts = {"id": case.case_id, "group": case.group, "images": names}
                row = FORMS[form](prompt, answer) | facts | {"diagnosis": case.diagnosis}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
                count += 1
        if not count:
            raise InputError(f"no case can be exported for the {task} task; {left_out[0]}")
    return count, left_out
