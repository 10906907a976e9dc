"""Compiled programs kept between runs, in the user's cache folder: a second start compiles little.

JAX keeps the programs; here it is told where. Code for one processor can crash another (XLA:CPU
uses AVX-512 where there is some), so each kind of processor, set of XLA_FLAGS and version of JAX
has a folder of its own. In a run of several processes JAX writes on process 0 alone, all of them
read: on machines with disks of their own the others compile at each start, unless the folder is
one that all see, which may be a bucket.
Programs may run whatever they like: never share the folder with people you do not trust.
"""

import hashlib
import os
import sys
import time
import warnings
import zlib
from pathlib import Path

import jax
import jaxlib
from jax.experimental.compilation_cache.compilation_cache import reset_cache

from skinflow_jax.errors import one_line
from skinflow_jax.storage.paths import user_cache

OFF = "off"
MARK = "checked"
KEPT_DAYS = 90

_ZSTANDARD = b"\x28\xb5\x2f\xfd"  # what JAX packs with where that library is installed


def use_compilation_cache(choice: str | None = None) -> None:
    """Let JAX keep what it compiles.

    Args:
      choice: a folder, `gs://` too, or "off"; None: what JAX has been told already (by
        JAX_COMPILATION_CACHE_DIR, empty for none), else the user's cache folder.

    A folder that cannot be written to is no error: one line on stderr says so, and what lies in it
    is read.
    """
    # Half-written programs and a full disk are met by compiling: a warning a program helps nobody.
    for what in ("reading", "writing"):
        text = f"Error {what} persistent compilation cache entry"
        warnings.filterwarnings("ignore", message=text)
    if choice is None and ("JAX_COMPILATION_CACHE_DIR" in os.environ or _configured()):
        return
    if choice == OFF:
        _configure(None)
        return
    try:
        folder = f"{choice or default_folder()}/{machine_key()}"
        if "://" not in folder:
            keep_house(Path(folder))
    except (OSError, RuntimeError) as error:  # RuntimeError: the user has no home
        advice = "programs are compiled anew; --compilation-cache=DIR moves the cache, off stops it"
        print(f"skinflow: compilation cache: {one_line(error)}; {advice}", file=sys.stderr)
        if not isinstance(error, OSError) or not os.path.isdir(folder):
            return
    _configure(folder)


def _configured() -> bool:
    return bool(jax.config.jax_compilation_cache_dir) or not jax.config.jax_enable_compilation_cache


def _configure(folder: str | None) -> None:
    reset_cache()  # JAX asks for the folder once a process
    jax.config.update("jax_compilation_cache_dir", folder)
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        # JAX keeps what took a second; a start of a small model is made of much that took less.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def default_folder() -> Path:
    """`$XDG_CACHE_HOME/skinflow_jax/compiled`. Raises RuntimeError for a user without a home."""
    return user_cache("compiled")


def machine_key() -> str:
    """A name for all that compiled code depends on besides the program."""
    parts = (processor_features(), os.environ.get("XLA_FLAGS", ""), jax.__version__)
    text = "\n".join((*parts, jaxlib.__version__))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def processor_features(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The model and instruction sets of the first processor that Linux lists."""
    lines = {}
    text = cpuinfo.read_text(errors="replace") if cpuinfo.is_file() else ""
    for line in text.partition("\n\n")[0].splitlines():
        name, _, value = line.partition(":")
        lines[name.strip()] = " ".join(sorted(value.split()))
    names = ("vendor_id", "cpu family", "model", "flags", "CPU implementer", "CPU part", "Features")
    return "; ".join(f"{name}: {lines[name]}" for name in names if name in lines)


def keep_house(folder: Path) -> None:
    """Make `folder`; remove what is old, and what a killed process or a full disk left unfinished.

    JAX writes in place and never writes a name again, so that an unfinished program would be met
    at each start. Each is looked at once: those newer than the mark of the last look.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    mark, now = folder / MARK, time.time()
    checked = mark.stat().st_mtime if mark.exists() else 0.0
    for path in folder.parent.glob("*/*-cache"):
        try:
            written = path.stat().st_mtime
            old = written < now - KEPT_DAYS * 86400
            fresh = path.parent == folder and written >= checked
            if old or (fresh and not _is_whole(path.read_bytes())):
                path.unlink()
        except FileNotFoundError:  # another process removed it
            continue
    mark.write_text("Programs that skinflow compiled. The folder may be removed at any time.\n")
    os.utime(mark, (now, now))


def _is_whole(packed: bytes) -> bool:
    if packed.startswith(_ZSTANDARD):
        return True
    stream = zlib.decompressobj()
    try:
        stream.decompress(packed)
    except zlib.error:
        return False
    return stream.eof
