"""Reward functions by name: built-in, or a function in the user's own file."""

import atexit
import functools
import importlib.util
import inspect
import os
import re
import shutil
import sys
import tempfile
import traceback
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

from skinflow_jax.errors import STOPPED, ConfigError, one_line
from skinflow_jax.rl.process_state import RewardProcess, signal_handlers_kept
from skinflow_jax.rl.reward_forms import adapted
from skinflow_jax.rl.rewards import (
    FILE_FORM,
    OVERLONG,
    REWARDS,
    SCALES,
    RewardFunction,
    check_reward_names,
)


def load_rewards(
    names: Sequence[str],
    process: RewardProcess | None = None,
    options: Mapping[str, float] | None = None,
) -> dict[str, RewardFunction]:
    """Reward functions in the order of `names`, by the short names that the metrics use.

    A name is a built-in reward or `path/to/file.py:function`, whose short name is the function's.
    A file named twice is run once, in `process` (None: in the run's state, put back after it);
    modules beside it are found when PYTHONPATH names its folder. `options` are of the built-in
    diagnosis rewards.
    Raises ConfigError, in one line that names the entry, when there is no such reward, file or
    function, when the file does not run, when the function has none of the forms of `reward_forms`
    or may have two, or when two rewards would share a short name.
    """
    check_reward_names(names)
    if str(_import_folder()) not in sys.path:
        sys.path.append(str(_import_folder()))
    functions: dict[str, RewardFunction] = {}
    entries: dict[str, str] = {}
    modules: dict[Path, ModuleType] = {}
    for entry in names:
        with (process or RewardProcess()).entered(), signal_handlers_kept():
            short, function = _load(entry, modules, process)
        if options and entry in SCALES:
            function = functools.partial(function, **options)
        if short in entries:
            raise ConfigError(
                f"rl.rewards: {entries[short]!r} and {entry!r} are both named {short!r} in the "
                "metrics: name each reward once, or rename a function"
            )
        entries[short], functions[short] = entry, function
    return functions


def _load(
    entry: str, modules: dict[Path, ModuleType], process: RewardProcess | None
) -> tuple[str, RewardFunction]:
    file, _, name = entry.rpartition(":")
    if entry in REWARDS:
        return entry, REWARDS[entry]
    if not (file.endswith(".py") and name.isidentifier()):
        raise ConfigError(f"rl.rewards: {entry!r} does not have the form {FILE_FORM}")
    path = _path(file, entry)
    if path not in modules:
        modules[path] = _run(path)
    if name in (*REWARDS, OVERLONG):
        raise ConfigError(
            f"rl.rewards: {entry!r} has the name of a built-in reward: rename the function"
        )
    function = getattr(modules[path], name, None)
    if function is None:
        raise ConfigError(f"rl.rewards: {path} defines no function {name}()")
    where = f"rl.rewards: {path}: {name}"
    if inspect.isclass(function) or not callable(function):
        raise ConfigError(f"{where} is {type(function).__name__}, not a function")
    return name, adapted(function, where, process)


def _path(file: str, entry: str) -> Path:
    try:
        path = Path(file).expanduser().resolve()
        found = path.is_file()
    except (OSError, RuntimeError, ValueError) as error:  # no such home, a loop of links, …
        raise ConfigError(f"rl.rewards: {entry!r}: {one_line(error)}") from error
    if not found:
        raise ConfigError(f"rl.rewards: {path} is not a file: give {FILE_FORM}")
    return path


def _run(path: Path) -> ModuleType:
    name = _importable_name(path)
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except STOPPED:
        raise
    except BaseException as error:  # SystemExit too
        sys.modules.pop(name, None)
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == str(path)]
        where = f"{path}, line {lines[-1]}" if lines else f"{path}"
        raise ConfigError(f"rl.rewards: {where}: {one_line(error)}") from error
    return module


def _importable_name(path: Path) -> str:
    """The file's name as a module: its own, so that a file called json.py takes nobody's place.

    Child processes can import it as well, which is how they unpickle a function of the file: they
    get this process's `sys.path`, and in a folder there a module of this name runs the file.
    """
    plain = re.sub(r"\W", "_", path.stem)
    name = f"skinflow_rewards_{plain}_{zlib.crc32(os.fsencode(path)):08x}"
    (_import_folder() / f"{name}.py").write_text(
        _FOR_CHILDREN.format(path=os.fspath(path)), encoding="utf-8", errors="surrogateescape"
    )
    return name


_FOR_CHILDREN = """\
import importlib.util
import sys

spec = importlib.util.spec_from_file_location(__name__, {path!r})
module = sys.modules[__name__] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
"""


@functools.cache
def _import_folder() -> Path:
    folder = tempfile.mkdtemp(prefix="skinflow-rewards-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)
