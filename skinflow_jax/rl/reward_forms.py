"""Reward functions as other training stacks call them, made callable as ours are.

A form is told by the names of a function's parameters. Forms as their owners' code calls them: TRL
1.x (`GRPOTrainer._calculate_rewards`), EasyR1 (`verl/workers/reward/function.py`, three versions),
verl (`NaiveRewardManager`, `BatchRewardManager`).
"""

import asyncio
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from skinflow_jax.data.pipeline import Example
from skinflow_jax.errors import ConfigError, InputError
from skinflow_jax.rl.completions import Completion
from skinflow_jax.rl.concurrent_calls import is_async
from skinflow_jax.rl.process_state import RewardProcess
from skinflow_jax.rl.reward_columns import (
    easyr1_input,
    easyr1_values,
    reads_messages,
    trl_values,
    verl_values,
)

OURS = "(completions, examples)"


@dataclass(frozen=True)
class Form:
    """How a stack calls a reward function.

    Attributes:
      written: owner and parameters, for people.
      marks: parameter names that only this form has.
      values: what one sample is, of (text, example, the function's `ForeignReward`): values by
        parameter name, or the one positional argument.
      each: one call a sample; else one call with a list for each parameter.
      key: of the reward, where a sample's result is a dict.
      by_name: whether arguments go by name.
    """

    written: str
    marks: frozenset[str]
    values: Callable[[str, Example, "ForeignReward"], dict[str, Any]]
    each: bool
    key: str = ""
    by_name: bool = True


TRL = Form(
    "TRL's (prompts, completions, **columns)",
    frozenset(
        ("prompts", "completions", "completion_ids", "trainer_state", "log_extra", "log_metric")
    ),
    trl_values,
    each=False,
)
EASYR1_BATCH = Form(
    "EasyR1's (reward_inputs)",
    frozenset(("reward_inputs",)),
    easyr1_input,
    each=False,
    key="overall",
    by_name=False,
)
EASYR1_SEQUENTIAL = Form(
    "(reward_input)",
    frozenset(("reward_input",)),
    easyr1_input,
    each=True,
    key="overall",
    by_name=False,
)
EASYR1_PREDICTS = Form(
    "(predicts, ground_truths)",
    frozenset(("predicts",)),
    easyr1_values,
    each=False,
    key="overall",
)
EASYR1_PREDICT = Form(
    "(predict, ground_truth)",
    frozenset(("predict", "predict_str")),
    easyr1_values,
    each=True,
    key="overall",
)
VERL = Form(
    "verl's (data_source, solution_str, ground_truth, extra_info)",
    frozenset(("solution_str",)),
    verl_values,
    each=True,
    key="score",
)
VERL_BATCH = Form(
    "(data_sources, solution_strs, ground_truths, extra_infos)",
    frozenset(("solution_strs",)),
    verl_values,
    each=False,
    key="score",
)
FOREIGN = (
    TRL,
    EASYR1_BATCH,
    EASYR1_SEQUENTIAL,
    EASYR1_PREDICTS,
    EASYR1_PREDICT,
    VERL,
    VERL_BATCH,
)
FORMS = f"{OURS}, or {', '.join(form.written for form in FOREIGN)}"
_OTHER_NAMES = frozenset(
    ("answers", "labels", "predictions", "prompts", "queries", "references", "responses")
) | {"solutions"}
"""What stacks that are not read call their columns: taken for ours they would score nothing."""
_EASYR1_TYPES = {"batch": EASYR1_BATCH, "sequential": EASYR1_SEQUENTIAL}


def adapted(function: Callable, where: str, process: RewardProcess | None = None) -> Callable:
    """`function` as ours are called: itself if it is written so, else a `ForeignReward`.

    `where`: file and name, for errors; `process`: knows the step. Raises ConfigError where the
    parameters fit several forms or none.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # written in C, it need not say
        return function
    form = _form_of(function, signature, where)
    if form is not None:
        return (AsyncForeignReward if is_async(function) else ForeignReward)(
            function, signature, form, where, process or RewardProcess()
        )
    try:
        signature.bind([], [])
    except TypeError as error:
        raise ConfigError(
            f"{where}{signature} cannot be called with {OURS}: {error}; a reward is {FORMS}"
        ) from error
    return function


def _form_of(function: Callable, signature: inspect.Signature, where: str) -> Form | None:
    """None for ours, whose parameters may have any names but those of another form."""
    names = set(signature.parameters)
    ours = "examples" in names
    # `completions` is a name of ours, too.
    marked = names - {"completions"} if ours else names
    found = [form for form in FOREIGN if form.marks & marked]
    if len(found) + ours > 1:
        forms = [OURS] * ours + [form.written for form in found]
        raise ConfigError(
            f"{where}{signature} could be {' or '.join(forms)}: rename what is not a parameter of "
            f"the form that you mean; a reward is {FORMS}"
        )
    if ours and list(signature.parameters)[:2] == ["examples", "completions"]:
        raise ConfigError(f"{where}{signature} is called with {OURS}, in this order: exchange them")
    if found or ours:
        return _one_number(found[0], names, f"{where}{signature}") if found else None
    if foreign := names & _OTHER_NAMES:
        raise ConfigError(
            f"{where}{signature}: {min(foreign)!r} is a name of no form; a reward is {FORMS}"
        )
    stated = getattr(function, "__globals__", {}).get("REWARD_TYPE")
    if stated in _EASYR1_TYPES:
        return _EASYR1_TYPES[stated]
    return EASYR1_PREDICT if "ground_truth" in names else None


def _one_number(form: Form, names: set[str], where: str) -> Form:
    """The form, unless it is given one sample and a name is of a list of them, or the reverse."""
    if form in (EASYR1_PREDICTS, EASYR1_PREDICT, VERL, VERL_BATCH):
        one = {"ground_truth", "data_source", "extra_info", "solution_str", "predict"}
        wrong = names & (one if not form.each else {f"{name}s" for name in one})
        if wrong:
            raise ConfigError(
                f"{where}: {min(wrong)!r} is not of the form {form.written}; a reward is {FORMS}"
            )
    return form


class ForeignReward:
    """A function of another stack, called with (completions, examples).

    Attributes:
      messages: whether it reads completions as messages, `[{"role", "content"}]`.
      process: of the run; knows the step.
    """

    def __init__(self, function, signature, form: Form, where: str, process: RewardProcess):
        """`signature` is that of `function`; `where` names it in errors."""
        self._function, self._form, self._where = function, form, where
        self._known: frozenset[str] = frozenset()
        self.process, self.messages = process, reads_messages(function)
        kinds = {name: p.kind for name, p in signature.parameters.items()}
        self._takes_all = inspect.Parameter.VAR_KEYWORD in kinds.values()
        variable = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
        self._names = tuple(name for name, kind in kinds.items() if kind not in variable)
        self._needed = tuple(
            name
            for name in self._names
            if signature.parameters[name].default is inspect.Parameter.empty
        )
        if inspect.Parameter.POSITIONAL_ONLY in kinds.values() and form.by_name:
            raise ConfigError(f"{where}{signature} is called by name: leave out the /")
        others = self._needed[1:]
        if not form.by_name and others:
            raise ConfigError(
                f"{where}{signature} is called with one argument: give {', '.join(others)} defaults"
            )

    def takes(self, name: str) -> bool:
        """Whether a value of this name would reach the function."""
        return self._takes_all or name in self._names

    def check_columns(self, examples: Iterable[Example]) -> None:
        """Raise ConfigError where the function takes a column that none of the examples has.

        A row that lacks a column that others have is then given None for it, as data sets have it.
        """
        if not self._form.by_name:
            return
        empty = Completion("", [])
        rows = (self._form.values(empty, example, self) for example in examples)
        self._known = frozenset().union(*rows)
        if missing := self._missing(self._known):
            raise ConfigError(f"{self._where} {_lacking(missing, self._known)}")

    def __call__(self, completions: list[str], examples: list[Example]) -> Any:
        """Its rewards, one a completion."""
        calls = self._calls(completions, examples)
        results = [self._function(*args, **named) for args, named in calls]
        return self._rewards(results)

    def _missing(self, known: Iterable[str]) -> list[str]:
        return [name for name in self._needed if name not in known]

    def _calls(self, texts: list[str], examples: list[Example]) -> list[tuple[tuple, dict]]:
        """Arguments of every call."""
        form = self._form
        samples = [form.values(*pair, self) for pair in zip(texts, examples, strict=True)]
        if not form.by_name:
            return [((s,), {}) for s in samples] if form.each else [((samples,), {})]
        known = self._known.union(*samples)
        if missing := self._missing(known):
            raise InputError(_lacking(missing, known))
        taken = [name for name in sorted(known) if self.takes(name)]
        rows = [{name: sample.get(name) for name in taken} for sample in samples]
        if form.each:
            return [((), row) for row in rows]
        shared = ("trainer_state", "log_extra", "log_metric")
        columns = {name: [row[name] for row in rows] for name in taken}
        return [((), columns | {name: columns[name][0] for name in shared if name in columns})]

    def _rewards(self, results: list) -> Any:
        if self._form.each:
            return [self._reward(result) for result in results]
        values = results[0]
        if hasattr(values, "tolist"):  # a tensor or an array
            values = values.tolist()
        return [self._reward(v) for v in values] if isinstance(values, list | tuple) else values

    def _reward(self, value: Any) -> Any:
        """Of one sample; of a dict, what its owner trains on."""
        if not isinstance(value, Mapping) or not self._form.key:
            return value
        if self._form.key not in value:
            found = ", ".join(map(str, value)) or "nothing"
            raise ValueError(f"returned a dict without {self._form.key!r}; it has {found}")
        return value[self._form.key]


class AsyncForeignReward(ForeignReward):
    """The same of a coroutine function; calls of single samples run at the same time."""

    async def __call__(self, completions: list[str], examples: list[Example]) -> Any:
        """Its rewards, one a completion."""
        calls = self._calls(completions, examples)
        made = (self._function(*args, **named) for args, named in calls)
        return self._rewards(list(await asyncio.gather(*made)))


def check_columns(functions: Mapping[str, Callable], examples: Sequence[Example]) -> None:
    """Raise ConfigError where a reward takes a column that none of the examples has."""
    for function in functions.values():
        if isinstance(function, ForeignReward):
            function.check_columns(examples)


def _lacking(missing: Sequence[str], known: Iterable[str]) -> str:
    told = ", ".join(map(repr, missing))
    has = ", ".join(sorted(known))
    return (
        f"takes {told}, which no case has: rename the parameter, give it a default, or, for a "
        f"function of the form {OURS}, call the second one examples; the cases have {has}"
    )
