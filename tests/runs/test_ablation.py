"""The ablation: rows that differ in what they say, a table that means what it says."""

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_model import SHALLOW, random_inputs, spread_model
from scipy import stats

from skinflow_jax.cli import main
from skinflow_jax.config import ModelChoice
from skinflow_jax.errors import ConfigError
from skinflow_jax.models.config import SIZES, DveConfig, model_config
from skinflow_jax.models.dve_conversion import with_dve
from skinflow_jax.models.vlm import init_model, prompt_states
from skinflow_jax.models.widening import with_extra_width
from skinflow_jax.runs import ablation
from skinflow_jax.runs.ablation import Ablation, Row, load_ablation, report, run_ablation, seeded

CONFIGS = Path(__file__).parents[2] / "configs" / "ablation"


def test_the_rows_are_those_of_the_paper_and_two_more():
    found = load_ablation(CONFIGS)
    assert {name: (row.stages, row.model.dve is not None) for name, row in found.rows.items()} == {
        "both": (("stage1", "stage2"), True),
        "dve_only": (("stage2",), True),
        "neither": (("stage2",), False),
        "stage1_only": (("stage1", "stage2"), False),
        "static_wide": (("stage1", "stage2"), False),
    }
    for stage in found.stages.values():
        assert stage.data.options["clutter"] > 0
        assert stage.evaluation == found.stages["stage2"].evaluation
    assert (
        seeded(found.stages["stage2"], 7).seed == seeded(found.stages["stage2"], 7).data.seed == 7
    )


def test_the_wide_static_tower_is_as_large_as_the_dynamic_one():
    rows = load_ablation(CONFIGS).rows
    static = init_model(model_config("tiny"))
    sizes = [
        sum(x.size for x in jax.tree.leaves(model.vision))
        for model in (
            static,
            with_dve(static, rows["both"].model.dve),
            with_extra_width(static, rows["static_wide"].model.extra_width),
        )
    ]
    dynamic, wide = (size - sizes[0] for size in sizes[1:])
    assert abs(wide - dynamic) < 0.01 * dynamic


@pytest.mark.slow
def test_a_widened_tower_computes_what_it_did_and_can_learn():
    static = spread_model(SHALLOW)
    wide = with_extra_width(static, 5)
    prompts = random_inputs([[(6, 10)], [(4, 4)]], SHALLOW, length=32, windows=4)
    inputs = jax.tree.map(jnp.asarray, prompts)

    @jax.jit
    def states(model):
        return jnp.where(inputs.token_mask[..., None], prompt_states(model, inputs)[0], 0)

    np.testing.assert_allclose(states(wide), states(static), atol=1e-5)
    gradient = jax.jit(jax.grad(lambda model: jnp.sum(states(model) ** 2)))(wide)
    assert (gradient.vision.full.mlp.down.kernel[:, -5:] != 0).any()
    with pytest.raises(ConfigError, match=r"model.extra_width=5 widens a static tower.*groups=4"):
        with_extra_width(with_dve(static, DveConfig(groups=4)), 5)


def result(top1, size=10):
    metrics = {"caption reward": 0.5, "Top-1": top1, "Top-6": 0.5, "safety-critical": 0.25}
    return {name: {"value": v} for name, v in metrics.items()} | {"tower parameters": size}


def test_the_table_gives_means_over_seeds_and_paired_differences():
    rows = {"plain": Row("as it is", ("s",)), "new": Row("changed", ("s",), against=("plain",))}
    before, after = np.array([0.1, 0.3, 0.2]), np.array([0.2, 0.5, 0.3])
    text = report(
        Ablation(rows, {}),
        {"plain": list(map(result, before)), "new": [result(x, size=12) for x in after]},
    )
    half = stats.t.ppf(0.975, 2) * np.std(before, ddof=1) / np.sqrt(3)
    assert f"20.0 [{100 * (0.2 - half):.1f}, {100 * (0.2 + half):.1f}]" in text
    low, high = stats.t.interval(0.95, 2, np.mean(after - before), stats.sem(after - before))
    assert f"* new - plain: caption reward +0.000 [n/a]; Top-1 +13.3 [{100 * low:+.1f}" in text
    assert f"{100 * high:+.1f}]" in text and "| 12 |" in text and "over 3 seeds" in text


def test_one_seed_has_no_interval():
    assert "20.0 [n/a]" in report(Ablation({"a": Row("", ("s",))}, {}), {"a": [result(0.2)]})


@pytest.mark.parametrize(
    ("file", "text", "answer"),
    [
        ("row.py", '"stages": ("stage3",)', "no stage 'stage3', only"),
        ("row.py", '"stages": ("stage2",), "against": ("nobody",)', "no row 'nobody', only"),
        ("row.py", '"stage": ("stage2",)', "unknown config key stage: did you mean stages?"),
    ],
)
def test_a_wrong_row_is_named(tmp_path, file, text, answer):
    (tmp_path / "stages").symlink_to(CONFIGS / "stages")
    (tmp_path / file).write_text(
        "from ml_collections import ConfigDict\n"
        f'def get_config():\n    return ConfigDict({{"description": "x", {text}}})\n'
    )
    with pytest.raises(ConfigError, match=answer):
        load_ablation(tmp_path)


def test_a_folder_without_rows_and_wrong_seeds_are_refused(tmp_path, capsys):
    assert main(["ablation", f"--configs={tmp_path}", f"--workdir={tmp_path}"]) == 2
    assert "needs rows NAME.py and a stages/warmup.py" in capsys.readouterr().err
    assert main(["ablation", "--seeds=x", f"--workdir={tmp_path}"]) == 2
    assert "neither a count nor a list" in capsys.readouterr().err


@pytest.mark.slow
def test_rows_are_trained_evaluated_and_not_trained_again(tmp_path, monkeypatch):
    whole = load_ablation(CONFIGS)

    def small(config):
        return dataclasses.replace(
            config,
            batch_size=4,
            data=dataclasses.replace(config.data, count=40, cases_of_task={}),
            loop=dataclasses.replace(config.loop, steps=1),
            rl=dataclasses.replace(config.rl, group_size=2),
            evaluation=dataclasses.replace(config.evaluation, count=8, batch_size=8),
        )

    small_one = Ablation(
        {name: whole.rows[name] for name in ("neither", "both")},
        {name: small(config) for name, config in whole.stages.items()},
    )
    small_one.rows["both"] = dataclasses.replace(
        small_one.rows["both"], against=("neither",), model=ModelChoice(dve=DveConfig(groups=4))
    )
    monkeypatch.setitem(SIZES, "tiny", SHALLOW)
    monkeypatch.setattr(ablation, "load_ablation", lambda folder: small_one)
    text = run_ablation(CONFIGS, [3], tmp_path)
    assert (tmp_path / "ablation.md").read_text() == text and "* both - neither" in text
    assert sorted(p.name for p in (tmp_path / "3" / "both").glob("stage*")) == ["stage1", "stage2"]
    stored = json.loads((tmp_path / "3" / "both" / "result.json").read_text())
    assert stored["Top-1"]["n"] == 8 and stored["step time"] > 0
    monkeypatch.setattr(ablation, "_train_row", None)
    assert run_ablation(CONFIGS, [3], tmp_path) == text
