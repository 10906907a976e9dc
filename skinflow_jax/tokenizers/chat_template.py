"""A folder's chat template: found where transformers looks for it, rendered as transformers does.

A template is a program of a stranger's. It runs in Jinja's sandbox, sees plain JSON data, and may
neither run long nor write much. Source: utils/chat_template_utils.py of transformers.
"""

import contextlib
import functools
import json
import re
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
import jinja2.compiler
import jinja2.ext
import jinja2.sandbox

from skinflow_jax.errors import InputError, one_line
from skinflow_jax.json_file import read_json

ADDITIONAL = "additional_chat_templates"
"""A folder of templates by name; one of the name default goes before all others."""

MOST_CHARACTERS = 1_000_000
"""Of a template, of a prompt, and of anything that a template makes on its way."""
MOST_SECONDS = 3.0


class ChatTemplate:
    """A compiled template; `tokens` are the special tokens that it may name, like `bos_token`.

    Raises InputError, naming the file, for one that does not compile.
    """

    def __init__(self, text: str, file: Path | str, tokens: Mapping[str, str] | None = None):
        self.text, self._file, self._tokens = text, file, dict(tokens or {})
        try:
            if len(text) > MOST_CHARACTERS:
                raise ValueError(f"it is longer than {MOST_CHARACTERS:,} characters")
            with _limited_time():
                self._template = _environment().from_string(text)
        except Exception as error:  # such as RecursionError, of one that is nested too deeply
            raise InputError(
                f"{file}: the chat template does not compile: {one_line(error)}"
            ) from error

    def render(self, messages: Sequence[dict], *, add_generation_prompt: bool) -> str:
        """One conversation as text.

        Raises InputError when the template refuses it, fails, or prints a name that nothing
        defines, where transformers would leave a gap.
        """
        # Of an image it sees only that it is there.
        plain = json.loads(json.dumps(list(messages), default=lambda value: type(value).__name__))
        # Some interfaces give None for what is absent, and templates ask whether it is there.
        plain = [{k: v for k, v in message.items() if v is not None} for message in plain]
        written, count = [], 0
        try:
            with _limited_time():
                for piece in self._template.generate(
                    messages=plain,
                    tools=None,
                    documents=None,
                    add_generation_prompt=add_generation_prompt,
                    **self._tokens,
                ):
                    written.append(piece)
                    count += len(piece)
                    _check_length(count)
        except Exception as error:  # it can fail in any way that Python can
            raise InputError(
                f"{self._file}: the chat template refused: {one_line(error)}"
            ) from error
        return "".join(written)


def find_template(folder: Path, config: Mapping[str, Any]) -> tuple[str, Path] | None:
    """(template, the file it is in): where transformers looks, the newest convention first.

    `config`: the folder's tokenizer_config.json.
    """
    for file in (folder / ADDITIONAL / "default.jinja", folder / "chat_template.jinja"):
        if file.is_file():
            return _full(_text(file), file), file
    for file in (folder / "chat_template.json", folder / "tokenizer_config.json"):
        stated = config if file.name == "tokenizer_config.json" else None
        if stated is None:
            stated = read_json(file) if file.is_file() else {}
        template = stated.get("chat_template")
        if isinstance(template, list | dict):
            template = _default_of(template, file)
        if template is not None and not isinstance(template, str):
            raise InputError(f"{file}: chat_template must be text: restore the file")
        if template is not None:
            return _full(template, file), file
    return None


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not UTF-8 text: restore the file") from error


def _full(template: str, file: Path) -> str:
    """`template`, if there is anything in it: no prompt is made of nothing."""
    if not template.strip():
        raise InputError(f"{file}: the chat template is empty: restore the file")
    return template


def _default_of(templates: list | dict, file: Path) -> str:
    named = templates
    if isinstance(templates, list):
        entries = [entry for entry in templates if isinstance(entry, dict)]
        named = {str(entry.get("name")): entry.get("template") for entry in entries}
    if "default" not in named:
        raise InputError(f'{file}: chat_template has none of the name "default": name one so')
    return named["default"]


class _Undefined(jinja2.Undefined):
    """What is not defined: false, and in no list, as in transformers; but printed it is an error.

    Qwen's own template asks for a name that is given on request only.
    """

    __str__ = __iter__ = jinja2.Undefined._fail_with_undefined_error

    def __contains__(self, item: Any) -> bool:
        return False


class _Generation(jinja2.ext.Extension):
    """`{% generation %}`, by which transformers marks what the assistant says, changes no text."""

    tags = frozenset({"generation"})

    def parse(self, parser: jinja2.parser.Parser) -> jinja2.nodes.Node:
        """As `jinja2.ext.Extension.parse`."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller) -> str:
        return caller()


class _Generator(jinja2.compiler.CodeGenerator):
    @jinja2.compiler.optimizeconst
    def visit_Concat(self, node: jinja2.nodes.Concat, frame: jinja2.compiler.Frame) -> None:
        """`a ~ b`, which Jinja does in a function that nothing can replace."""
        self.write("environment.concat((")
        for part in node.nodes:
            self.write("str(")
            self.visit(part, frame)
            self.write("), ")
        self.write("))")


class _Sandbox(jinja2.sandbox.ImmutableSandboxedEnvironment):
    """Jinja's sandbox, in which nothing becomes large: one operation in C cannot be stopped."""

    intercepted_binops = frozenset(["*", "**", "%", "+"])
    code_generator_class = _Generator

    @staticmethod
    def concat(texts: Iterable[str]) -> str:
        """The texts as one; also of macros and blocks."""
        texts = list(texts)
        _check_length(sum(map(len, texts)))
        return "".join(texts)

    def call_binop(self, context, operator: str, left: Any, right: Any) -> Any:
        """The operation, if its result is of a sensible size."""
        if operator == "**" and isinstance(left, int) and isinstance(right, int):
            _check_length(left.bit_length() * max(right, 0))
        elif operator == "*":
            for values, times in ((left, right), (right, left)):
                if isinstance(times, int) and hasattr(values, "__len__"):
                    _check_length(len(values) * times)
        elif operator == "%":
            _check_format(left)
        elif operator == "+":
            _check_length(sum(len(x) for x in (left, right) if hasattr(x, "__len__")))
        return super().call_binop(context, operator, left, right)

    def call(self, context, function, /, *arguments, **named) -> Any:
        """The call of a function or method, if its arguments are of a sensible size."""
        _check_arguments((getattr(function, "__self__", None), *arguments, *named.values()))
        return super().call(context, function, *arguments, **named)

    def wrap_str_format(self, value: Any) -> Any:
        """`"...".format`, if its widths are sensible."""
        wrapped = super().wrap_str_format(value)
        if wrapped is not None:
            _check_format(value.__self__)
        return wrapped


def _environment() -> jinja2.Environment:
    environment = _Sandbox(
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=_Undefined,
        extensions=[_Generation, jinja2.ext.loopcontrols],
    )
    environment.filters["tojson"] = _to_json
    for name, function in environment.filters.items():
        environment.filters[name] = _guarded(function)
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = lambda format: datetime.now().strftime(format)
    return environment


def _guarded(function):
    @functools.wraps(function)  # also what Jinja notes on its own filters
    def guarded(*arguments, **named):
        _check_arguments((*arguments, *named.values()))
        return function(*arguments, **named)

    return guarded


def _to_json(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False) -> str:
    """Jinja's own filter escapes HTML characters, which a prompt must keep."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)


def _check_length(count: int) -> None:
    if count > MOST_CHARACTERS:
        raise ValueError(f"it makes more than {MOST_CHARACTERS:,} characters")


def _check_arguments(values: Iterable[Any]) -> None:
    """Widths and counts are numbers; what joins or replaces makes a product of lengths."""
    product = 1
    for value in values:
        if isinstance(value, int):
            _check_length(abs(value))
        elif isinstance(value, str | list | tuple | dict | range):
            product *= max(1, len(value))
    _check_length(product // 100)


def _check_format(text: Any) -> None:
    """A format's width is a number in its text."""
    if isinstance(text, str) and re.search(r"\d{7}", text):
        _check_length(MOST_CHARACTERS + 1)


_OF_TEMPLATES = ("<template>", __file__, str(Path(jinja2.__file__).parent), json.__file__)


@contextlib.contextmanager
def _limited_time() -> Iterator[None]:
    """End with TimeoutError what has computed for `MOST_SECONDS`, looking at each line and call.

    A signal would do for the main thread only. On a busy machine the time of others does not count,
    and what the garbage collector calls in between is let alone: there an error would be dropped.
    """
    end, before = time.thread_time() + MOST_SECONDS, sys.gettrace()

    def look(frame, event, argument):
        file = frame.f_code.co_filename
        if file.startswith(_OF_TEMPLATES) and time.thread_time() > end:
            raise TimeoutError(f"it takes longer than {MOST_SECONDS:g} seconds")
        return look if file == "<template>" else None

    sys.settrace(look)
    try:
        yield
    finally:
        sys.settrace(before)
