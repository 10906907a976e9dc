"""`rollouts.jsonl` read back: every line is shown once, or counted and named."""

import json
import tracemalloc

import pytest
from counted_lines import lines_run

from skinflow_jax.errors import InputError
from skinflow_jax.training.rollout_lines import RolloutLines


def line(step, case="case-1", text="melanoma", **more):
    row = {"step": step, "case_id": case, "task": "diagnosis", "completion": text}
    return row | {"rewards": {"diagnosis": 1.0, "caption": None}, "advantage": 0.5} | more


def written(tmp_path, rows, end=""):
    path = tmp_path / "rollouts.jsonl"
    text = "".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows)
    path.write_text(text + end)
    return path


def texts(lines, **chosen):
    return [[r.text for r in group.rollouts] for group in lines.groups(**chosen)]


def test_the_completions_of_a_prompt_are_a_group_also_of_one_case_twice_in_a_row(tmp_path):
    rows = [line(1, text=f"{group}{i}", group=group) for group in (0, 1) for i in "ab"]
    lines = RolloutLines(written(tmp_path, [*rows, line(2, text="later", group=1)]))
    assert texts(lines) == [["0a", "0b"], ["1a", "1b"], ["later"]]
    assert texts(lines, step=2) == [["later"]]
    assert lines.steps == {1: 4, 2: 1} and lines.notes() == []


def test_a_line_has_its_reference_tokens_and_weighted_reward(tmp_path):
    row = line(3, group=7, reference="naevus", tokens=12, reward=0.25)
    (group,) = RolloutLines(written(tmp_path, [row])).groups()
    assert (group.step, group.number, group.reference) == (3, 7, "naevus")
    (found,) = group.rollouts
    assert (found.tokens, found.reward, found.advantage) == (12, 0.25, 0.5)
    assert found.rewards == {"diagnosis": 1.0, "caption": None}


def test_lines_of_earlier_versions_stay_readable(tmp_path):
    rows = [line(1, "a", text="1"), line(1, "a", text="2"), line(1, "b", text="3")]
    for row in rows:
        del row["task"]
    lines = RolloutLines(written(tmp_path, rows))
    assert texts(lines) == [["1", "2"], ["3"]]
    (group, _) = lines.groups()
    assert (group.number, group.reference, group.rollouts[0].tokens) == (None, None, None)


def test_a_last_line_that_a_kill_cut_off_is_named_and_counted(tmp_path):
    lines = RolloutLines(written(tmp_path, [line(1)], end='{"step": 2, "case_id": "ca'))
    assert texts(lines) == [["melanoma"]]
    (note,) = lines.notes()
    assert "line 2 is cut off" in note and "1 line left out" in note


@pytest.mark.parametrize(
    "bad",
    [
        "nonsense\n",
        "[1]\n",
        "\n",
        "[" * 100_000 + "\n",
        "\x00\ufffe\n",
        json.dumps(line(1) | {"step": "1"}) + "\n",
        json.dumps(line(1) | {"step": True}) + "\n",
        json.dumps(line(1) | {"completion": None}) + "\n",
        json.dumps(line(1) | {"rewards": {"diagnosis": "high"}}) + "\n",
        json.dumps(line(1) | {"task": []}) + "\n",
    ],
)
def test_lines_that_are_no_rollouts_are_counted_and_the_first_are_named(tmp_path, bad):
    lines = RolloutLines(written(tmp_path, [line(1), bad, bad, bad, bad, line(2, "b")]))
    assert texts(lines) == [["melanoma"], ["melanoma"]]
    assert lines.notes() == ["4 left out that are no rollouts: line 2, 3, 4, …"]


def test_steps_that_a_resumed_run_wrote_again_count_once(tmp_path):
    first = [line(step, text=f"first {step}") for step in (1, 2, 3, 4)]
    second = [line(step, text=f"second {step}") for step in (3, 4, 5)]
    third = [line(step, text=f"third {step}") for step in (2, 3)]
    lines = RolloutLines(written(tmp_path, first + second + third))
    assert texts(lines) == [["first 1"], ["third 2"], ["third 3"]]
    assert texts(lines, step=3) == [["third 3"]]
    assert lines.steps == {1: 1, 2: 1, 3: 1} and lines.tasks == {"diagnosis"}
    assert lines.notes() == ["6 left out of steps that a resumed run wrote again, further down"]


def test_a_file_that_goes_back_at_every_other_line_takes_no_more_work_a_line(tmp_path):
    def reading(count):
        lines = RolloutLines(written(tmp_path, [line(step) for step in [2, 1] * count]))
        return lines_run(lambda lines: list(lines.groups()), lines)

    assert reading(800) < 5 * reading(200)


def test_numbers_that_are_none_are_not_shown_as_some(tmp_path):
    text = json.dumps(line(1, advantage=float("nan"), reward=10**400)) + "\n"
    (group,) = RolloutLines(written(tmp_path, [text])).groups()
    assert (group.rollouts[0].advantage, group.rollouts[0].reward) == (None, None)


def test_what_a_run_adds_meanwhile_is_not_looked_at(tmp_path):
    path = written(tmp_path, [line(1)])
    lines = RolloutLines(path)
    with path.open("a") as file:
        file.write(json.dumps(line(1, text="added")) + "\n")
    assert texts(lines) == [["melanoma"]]


@pytest.mark.parametrize("rows", [[], ["{}\n"]])
def test_a_file_without_a_rollout_is_refused_in_a_line(tmp_path, rows):
    with pytest.raises(InputError, match=r"rollouts.jsonl holds no rollout.*grpo"):
        RolloutLines(written(tmp_path, rows))
    with pytest.raises(InputError, match="does not exist: grpo writes one"):
        RolloutLines(tmp_path / "absent")


def test_memory_does_not_grow_with_the_number_of_lines(tmp_path):
    def peak(steps):
        rows = [line(step, text="x" * 500) for step in range(steps) for _ in range(10)]
        path = written(tmp_path, rows)
        del rows
        tracemalloc.start()
        assert sum(1 for _ in RolloutLines(path).groups()) == steps
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    assert peak(400) < peak(100) + 100_000  # 2 MB more lines
