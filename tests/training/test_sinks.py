"""What a run leaves in its workdir, read back by other readers than ours."""

import contextlib
import io
import json
import subprocess
import sys
import time
from html import unescape

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing import plugin_event_accumulator
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugin_util import markdown_to_safe_html
from tensorboard.plugins.text import text_plugin
from tensorboard.util.tensor_util import make_ndarray

from skinflow_jax.errors import InputError
from skinflow_jax.training.event_log import EventLog
from skinflow_jax.training.sinks import RunWriter, rollout_table

EVERYTHING = {"scalars": 0, "text": 0, "images": 0}


def rollout(case_id="case-1", completion="melanoma", task="diagnosis", reward=1.0, advantage=0.5):
    return {
        "case_id": case_id,
        "task": task,
        "completion": completion,
        "rewards": {"diagnosis": reward, "caption": None},
        "advantage": advantage,
    }


def read_lines(path):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return [json.loads(line, parse_constant=refuse) for line in path.read_text().splitlines()]


def read_events(workdir):
    everything = {"scalars": 0, "images": 0, "tensors": 0}
    return EventAccumulator(str(workdir / "tensorboard"), size_guidance=everything).Reload()


def test_scalars_arrive_in_metrics_jsonl_and_in_tensorboard(tmp_path):
    with RunWriter(tmp_path) as writer:
        writer.scalars(1, {"loss": np.float32(0.5), "rewards/caption/mean": 0.25})
        writer.scalars(2, {"loss": 0.125, "rewards/caption/mean": 0.75})
    assert read_lines(tmp_path / "metrics.jsonl") == [
        {"step": 1, "loss": 0.5, "rewards/caption/mean": 0.25},
        {"step": 2, "loss": 0.125, "rewards/caption/mean": 0.75},
    ]
    events = read_events(tmp_path)
    assert [(e.step, e.value) for e in events.Scalars("loss")] == [(1, 0.5), (2, 0.125)]
    assert events.Scalars("rewards/caption/mean")[1].value == 0.75


def test_a_metric_that_is_not_finite_is_null_and_counted_and_the_line_stays_json(tmp_path):
    with RunWriter(tmp_path) as writer:
        writer.scalars(1, {"a": float("nan"), "b": float("-inf"), "c": 3.0})
        writer.scalars(2, {"a": 1.0})
    first, second = read_lines(tmp_path / "metrics.jsonl")
    assert first == {"step": 1, "a": None, "b": None, "c": 3.0, "non_finite": 2}
    assert "non_finite" not in second
    assert np.isnan(read_events(tmp_path).Scalars("a")[0].value)


def test_metrics_are_on_disk_before_the_run_ends(tmp_path):
    with RunWriter(tmp_path) as writer:
        writer.scalars(1, {"loss": 1.0})
        assert len(read_lines(tmp_path / "metrics.jsonl")) == 1


def test_images_come_back_from_tensorboard_pixel_for_pixel(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (3, 5, 7, 3), dtype=np.uint8)
    with RunWriter(tmp_path) as writer:
        writer.images(4, "prompts", images)
    events = read_events(tmp_path)
    assert events.Tags()["images"] == ["prompts/0", "prompts/1", "prompts/2"]
    for index, expected in enumerate(images):
        (event,) = events.Images(f"prompts/{index}")
        assert (event.step, event.height, event.width) == (4, 5, 7)
        decoded = np.asarray(Image.open(io.BytesIO(event.encoded_image_string)))
        np.testing.assert_array_equal(decoded, expected)


@pytest.mark.parametrize(
    "images", [np.zeros((2, 4, 4, 3), np.float32), np.zeros((4, 4, 3), np.uint8)]
)
def test_images_of_another_type_or_shape_are_refused_by_name(tmp_path, images):
    with (
        RunWriter(tmp_path) as writer,
        pytest.raises(ValueError, match=r"'prompts' must be uint8 \[N, H, W, 3\]"),
    ):
        writer.images(1, "prompts", images)


def test_text_is_what_tensorboards_text_plugin_takes(tmp_path):
    with contextlib.closing(EventLog(tmp_path / "tensorboard")) as log:
        log.text(3, "note", "**Grüße**")
    events = read_events(tmp_path)
    assert events.SummaryMetadata("note").plugin_data.plugin_name == "text"
    (event,) = events.Tensors("note")
    assert event.step == 3
    assert event.tensor_proto.string_val[0].decode() == "**Grüße**"
    html = text_plugin.text_array_to_html(np.array(event.tensor_proto.string_val[0]), True)
    assert "<strong>Grüße</strong>" in html


def test_every_completion_is_a_line_of_rollouts_jsonl(tmp_path):
    texts = ["melanoma", 'two\nlines, "quotes"', "", "黑色素瘤", "\ud83d lone surrogate"]
    texts += ["line\u2028separators\x85and\x0bothers", "\u202eturned"]
    rows = [rollout(completion=text, reward=i, advantage=i - 2.0) for i, text in enumerate(texts)]
    rows[1]["rewards"]["diagnosis"] = float("nan")
    with RunWriter(tmp_path) as writer:
        writer.rollouts(7, rows)
    lines = read_lines(tmp_path / "rollouts.jsonl")
    assert [line["completion"] for line in lines] == texts
    assert lines[0] == {"step": 7, **rows[0]}
    assert lines[1]["rewards"] == {"diagnosis": None, "caption": None}


def test_tensorboard_shows_the_first_groups_of_the_rollouts_only(tmp_path):
    rows = [
        rollout(case_id=f"case-{g}", completion=f"text-{g}-{i}") for g in range(5) for i in (0, 1)
    ]
    with RunWriter(tmp_path) as writer:
        writer.rollouts(1, rows)
    (event,) = read_events(tmp_path).Tensors("rollouts")
    html = markdown_to_safe_html(event.tensor_proto.string_val[0].decode())
    assert [f"text-{g}-{i}" in html for g in range(5) for i in (0, 1)] == [True] * 4 + [False] * 6
    assert "diagnosis 1.000, caption -" in html
    assert "0.500" in html


@pytest.mark.parametrize(
    "completion",
    [
        '{"diagnoses": ["a_b_c", "*d*"]}',
        "a | b || c",
        "<think>x</think><script>alert(1)</script>",
        "![image](http://x/y.png) [link](http://x)",
        "`code` ``` ~~~ # head & &amp; &#124; \\| \\",
        "__bold__ **bold** <br> 🙂",
    ],
)
def test_a_completion_is_shown_as_written_and_never_rendered(completion):
    from html.parser import HTMLParser

    cells, tags = [], set()

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attributes):
            tags.add(tag)
            if tag == "td":
                cells.append("")

        def handle_data(self, data):
            if cells:
                cells[-1] += data

    Reader(convert_charrefs=True).feed(
        markdown_to_safe_html(rollout_table([rollout(completion=completion)]))
    )
    assert cells[1].strip() == completion
    assert tags == {"table", "thead", "tbody", "tr", "th", "td"}


def test_a_completion_of_several_lines_stays_in_its_cell():
    html = markdown_to_safe_html(rollout_table([rollout(completion="one\n\n| two |\n# three")]))
    assert html.count("<tr>") == 2
    assert html.count("<br>") == 3


def test_what_turns_the_direction_of_reading_is_shown_escaped():
    html = markdown_to_safe_html(rollout_table([rollout(completion="\u202edlo\x1b[2J")]))
    assert r"\u202edlo\x1b[2J" in unescape(html)


def test_a_resumed_run_leaves_no_line_twice(tmp_path, monkeypatch):
    def steps(writer, first, last, value):
        for step in range(first, last + 1):
            writer.scalars(step, {"loss": value})
            writer.rollouts(step, [rollout(completion=f"{value}")])

    with RunWriter(tmp_path) as writer:
        steps(writer, 1, 8, 1.0)
    # TensorBoard orders event files by the second in their names.
    later = time.time() + 60
    monkeypatch.setattr(time, "time", lambda: later)
    with RunWriter(tmp_path, resume_step=5) as writer:
        steps(writer, 6, 10, 2.0)

    expected = [(step, 1.0 if step <= 5 else 2.0) for step in range(1, 11)]
    metrics = read_lines(tmp_path / "metrics.jsonl")
    assert [(line["step"], line["loss"]) for line in metrics] == expected
    rollouts = read_lines(tmp_path / "rollouts.jsonl")
    assert [(line["step"], float(line["completion"])) for line in rollouts] == expected
    # The server's reader, for which scalars are tensors; the other one never purges tensors.
    events = plugin_event_accumulator.EventAccumulator(
        str(tmp_path / "tensorboard"), size_guidance=None, tensor_size_guidance=EVERYTHING
    ).Reload()
    points = [(e.step, make_ndarray(e.tensor_proto).item()) for e in events.Tensors("loss")]
    assert points == expected
    assert [event.step for event in events.Tensors("rollouts")] == list(range(1, 11))
    assert not list(tmp_path.glob("*.partial"))


def test_without_a_step_to_resume_from_what_is_there_stays(tmp_path, monkeypatch):
    for step in (1, 2):
        with RunWriter(tmp_path) as writer:
            writer.scalars(step, {"loss": 1.0})
        later = time.time() + 60
        monkeypatch.setattr(time, "time", lambda later=later: later)
    assert [line["step"] for line in read_lines(tmp_path / "metrics.jsonl")] == [1, 2]
    assert [event.step for event in read_events(tmp_path).Scalars("loss")] == [1, 2]


def test_resuming_from_step_0_starts_the_files_anew(tmp_path):
    for _ in range(2):
        with RunWriter(tmp_path, resume_step=0) as writer:
            writer.scalars(1, {"loss": 1.0})
    assert [line["step"] for line in read_lines(tmp_path / "metrics.jsonl")] == [1]


@pytest.mark.parametrize("resume_step", [None, 2])
def test_a_line_torn_by_a_kill_is_dropped(tmp_path, resume_step):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 1.0}\n{"step": 2, "lo')
    with RunWriter(tmp_path, resume_step=resume_step) as writer:
        writer.scalars(3, {"loss": 3.0})
    assert [line["step"] for line in read_lines(tmp_path / "metrics.jsonl")] == [1, 3]


@pytest.mark.parametrize("line", ["not json", '{"loss": 1.0}', "[1]", '{"step": null}'])
def test_a_foreign_line_is_an_error_that_names_file_and_line(tmp_path, line):
    path = tmp_path / "metrics.jsonl"
    path.write_text(f'{{"step": 1}}\n{line}\n')
    before = path.read_text()
    with pytest.raises(InputError, match=r"metrics\.jsonl, line 2: .*delete the line"):
        RunWriter(tmp_path, resume_step=5)
    assert path.read_text() == before


def test_a_workdir_that_cannot_be_made_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"workdir .*file/run: .*choose another"):
        RunWriter(tmp_path / "file" / "run")


def test_a_process_other_than_the_first_writes_nothing(tmp_path):
    workdir = tmp_path / "run"
    with RunWriter(workdir, enabled=False) as writer:
        writer.config({"a": 1})
        writer.scalars(1, {"loss": 1.0})
        writer.images(1, "x", np.zeros((1, 2, 2, 3), np.uint8))
        writer.rollouts(1, [rollout()])
    assert not workdir.exists()


def test_config_json_is_json_whatever_the_config_holds(tmp_path):
    config = {"path": tmp_path, "sizes": (1, 2), "lr": np.float32(0.5), "clip": float("inf")}
    with RunWriter(tmp_path) as writer:
        writer.config({"old": True})
        writer.config(config)
    (text,) = [(tmp_path / "config.json").read_text()]
    assert json.loads(text, parse_constant=pytest.fail) == {
        "path": str(tmp_path),
        "sizes": [1, 2],
        "lr": 0.5,
        "clip": "inf",
    }


def test_the_sinks_need_no_tensorflow(tmp_path):
    program = (
        "import sys; sys.modules['tensorflow'] = None; sys.modules['tensorboardX'] = None\n"
        "from skinflow_jax.training.sinks import RunWriter\n"
        f"with RunWriter({str(tmp_path)!r}) as writer: writer.scalars(1, {{'loss': 1.0}})\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    assert read_events(tmp_path).Scalars("loss")[0].value == 1.0
