"""What reward functions of other stacks are told of a sample, under their owners' names."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from types import CodeType
from typing import Any

from PIL import Image

from skinflow_jax.data.pipeline import Example
from skinflow_jax.data.sources.case import MARK

_TEXTS = ("case_id", "task", "prompt", "answer", "diagnosis")


@dataclass(frozen=True)
class TrainerState:
    """Of TRL's, what a run here knows when it scores: steps that were finished."""

    global_step: int


def _facts(example: Example) -> dict[str, Any]:
    """The row's columns, and under names that it has not, what else is known."""
    own = {name: getattr(example, name) for name in _TEXTS}
    own["caption"] = example.caption
    return {name: value for name, value in own.items() if value} | example.columns


def ground_truth(example: Example) -> Any:
    """The right answer of what was asked; None where nothing is known.

    The row's answer, which supervised training teaches; else its `ground_truth`, in verl's place
    too; else the diagnosis. Of a caption the JSON of its fields, of a diagnosis the name.
    """
    if example.task == "caption":
        return example.schema.to_json(example.caption) if example.caption else None
    if example.task == "diagnosis" and example.diagnosis:
        return example.diagnosis
    columns = example.columns
    stated = columns.get("reward_model")
    nested = stated.get("ground_truth") if isinstance(stated, dict) else None
    choices = (example.answer, columns.get("ground_truth"), nested, columns.get("answer"))
    return next((c for c in choices if c not in (None, "")), example.diagnosis or None)


def trl_values(text: str, example: Example, reward) -> dict[str, Any]:
    """TRL's names: every column, and those of the trainer."""
    found = {"ground_truth": ground_truth(example)} | _facts(example)
    if reward.takes("image") or reward.takes("images"):
        found = _pictures(example) | found
    found.pop("prompt", None)  # TRL keeps it out of the columns
    prompt: Any = example.prompt.replace(MARK, "")
    completion: Any = str(text)
    if reward.messages:
        prompt, completion = _question(example), [{"role": "assistant", "content": completion}]
    found |= {"prompts": prompt, "completions": completion}
    found |= {"log_extra": _ignored, "log_metric": _ignored}
    found["trainer_state"] = TrainerState(reward.process.step)
    if (ids := getattr(text, "ids", None)) is not None:
        found["completion_ids"] = list(ids)
    return found


def easyr1_input(text: str, example: Example, reward) -> dict[str, Any]:
    """EasyR1's `reward_input`, with the row's columns beside its own three."""
    found = {"problem": example.prompt} | _facts(example)
    found |= {"response": str(text), "ground_truth": ground_truth(example)}
    if (ids := getattr(text, "ids", None)) is not None:
        found["response_length"] = len(ids)
    return found


def easyr1_values(text: str, example: Example, reward) -> dict[str, Any]:
    """The names of EasyR1's earlier forms, of one sample and of lists."""
    found = easyr1_input(text, example, reward)
    same = dict.fromkeys(("predict", "predict_str", "predicts"), found["response"])
    return found | same | {"ground_truths": found["ground_truth"]}


def verl_values(text: str, example: Example, reward) -> dict[str, Any]:
    """verl's names, of one sample and of lists; `extra_info` is the row's, and what is known."""
    facts, truth = _facts(example), ground_truth(example)
    given = facts.pop("extra_info", None)
    extra = facts | (given if isinstance(given, dict) else {})
    source = facts.get("data_source", example.task)
    found = {"data_source": source, "solution_str": str(text), "ground_truth": truth}
    found["extra_info"] = extra
    return found | {f"{name}s": value for name, value in found.items()}


def _pictures(example: Example) -> dict[str, Any]:
    images = [Image.fromarray(image) for image in example.images]
    return {"image": images[0] if images else None, "images": images}


def _question(example: Example) -> list[dict[str, Any]]:
    """The prompt as a message, as TRL has it with images: parts, an image where its mark stands."""
    parts: list[dict[str, Any]] = []
    first, *others = example.prompt.split(MARK)
    for number, words in enumerate([first, *others]):
        parts += [{"type": "image"}] * (number > 0)
        parts += [{"type": "text", "text": words}] if words else []
    return [{"role": "user", "content": parts}]


def _ignored(name: str, value: Any) -> None:
    """`log_extra` and `log_metric`: a run's metrics are those of the rewards themselves."""


def reads_messages(function: Callable) -> bool:
    """Whether a function of TRL's form reads completions as messages: it speaks of their "content".

    The function, and those of its file that it calls by name; a sample's row does not say, for the
    same rows serve functions of both kinds.
    """
    function = inspect.unwrap(function)
    while isinstance(function, functools.partial):
        function = function.func
    code = getattr(function, "__code__", None)
    if code is None:  # an object
        function = getattr(type(function), "__call__", None)  # noqa: B004
        code = getattr(function, "__code__", None)
    return code is not None and _speaks_of("content", code, function.__globals__, set())


def _speaks_of(word: str, code: CodeType, names: dict[str, Any], seen: set[CodeType]) -> bool:
    if code in seen:
        return False
    seen.add(code)
    called = [getattr(names.get(name), "__code__", None) for name in code.co_names]
    inner = [part for part in (*code.co_consts, *called) if isinstance(part, CodeType)]
    return word in code.co_consts or any(_speaks_of(word, part, names, seen) for part in inner)
