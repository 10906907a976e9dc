"""Fixtures shared by all tests."""

import gc
import os
import shutil
import signal
import tempfile
import zipfile
from pathlib import Path

import jax
import jaxlib
import pytest
from hypothesis import settings
from jaxtyping import install_import_hook
from outside_checkout import ROOT, python
from PIL import Image
from scripted_server import serving

# Compiling takes most of the time: let LLVM try less hard, in the commands that tests run too, and
# let XLA emit fused loops the plain way, in half of the time. The operations are the same. XLA ends
# a process that gives it a flag it does not know: later versions have but one way to emit.
QUICK = ["--xla_backend_optimization_level=0", "--xla_llvm_disable_expensive_passes=true"]
if jaxlib.__version__.startswith("0.10."):
    QUICK.append("--xla_cpu_use_fusion_emitters=false")
os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *QUICK])

# Tests and the commands that they run share what they compile; the user's cache is left alone.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    PROGRAMS = tempfile.TemporaryDirectory(prefix="skinflow-tests-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = PROGRAMS.name
    # Also what compiles in no time: hundreds of operations a process, read twice as fast.
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"

# A job that nohup or a shell's & starts ignores these, and so would all that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)
for number in (signal.SIGHUP, signal.SIGQUIT):
    signal.signal(number, signal.SIG_DFL)

# The shapes in signatures are checked while the tests run, nowhere else; only in modules that are
# always given JAX arrays, because that is what the annotations name.
install_import_hook(
    [
        "skinflow_jax.models.attention",
        "skinflow_jax.models.decoder",
        "skinflow_jax.models.layers",
        "skinflow_jax.models.vlm",
    ],
    "beartype.beartype",
)

# No timed assertions: a busy machine is no fault. The same examples at each run of a commit.
settings.register_profile("ours", deadline=None, derandomize=True)
settings.load_profile("ours")


# Linux allows a process 65,530 memory mappings. A compiled program keeps a few dozen, and a worker
# that runs half of the tests would need more: XLA then dies of a segmentation fault.
MAPPINGS = 15_000


def pytest_collection_modifyitems(items):
    """Files with slow tests first: one that begins last would leave the other workers idle."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True, scope="module")
def room_for_programs():
    """Forget the compiled programs of earlier modules when there are many."""
    yield
    mappings = Path("/proc/self/maps")
    if mappings.exists() and len(mappings.read_bytes().splitlines()) > MAPPINGS:
        jax.clear_caches()
        gc.collect()


@pytest.fixture
def server():
    """An endpoint on localhost whose `script` a test may set."""
    with serving() as found:
        yield found


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Real images, label tables and Qwen's tokenizer; never part of the project."""
    folder = os.environ.get("SKINFLOW_TEST_DATA")
    if not folder:
        pytest.skip("SKINFLOW_TEST_DATA is not set: it names the folder with the real test data")
    path = Path(folder)
    assert path.is_dir(), f"SKINFLOW_TEST_DATA={folder} is not a folder"
    return path


@pytest.fixture
def fails(capsys):
    """Runs a command that must fail with a code and one line on stderr; returns the line."""

    from skinflow_jax.cli import main

    def run(*arguments, code):
        capsys.readouterr()
        assert main([str(a) for a in arguments]) == code
        error = capsys.readouterr().err
        assert error.startswith("skinflow: ") and error.count("\n") == 1, error
        assert "Traceback" not in error
        return error.removeprefix("skinflow: ").strip()

    return run


@pytest.fixture
def pad_copy(test_data, tmp_path):
    """PAD-UFES-20 in a folder of its own, free to be damaged."""
    root = tmp_path / "pad"
    shutil.copytree(test_data / "data" / "pad_ufes_20", root)
    return root


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A data root, with images of the names that tables in tests give, and one outside of it."""
    root = tmp_path_factory.mktemp("outer") / "root"
    (root / "images").mkdir(parents=True)
    for number, name in enumerate(("i1.png", "i2.png", "x..png", "a b.jpg")):
        Image.new("RGB", (9, 9), (number, 0, 0)).save(root / "images" / name)
    Image.new("RGB", (9, 9), (99, 0, 0)).save(root.parent / "secret.png")
    return root


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """Built from a copy, so that the checkout stays clean."""
    pytest.importorskip("setuptools")
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in ("skinflow_jax", "configs"):
        unwanted = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=unwanted)
    for path in (*ROOT.glob("*.toml"), *ROOT.glob("*.txt"), ROOT / "README.md", ROOT / "LICENSE"):
        shutil.copy(path, source)
    options = ["--no-deps", "--no-build-isolation", "--quiet", "--no-index"]
    python(folder, "-m", "pip", "wheel", *options, f"--wheel-dir={folder}", str(source))
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="session")
def installed(wheel, tmp_path_factory):
    """A folder that holds the installed package and nothing else of ours."""
    target = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    return target
