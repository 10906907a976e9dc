"""What an endpoint was asked and answered, on disk: an answer is paid for once, and all is counted.

`answers.jsonl` has a line before each call (`sent`) and one for what came of it: an answer with its
tokens, or why there is none. It is only appended to, so that a killed process loses at most the
answers that were on their way. It holds no image and no key.
"""

import fcntl
import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skinflow_jax.errors import InputError

MOST_TOKENS = 10**8
"""Of a call; what claims more is not believed."""


@dataclass(frozen=True)
class Answer:
    """The text of an answer, "" for none, `whole` unless it was cut at the limit of tokens."""

    text: str
    tokens: int
    whole: bool = True


@dataclass(frozen=True)
class Budget:
    """Most calls and tokens of a folder, those of earlier starts included; None for no limit."""

    calls: int | None = None
    tokens: int | None = None


class BudgetSpent(Exception):
    """The next call could pass the budget."""


class BudgetInUse(Exception):
    """The next call could pass the budget, unless those on their way take less than expected."""


def request_key(body: Mapping[str, Any], attempt: int) -> str:
    """sha256 of a request's content, whose images are named by their digests, and the attempt."""
    text = json.dumps([body, attempt], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


class Journal:
    """The answers of a folder, by `request_key`; closed by `with`.

    Raises InputError where another process writes it, or a line that is not the last is damaged.
    """

    def __init__(self, path: Path, budget: Budget):
        self._budget = budget
        self._answers: dict[str, Answer] = {}
        self.calls = self.tokens = 0
        self.failures: Counter[str] = Counter()
        self._open: dict[str, int] = {}
        self._file = path.open("a+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise InputError(f"{path}: another process writes it; wait for it to end") from error
        self._read(path)

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *exc_info) -> None:
        self._file.close()

    def _read(self, path: Path) -> None:
        self._file.seek(0)
        end = 0
        for number, line in enumerate(self._file, start=1):
            try:
                self._count(_entry(line))
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                if not line.endswith(b"\n"):
                    break  # the process was killed as it wrote it
                raise InputError(
                    f"{path}: line {number} is damaged; restore or remove the file"
                ) from error
            end += len(line)
            if not line.endswith(b"\n"):  # an editor took it
                self._file.write(b"\n")
                end += 1
        self._file.truncate(end)
        for expected in self._open.values():  # sent, and never heard of: perhaps paid for
            self.tokens += expected
        self._open.clear()

    def _count(self, entry: Mapping[str, Any]) -> None:
        if "sent" in entry:
            self.calls += 1
            self._open[entry["sent"]] = entry["expected"]
            return
        key = entry["key"]
        self._open.pop(key, None)
        self.tokens += entry["tokens"]
        if "failed" in entry:
            self.failures[entry["failed"]] += 1
        else:
            self._answers[key] = Answer(entry["text"], entry["tokens"], entry["whole"])

    def answer(self, key: str) -> Answer | None:
        """What was answered before, None where nothing was."""
        return self._answers.get(key)

    def check_calls(self) -> None:
        """Raise BudgetSpent where there is no further call."""
        if self._budget.calls is not None and self.calls >= self._budget.calls:
            raise BudgetSpent

    def sent(self, key: str, expected: int) -> None:
        """A call is about to be sent that takes about `expected` tokens.

        Raises BudgetSpent, or BudgetInUse, where it could pass the budget.
        """
        self.check_calls()
        tokens = self._budget.tokens
        if tokens is not None and self.tokens + sum(self._open.values()) + expected > tokens:
            raise BudgetInUse if self._open else BudgetSpent
        self._write({"sent": key, "expected": expected})

    def answered(self, key: str, answer: Answer) -> None:
        """Keep an answer for good."""
        self._write({"key": key, **vars(answer)})

    def failed(self, key: str, why: str, tokens: int = 0) -> None:
        """A call has no answer, and took `tokens` as far as is known; `why` is its kind."""
        self._write({"key": key, "failed": why, "tokens": tokens})

    def _write(self, entry: dict[str, Any]) -> None:
        self._file.write(json.dumps(entry).encode() + b"\n")
        self._file.flush()  # into the system's hands: it survives the process
        self._count(entry)


def _entry(line: bytes) -> dict[str, Any]:
    """A line of the journal; raises where it is none that this program writes."""
    entry = json.loads(line)
    number = entry["expected"] if "sent" in entry else entry["tokens"]
    if type(number) is not int or not 0 <= number < MOST_TOKENS:
        raise ValueError("tokens")
    texts = [entry["sent"]] if "sent" in entry else [entry["key"], entry.get("failed", "")]
    if "sent" not in entry and "failed" not in entry:
        texts.append(entry["text"])
        if type(entry["whole"]) is not bool:
            raise ValueError("whole")
    if not all(type(text) is str for text in texts):
        raise ValueError("text")
    return entry
