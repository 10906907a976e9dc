"""`skinflow data build` as a user meets it."""

import re
from dataclasses import replace

from photographs import CONFIGS, PAD, SFT, damage, first_cases

from skinflow_jax.cli import main
from skinflow_jax.config import load_config
from skinflow_jax.runs.cases import prepare_records


def test_data_build_writes_records_once_and_says_what_they_are(tmp_path, capsys):
    build = ["data", "build", SFT, "--config.data.count=5", f"--out={tmp_path}"]
    assert main(build) == 0
    assert "procedural: 5 cases in 1 shards" in capsys.readouterr().out
    folder = tmp_path / "procedural-warmup-5"
    before = (folder / "manifest.json").stat().st_mtime_ns
    assert main(build) == 0
    assert (folder / "manifest.json").stat().st_mtime_ns == before


def test_records_of_other_data_are_not_taken_for_these(tmp_path, fails):
    build = ["data", "build", SFT, "--config.data.count=5", f"--out={tmp_path}"]
    assert main(build) == 0
    problem = fails(*build, "--config.data.max_pixels=3136", code=2)
    assert "max_pixels=12544" in problem and "max_pixels=3136" in problem


def test_building_skips_counts_and_lists_bad_images(pad_copy, tmp_path, capsys):
    cut, gone = names = first_cases(pad_copy, 6)[1:3]
    damage(pad_copy, names)
    build = ["data", "build", *PAD, f"--config.data.data_root={pad_copy}", "--config.data.count=6"]
    assert main([*build, f"--out={tmp_path}/records"]) == 0
    out = capsys.readouterr().out
    assert out.count("233 cases") == 1 and "2 skipped" in out
    assert f"skipped pad_ufes_20/{cut}: " in out and "cannot be read as an image" in out
    assert f"skipped pad_ufes_20/{gone}: " in out and "no image" in out


def test_building_fails_when_too_many_images_are_bad_or_none_is_left(pad_copy, tmp_path, fails):
    table = pad_copy / "metadata.csv"
    rows = table.read_text().splitlines(keepends=True)
    stems = [row.split("PAT_")[-1].split(".png")[0] for row in rows[1:3]]
    table.write_text("".join(rows[:21]))
    damage(pad_copy, [f"PAT_{stem}" for stem in stems])
    build = ["data", "build", *PAD, f"--config.data.data_root={pad_copy}", f"--out={tmp_path}/out"]
    problem = fails(*build, code=2)
    assert "2 of 20 cases are unusable, more than the 2% of data.max_skipped" in problem
    assert main([*build, "--config.data.max_skipped=0.1"]) == 0
    table.write_text("".join(rows[:3]))
    problem = fails(*build[:-1], f"--out={tmp_path}/other", code=2)
    assert "none of the 2 cases is usable; the first, pad_ufes_20/" in problem


def test_a_table_without_a_needed_column_and_a_missing_folder_are_named(pad_copy, tmp_path, fails):
    build = ["data", "build", *PAD, f"--out={tmp_path}/records"]
    assert "nowhere/metadata.csv" in fails(*build, "--config.data.data_root=nowhere", code=2)
    table = pad_copy / "metadata.csv"
    table.write_text(table.read_text().replace("diagnostic", "diagnosis", 1))
    problem = fails(*build, f"--config.data.data_root={pad_copy}", code=2)
    assert str(table) in problem and "needs a column 'diagnostic'" in problem


def test_fewer_cases_than_asked_for_are_mentioned(pad_copy, tmp_path, capsys):
    table = pad_copy / "metadata.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:21]))
    overrides = {"source": "pad_ufes_20", "data_root": str(pad_copy), "options": {}}
    data = replace(load_config(CONFIGS / "debug_sft.py").data, **overrides)
    prepare_records(data, "warmup", 5000, tmp_path / "records")
    told = capsys.readouterr().out
    assert re.search(r"pad_ufes_20 warmup: \d+ cases, fewer than the 5,000 asked for", told)
