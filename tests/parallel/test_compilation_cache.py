"""Compiled programs are kept between processes, each kind of processor's, and never in the way."""

import os
import shutil
import subprocess
import sys
import time

import pytest

from skinflow_jax.cli import main
from skinflow_jax.parallel import compilation_cache
from skinflow_jax.parallel.compilation_cache import (
    KEPT_DAYS,
    MARK,
    default_folder,
    keep_house,
    machine_key,
    processor_features,
    use_compilation_cache,
)

# Says how many programs it needed, and how many of them lay in the cache.
PROGRAM = """
import sys
from jax import monitoring
from skinflow_jax.parallel.compilation_cache import use_compilation_cache
from skinflow_jax.training.compilations import compilations

use_compilation_cache(*sys.argv[1:])
import jax, jax.numpy as jnp
hits = []
monitoring.register_event_listener(lambda name, **_: hits.append(name.endswith("cache_hits")))
before = compilations()
jax.jit(lambda x: jnp.sin(x) @ x)(jnp.ones((3, 3)))
print(compilations() - before, sum(hits))
"""


def start(*choice, **environment):
    """Programs needed and programs found by a process of its own, and its stderr."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "XLA_"))}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, choice)],
        env=kept | {"JAX_PLATFORMS": "cpu", **{k: str(v) for k, v in environment.items()}},
        capture_output=True,
        text=True,
        check=True,
    )
    needed, found = map(int, done.stdout.split())
    return needed, found, done.stderr


def programs(folder):
    return sorted(path for path in folder.rglob("*-cache"))


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A cache in which one process has left its programs, and how many it needed."""
    home = tmp_path_factory.mktemp("cache")
    needed, found, _ = start(XDG_CACHE_HOME=home)
    assert needed > 0 and found == 0
    return home / "skinflow_jax" / "compiled", needed


@pytest.fixture
def filled(first, tmp_path):
    """The same for one test, which may change it. JAX's keys hold the folder: no copy would do."""
    shutil.copytree(first[0], tmp_path / "kept")
    yield first
    shutil.rmtree(first[0])
    shutil.copytree(tmp_path / "kept", first[0])


def test_a_second_process_compiles_nothing_and_counts_the_same(first):
    folder, needed = first
    assert start(XDG_CACHE_HOME=folder.parents[1])[:2] == (needed, needed)


def test_other_flags_of_the_compiler_have_a_folder_of_their_own(filled):
    folder, _ = filled
    assert start(folder, XLA_FLAGS="--xla_cpu_max_isa=SSE4_2")[1] == 0
    assert len({path.parent for path in programs(folder)}) == 2


def test_off_and_a_folder_that_jax_knows_already_are_respected(tmp_path):
    user, told = tmp_path / "user", tmp_path / "told"
    start("off", XDG_CACHE_HOME=user, JAX_COMPILATION_CACHE_DIR=told)
    start(XDG_CACHE_HOME=user, JAX_COMPILATION_CACHE_DIR="")
    assert not list(tmp_path.iterdir())
    start(XDG_CACHE_HOME=user, JAX_COMPILATION_CACHE_DIR=told)
    start(tmp_path / "flag", JAX_COMPILATION_CACHE_DIR=told)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["flag", "told"]


def test_a_folder_that_cannot_be_made_is_one_line_and_no_error(tmp_path):
    (tmp_path / "file").write_text("")
    needed, found, error = start(tmp_path / "file")
    assert needed > 0 and found == 0
    assert error.startswith("skinflow: compilation cache: NotADirectoryError") and "off" in error
    assert error.count("\n") == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's /dev/full")
def test_on_a_full_disk_programs_are_compiled_and_the_cause_is_told_once(filled):
    folder, needed = filled
    mark = programs(folder)[0].with_name(MARK)
    mark.unlink()
    mark.symlink_to("/dev/full")
    again, found, error = start(folder)
    assert again == found == needed  # what lies there is read all the same
    assert "No space left on device" in error and error.count("\n") == 1


def test_a_program_that_a_killed_process_left_unfinished_is_made_again(filled):
    folder, needed = filled
    path = max(programs(folder), key=lambda path: path.stat().st_size)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert start(folder) == (needed, needed - 1, "")
    assert start(folder)[:2] == (needed, needed)


def test_a_program_that_is_damaged_while_a_run_goes_on_costs_a_compilation_and_no_word(filled):
    """Written after the look at the folder, as by a process that writes at the same time."""
    folder, needed = filled
    path = programs(folder)[0]
    path.write_bytes(b"")
    long_ago = time.time() - 3600
    os.utime(path, (long_ago, long_ago))  # not looked at again
    assert start(folder) == (needed, needed - 1, "")


def test_old_programs_are_removed_those_of_other_machines_too(tmp_path):
    other = tmp_path / "0123456789abcdef"
    other.mkdir()
    for name, days in (("old-cache", KEPT_DAYS + 1), ("new-cache", KEPT_DAYS - 1), ("notes", 999)):
        (other / name).write_bytes(b"no program")
        then = time.time() - days * 86400
        os.utime(other / name, (then, then))
    keep_house(tmp_path / machine_key())
    assert sorted(path.name for path in other.iterdir()) == ["new-cache", "notes"]


def test_the_key_knows_the_processor(tmp_path, monkeypatch):
    cpuinfo = tmp_path / "cpuinfo"
    features = []
    for flags in ("sse4_2 avx2", "sse4_2 avx2 avx512f"):
        one = f"processor\t: 0\nmodel\t\t: 1\ncpu MHz\t: {len(flags)}\nflags\t\t: {flags}\n"
        cpuinfo.write_text(one + "\nprocessor\t: 1\nflags\t: none\n")
        features.append(processor_features(cpuinfo))
    assert features == ["model: 1; flags: avx2 sse4_2", "model: 1; flags: avx2 avx512f sse4_2"]
    keys = set()
    for found in features:
        monkeypatch.setattr(compilation_cache, "processor_features", lambda found=found: found)
        keys.add(machine_key())
    assert len(keys) == 2
    assert processor_features(tmp_path / "none") == ""


def test_a_user_without_a_home_is_told(monkeypatch, capsys):
    def nowhere():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    monkeypatch.setattr(compilation_cache, "_configured", lambda: False)
    monkeypatch.setattr(compilation_cache.Path, "home", nowhere)
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    use_compilation_cache()
    assert "home directory" in capsys.readouterr().err
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert str(default_folder()) == "/somewhere/skinflow_jax/compiled"


@pytest.mark.parametrize("command", ["demo", "train", "evaluate", "generate", "ablation"])
def test_every_computing_command_has_the_flag(command, capsys):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert "--compilation-cache DIR|off" in capsys.readouterr().out
