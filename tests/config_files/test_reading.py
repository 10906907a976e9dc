"""Whatever a config file does or an override says, the answer is one line that names it."""

import pytest

from skinflow_jax.config import load_config
from skinflow_jax.config_files.reading import override_value
from skinflow_jax.errors import STOPPED, ConfigError

HEAD = "from ml_collections import ConfigDict, FieldReference, config_dict\nimport sys\n"


def fails(path, overrides=None) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides)
    line = str(caught.value)
    assert "\n" not in line and len(line) < 600
    return line


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ("def get_config():\n    sys.exit(0)", "line 4: SystemExit: 0"),
        ("sys.exit('bye')", "line 3: SystemExit: bye"),
        ("def get_config():\n    raise GeneratorExit", "line 4: GeneratorExit"),
        ("class Odd(BaseException): pass\nraise Odd('a\\nb')", "line 4: Odd: a b"),
        ("def get_config(): return get_config()", "RecursionError"),
        ("def get_config(size): pass", "TypeError: get_config() missing 1 required"),
        ("async def get_config(): pass", "must return an ml_collections.ConfigDict"),
        ("get_config = 3", "must return an ml_collections.ConfigDict"),
        (
            "def get_config():\n    c = ConfigDict()\n"
            "    c.batch_size = config_dict.required_placeholder(int)\n    return c",
            "RequiredValueError",
        ),
        (
            "def get_config(): return ConfigDict({'batch_size': FieldReference(None, int)})",
            "config batch_size=None must be a whole number",
        ),
        ("def get_config(): return ConfigDict({'batch_size': print})", "batch_size=<built-in"),
        (
            "import numpy as np\ndef get_config():\n"
            "    return ConfigDict({'batch_size': np.arange(2000)})",
            "config batch_size=array([",
        ),
        (
            "from pathlib import Path\ndef get_config():\n"
            "    return ConfigDict({'data': {'balance': Path('x')}})",
            "data.balance=PosixPath('x') must be text",
        ),
        ("def get_config(): return ConfigDict({'batch_size': 10**9999})", "batch_size=<int> must"),
        (
            "def get_config():\n    x = ()\n    for _ in range(90): x = (x, x)\n"
            "    return ConfigDict({'batch_size': x})",
            "config batch_size=((",
        ),
        ("def get_config(): return ConfigDict({'rl': 5})", "config rl=5 must be a group of keys"),
        ("def get_config(:", "SyntaxError"),
    ],
)
def test_a_config_file_that_goes_wrong_is_one_line(tmp_path, body, answer):
    path = tmp_path / "mine.py"
    path.write_text(HEAD + body)
    assert answer in fails(path)


def test_a_config_file_that_is_no_text_is_named(tmp_path):
    path = tmp_path / "mine.py"
    for content in (b"x = '\xff\xfe'\n", b"\0", b"\x80PNG"):
        path.write_bytes(content)
        assert "mine.py" in fails(path)


@pytest.mark.parametrize("leaving", ["KeyboardInterrupt", "StartAgain", "Terminated"])
def test_ctrl_c_and_sigterm_pass_through_a_config_file(tmp_path, leaving):
    path = tmp_path / "mine.py"
    path.write_text(f"from skinflow_jax.errors import *\nraise {leaving}")
    with pytest.raises(STOPPED):
        load_config(path)


def test_numpy_scalars_are_numbers(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        HEAD + "import numpy as np\ndef get_config():\n"
        "    return ConfigDict({'batch_size': np.int64(4), 'loop': {'steps': np.int32(2)}})"
    )
    config = load_config(path)
    assert (config.batch_size, type(config.batch_size)) == (4, int)


@pytest.mark.parametrize(
    ("key", "text", "answer"),
    [
        ("seed", "", "--config.seed= has no value: write --config.seed=VALUE, or None for none"),
        ("rl", " ", "--config.rl= has no value"),
        ("", "3", "a name in the key is empty"),
        (".x", "1", "a name in the key is empty"),
        ("rl.", "1", "a name in the key is empty"),
        ("rl..top_k", "1", "a name in the key is empty"),
        ("data.count", "~", "config data.count='~' must be a whole number"),
        ("seed", "no", "config seed='no' must be a whole number"),
        ("seed", "010", "config seed='010' must be a whole number"),
        ("seed", "1:30", "config seed='1:30' must be a whole number"),
        ("seed", "2026-01-01", "config seed='2026-01-01' must be a whole number"),
        ("seed", "99999999999999999999", "must be a whole number from 0 to 4,294,967,295"),
        ("optimizer.learning_rate", "nan", "config optimizer.learning_rate=nan must be a finite "),
        ("optimizer.learning_rate", "-inf", "learning_rate=-inf must be a finite number above 0"),
        ("optimizer.learning_rate", ".inf", "must be a finite number above 0"),
        ("optimizer.learning_rate", "1e999", "learning_rate=inf must be a finite number above 0"),
        ("seed", "!!python/object/apply:os.system ['false']", "must be a whole number"),
        ("seed", "&a [*a]", "must be a whole number"),
        ("seed", "(" * 5000, "must be a whole number"),
        ("seed", "-" * 50000 + "1", "must be a whole number"),
        ("seed", "9" * 5000, "must be a whole number"),
        ("seed", "{[]: 1}", "must be a whole number"),
        ("rl.log_kl", "yes", "config rl.log_kl='yes' must be True or False"),
    ],
)
def test_an_override_that_means_nothing_is_named(key, text, answer):
    assert answer in fails(None, {key: text})


def test_one_override_within_another_is_refused_in_either_order():
    overrides = {"rl.top_k": "3", "rl": "{'top_p': 0.5}"}
    for given in (overrides, dict(reversed(overrides.items()))):
        assert "--config.rl and --config.rl.top_k set the same value" in fails(None, given)


def test_a_list_of_aliases_that_would_grow_without_end_is_text():
    """YAML would expand it to 10^9 strings."""
    text = "[&a [x,x,x,x,x,x,x,x,x,x], &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]]"
    assert "config seed=" in fails(None, {"seed": text})
    assert override_value("[caption, 3, None]") == ("caption", 3, None)
