"""Reward functions as users of TRL, EasyR1 and verl write them; none knows of this project."""

import asyncio
import functools
import re

ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)


def answer_in(text):
    """What stands between the tags."""
    found = ANSWER.search(text)
    return found.group(1).strip() if found else ""


# TRL


def exact(prompts, completions, answer, **kwargs):
    """A text form, with a column."""
    return [float(answer_in(c) == a) for c, a in zip(completions, answer, strict=True)]


def in_messages(completions, solution, **kwargs):
    """A conversational form: completions are lists of one message."""
    contents = [completion[0]["content"] for completion in completions]
    return [float(s in c) for c, s in zip(contents, solution, strict=True)]


def through_another(completions, **kwargs):
    """The same, whose messages are opened by another function."""
    return [float(len(opened(completion))) for completion in completions]


def opened(completion):
    """The text of a message."""
    return completion[-1].get("content", "")


def asks(prompts, completions, **kwargs):
    """Looks at the parts of the prompt."""
    parts = [prompt[-1]["content"] for prompt in prompts]
    return [float(sum(part["type"] == "image" for part in row)) for row in parts]


def of_one_task(completions, task, **kwargs):
    """None where it does not apply."""
    return [
        float(len(c)) if t == "diagnosis" else None for c, t in zip(completions, task, strict=True)
    ]


class Judge:
    """An object that is called, with a setting of its own."""

    def __init__(self, factor):
        self.factor = factor

    def __call__(self, completions, **kwargs):
        """Reads messages."""
        return [self.factor * len(completion[0]["content"]) for completion in completions]


judge = Judge(2.0)
set_beforehand = functools.partial(in_messages, unused=1)


async def slow(completions, difficulty, **kwargs):
    """A coroutine function."""
    await asyncio.sleep(0)
    return [float(d) for d in difficulty]


def lengths(completion_ids, **kwargs):
    """Of tokens alone."""
    return [-float(len(ids)) for ids in completion_ids]


def scheduled(completions, trainer_state, log_extra=None, log_metric=None, **kwargs):
    """What the trainer gives, too."""
    log_extra("text", list(completions))
    log_metric("share", 0.5)
    return [float(trainer_state.global_step)] * len(completions)


def sizes(completions, images, **kwargs):
    """Looks at the images: PIL's width and height."""
    return [float(sum(image.width for image in row)) for row in images]


# EasyR1, three versions


def compute_score(reward_inputs, format_weight=0.1):
    """A batch; the extra values are for its logs."""
    scores = []
    for reward_input in reward_inputs:
        form = float(answer_in(reward_input["response"]) != "")
        accuracy = float(answer_in(reward_input["response"]) == reward_input["ground_truth"])
        overall = (1 - format_weight) * accuracy + format_weight * form
        scores.append({"overall": overall, "format": form, "accuracy": accuracy})
    return scores


def one_by_one(reward_input, format_weight=0.5):
    """One sample at a time, with its length."""
    return {"overall": reward_input["response_length"] * format_weight}


def early(predict, ground_truth):
    """The first version."""
    return {"overall": float(answer_in(predict) == ground_truth), "format": 0.0}


def early_batch(predicts, ground_truths, format_weight=0.1):
    """The second."""
    return [{"overall": float(g in p)} for p, g in zip(predicts, ground_truths, strict=True)]


def without_overall(reward_inputs):
    """Forgets the value that is trained on."""
    return [{"accuracy": 1.0} for _ in reward_inputs]


# verl


def of_verl(data_source, solution_str, ground_truth, extra_info=None):
    """One number a sample."""
    assert data_source == "clinic/atlas" and extra_info["split"] == "train"
    return float(answer_in(solution_str) == ground_truth)


def of_verl_dict(data_source, solution_str, ground_truth, extra_info=None, **kwargs):
    """A dict with its score."""
    return {"score": float(ground_truth in solution_str), "acc": True}


async def of_verl_async(data_source, solution_str, ground_truth, extra_info):
    """A coroutine function."""
    await asyncio.sleep(0)
    return float(len(solution_str))


def of_verl_batch(data_sources, solution_strs, ground_truths, extra_infos):
    """A list for each."""
    return [float(g in s) for s, g in zip(solution_strs, ground_truths, strict=True)]


# What is none of them, or two


def two_forms(prompts, completions, examples):
    """TRL's prompts and our examples."""


def two_owners(completions, solution_str):
    """TRL's completions and verl's solution."""


def of_another_service(data_source, solution_str, ground_truth, reward_router_address):
    """Takes what only verl's servers have."""


def three_things(a, b, c):
    """None of the forms."""
