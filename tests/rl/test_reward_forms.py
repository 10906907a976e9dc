"""Reward functions written for TRL, EasyR1 and verl run unchanged, told by their parameters."""

import re
from pathlib import Path

import numpy as np
import pytest

from skinflow_jax.data.pipeline import Example
from skinflow_jax.errors import ConfigError, RunError
from skinflow_jax.rl.completions import Completion
from skinflow_jax.rl.process_state import RewardProcess
from skinflow_jax.rl.reward_files import load_rewards
from skinflow_jax.rl.reward_forms import check_columns
from skinflow_jax.rl.rewards import score

FILE = Path(__file__).with_name("foreign_rewards.py")
IMAGE = np.zeros((28, 56, 3), np.uint8)
ROW = {
    "solution": "eczema",
    "difficulty": 3,
    "data_source": "clinic/atlas",
    "reward_model": {"style": "rule", "ground_truth": "eczema"},
    "extra_info": {"split": "train", "index": 7},
}
ASKED = Example(
    *("row-1", "question", {}, "", {}, (IMAGE, IMAGE)),
    prompt="<image><image>What is this?",
    answer="eczema",
    columns=ROW,
)
LISTED = Example("case-2", "diagnosis", {}, "psoriasis", {}, (IMAGE,), prompt="<image>List six.")
TEXTS = [
    [
        Completion("<answer>eczema</answer>", [5, 6, 7]),
        Completion("<answer>acne</answer>", [5, 6]),
        Completion("eczema", [5]),
    ]
]


def rewards_of(name, texts=TEXTS, examples=(ASKED,), process=None):
    functions = load_rewards([f"{FILE}:{name}"], process)
    return score(texts, list(examples), functions)[..., 0]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("exact", [1, 0, 0]),
        ("in_messages", [1, 0, 1]),
        ("through_another", [23, 21, 6]),
        ("asks", [2, 2, 2]),
        ("of_one_task", [np.nan] * 3),
        ("judge", [46, 42, 12]),
        ("set_beforehand", [1, 0, 1]),
        ("slow", [3, 3, 3]),
        ("lengths", [-3, -2, -1]),
        ("sizes", [112, 112, 112]),
        ("compute_score", [1, 0.1, 0]),
        ("one_by_one", [1.5, 1, 0.5]),
        ("early", [1, 0, 0]),
        ("early_batch", [1, 0, 1]),
        ("of_verl", [1, 0, 0]),
        ("of_verl_dict", [1, 0, 1]),
        ("of_verl_async", [23, 21, 6]),
        ("of_verl_batch", [1, 0, 1]),
    ],
)
def test_a_function_of_another_stack_gives_its_own_values(name, expected):
    np.testing.assert_allclose(rewards_of(name), [expected])


def test_a_function_of_trl_is_told_the_step():
    process = RewardProcess()
    process.step = 41
    assert rewards_of("scheduled", process=process).tolist() == [[41, 41, 41]]


def test_all_forms_stand_beside_each_other():
    names = [f"{FILE}:{name}" for name in ("exact", "compute_score", "of_verl_dict", "slow")]
    rewards = score(TEXTS, [ASKED], load_rewards(["diagnosis", *names]))
    np.testing.assert_allclose(rewards[0, 0], [np.nan, 1, 1, 1, 3])


def test_the_truth_of_what_was_asked_is_the_ground_truth():
    captioned = Example("c", "caption", {"colour": "red"}, "psoriasis", {}, (IMAGE,))
    texts = [["<answer>psoriasis</answer>"], ['<answer>{"colour": "red"}</answer>']]
    assert rewards_of("early", texts, [LISTED, captioned]).tolist() == [[1], [1]]


def test_a_row_without_a_column_that_others_have_gives_none():
    """As data sets have it: here the function fails on None, and the sample is named."""
    texts = [[Completion("a")], [Completion("b")]]
    with pytest.raises(RunError, match=r"'slow' raised TypeError: .*NoneType.* on case case-2"):
        functions = load_rewards([f"{FILE}:slow"])
        check_columns(functions, [ASKED, LISTED])
        score(texts, [ASKED, LISTED], functions)


def test_a_column_that_no_case_has_is_named_before_the_run():
    functions = load_rewards([f"{FILE}:in_messages"])
    check_columns(functions, [LISTED, ASKED])
    with pytest.raises(ConfigError) as caught:
        check_columns(functions, [LISTED])
    line = str(caught.value)
    assert f"{FILE}: in_messages takes 'solution', which no case has" in line
    assert "the cases have case_id, " in line and "diagnosis" in line


def test_a_column_that_is_missing_at_a_call_is_named_with_the_sample():
    with pytest.raises(RunError, match=r"takes 'solution', which no case has.* on case case-2"):
        rewards_of("in_messages", [["a"]], [LISTED])


def test_a_text_without_tokens_has_no_length():
    with pytest.raises(RunError, match=r"takes 'completion_ids', which no case has"):
        rewards_of("lengths", [["a"]])


def test_a_dict_without_the_value_that_is_trained_on_is_named():
    with pytest.raises(RunError, match=r"a dict without 'overall'; it has accuracy on case row-1"):
        rewards_of("without_overall")


def test_the_row_of_the_run_is_not_the_functions_to_change(tmp_path):
    file = tmp_path / "greedy.py"
    file.write_text(
        "def f(reward_inputs):\n"
        "    for r in reward_inputs:\n"
        "        r['extra_info']['split'] = 'test'\n"
        "    return [{'overall': 1} for _ in reward_inputs]\n"
    )
    score(TEXTS, [ASKED], load_rewards([f"{file}:f"]))
    assert ASKED.columns["extra_info"]["split"] == "train"


@pytest.mark.parametrize("stated", ["batch", "sequential"])
def test_easyr1s_type_in_the_file_tells_a_function_whose_parameter_has_another_name(
    tmp_path, stated
):
    body = {
        "batch": "return [{'overall': len(d['response'])} for d in data]",
        "sequential": "return {'overall': len(data['response'])}",
    }[stated]
    file = tmp_path / "typed.py"
    file.write_text(f"REWARD_TYPE = {stated!r}\ndef f(data, **kwargs):\n    {body}\n")
    assert score(TEXTS, [ASKED], load_rewards([f"{file}:f"])).ravel().tolist() == [23, 21, 6]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("two_forms", r"could be \(completions, examples\) or TRL's \(prompts, completions"),
        ("two_owners", r"could be TRL's .* or verl's \(data_source, solution_str"),
        ("three_things", r"cannot be called with \(completions, examples\).*EasyR1's \(reward_inp"),
    ],
)
def test_what_has_no_form_or_two_is_refused_with_the_forms_there_are(name, expected):
    with pytest.raises(ConfigError, match=expected) as caught:
        load_rewards([f"{FILE}:{name}"])
    assert str(caught.value).count("solution_strs") == 1


def test_the_parameters_of_ours_in_another_order_are_refused(tmp_path):
    file = tmp_path / "exchanged.py"
    file.write_text("def f(examples, completions):\n    return [0.0] * len(completions)\n")
    with pytest.raises(ConfigError, match=r"is called with \(completions, examples\), in this ord"):
        load_rewards([f"{file}:f"])


def test_what_only_the_owners_servers_have_is_refused_before_the_run():
    functions = load_rewards([f"{FILE}:of_another_service"])
    with pytest.raises(ConfigError, match="takes 'reward_router_address', which no case has"):
        check_columns(functions, [ASKED])


def test_the_functions_in_the_documentation_run_as_they_stand_there(tmp_path):
    text = (Path(__file__).parents[2] / "docs" / "rewards.md").read_text(encoding="utf-8")
    rows = []
    for number, body in enumerate(re.findall(r"```python\n(.*?)```", text, re.DOTALL)):
        file = tmp_path / f"form{number}.py"
        file.write_text(body)
        name = re.search(r"def (\w+)", body)[1]
        examples = [ASKED if number else LISTED]
        rows.append(score(TEXTS, examples, load_rewards([f"{file}:{name}"])).ravel().tolist())
    assert rows[1:] == [[0, 0, 1]] * 3
    np.testing.assert_allclose(rows[0], [-0.23, -0.21, -0.06], rtol=1e-6)
