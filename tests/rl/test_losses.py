"""Policy losses against golden values of TRL and verl, and against a float64 NumPy reference."""

import functools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from skinflow_jax.errors import InputError
from skinflow_jax.rl.losses import (
    CLIPPED_LOSSES,
    LOSS_TYPES,
    PolicyLossConfig,
    finish_policy_loss,
    merge_policy_sums,
    policy_loss,
    policy_loss_sums,
)

# Compiling one program per test would take minutes: most tests run op by op, these two do not.
jitted_loss = jax.jit(policy_loss, static_argnames="config")
jitted_gradient = jax.jit(jax.value_and_grad(policy_loss, has_aux=True), static_argnames="config")

CLIP_NAMES = ("region_mean", "low_mean", "low_min", "high_mean", "high_max")


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


def make(loss_type="grpo", **options):
    return PolicyLossConfig(loss_type=loss_type, max_completion_length=8, **options)


def without_warning(function, *args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args, **options)


def batch(seed=0, dtype=np.float64):
    """Eight uneven completions, one of them empty; ratios on both sides of the clip range."""
    rng = np.random.default_rng(seed)
    mask = np.arange(7) < np.array([7, 1, 4, 0, 6, 2, 7, 3])[:, None]
    logps = -rng.exponential(size=(8, 7))
    others = [logps + s * rng.normal(size=logps.shape) for s in (0.4, 0.5, 0.3)]
    others[0] += 0.35 * np.array([1, 1, -1, 1, -1, 1, -1, -1])[:, None]
    names = ("old_logps", "ref_logps", "sampler_logps")
    advantages = np.array([1.3, -0.6, 0.8, 2.0, -1.1, 0.0, -0.4, 0.5])
    arrays = dict(zip(names, others, strict=True), logps=logps, advantages=advantages)
    return {name: x.astype(dtype) for name, x in arrays.items()} | {"mask": mask}


def reference(config, *, logps, old_logps, advantages, mask, ref_logps, sampler_logps, at=None):
    """The loss in plain NumPy; detached weights are taken at the log-probabilities `at`."""
    at = logps if at is None else at
    token_sums, token_means = [], []
    for i, kept in enumerate(mask):
        if not kept.any():
            token_sums.append(0.0)
            token_means.append(0.0)
            continue
        new, fixed, old, ref, sampler = (
            x[i, kept] for x in (logps, at, old_logps, ref_logps, sampler_logps)
        )
        A = advantages[i]
        c, detached = np.exp(new - old), np.exp(fixed - old)
        if config.loss_type == "gspo":
            c = np.exp(np.mean(new - old))
        low, high = 1 - config.clip_low, 1 + config.clip_high
        if config.loss_type == "cispo":
            cap = config.cispo_cap
            w = np.clip(detached, low, high) if cap is None else np.minimum(detached, cap)
            objective = -w * A * new
        elif config.loss_type == "sapo":
            tau = config.sapo_tau_pos if A > 0 else config.sapo_tau_neg
            objective = -A * 4 / tau / (1 + np.exp(-tau * (c - 1)))
        else:
            bounded = c if config.delta is None else np.minimum(c, config.delta)
            objective = -np.minimum(bounded * A, np.clip(c, low, high) * A)
            if config.dual_clip is not None and A < 0:
                objective = np.minimum(objective, -config.dual_clip * A)
        if config.sampler_cap is not None:
            log_weight = old - sampler if config.sampler_level == "token" else np.sum(old - sampler)
            objective = objective * np.minimum(np.exp(log_weight), config.sampler_cap)
        gap = ref - new
        kl = {"k1": -gap, "k2": gap**2 / 2, "k3": np.exp(gap) - gap - 1}
        tokens = objective + config.kl_coef * kl[config.kl_estimator]
        token_sums.append(np.sum(tokens))
        token_means.append(np.mean(tokens))
    if config.loss_type in ("dapo", "bnpo", "cispo"):
        return np.sum(token_sums) / mask.sum()
    if config.loss_type == "dr_grpo":
        return np.sum(token_sums) / (len(mask) * config.max_completion_length)
    return np.mean(token_means)


def golden_batch():
    i, t = np.arange(4)[:, None], np.arange(5)[None]
    base = -0.5 - 0.1 * ((3 * i + 2 * t) % 7)
    return {
        "logps": base,
        "old_logps": base - 0.1 * (((5 * i + 3 * t) % 9) - 4),
        "ref_logps": base + 0.05 * (((2 * i + 7 * t) % 11) - 5),
        "advantages": np.array([1.31715660, 0.14635073, -1.02445513, -0.43905220]),
        "mask": t < np.array([5, 3, 1, 4])[:, None],
    }


@pytest.mark.parametrize(
    ("loss_type", "loss"),
    [
        ("grpo", -0.0058955647),
        ("dapo", -0.2728181120),
        ("bnpo", -0.2728181120),
        ("dr_grpo", -0.1108323580),
        ("cispo", 0.1987476387),
        ("sapo", -0.0642077448),
        ("gspo", -0.0090933302),
    ],
)
def test_golden_losses(float64, loss_type, loss):
    ours, metrics = jitted_loss(**golden_batch(), config=make(loss_type, cispo_cap=5.0))
    assert ours.dtype == jnp.float64
    np.testing.assert_allclose(ours, loss, atol=1e-9)
    np.testing.assert_allclose(metrics["kl"], 0.010832894, atol=1e-9)
    assert metrics["loss"] == ours


def test_the_kl_term_of_a_token_mean_loss_is_the_golden_kl(float64):
    arrays = golden_batch() | {"advantages": np.zeros(4)}
    loss, _ = policy_loss(**arrays, config=make("dapo", kl_coef=0.5))
    np.testing.assert_allclose(loss, 0.5 * 0.010832894, atol=1e-9)


VARIANTS = [
    *(make(name, sampler_cap=None) for name in LOSS_TYPES),
    make("cispo", cispo_cap=None),
    make("cispo", cispo_cap=1.1),
    make("sapo", sapo_tau_pos=2.0, sapo_tau_neg=0.7),
    make("dapo", clip_low=0.1, clip_high=0.28),
    *(make(name, delta=1.25, dual_clip=1.3, sampler_cap=None) for name in CLIPPED_LOSSES),
    *(make(name, kl_coef=0.3, kl_estimator="k2") for name in LOSS_TYPES),
    make("grpo", kl_coef=0.3, kl_estimator="k3", sampler_cap=1.1),
    without_warning(make, "grpo", kl_coef=0.3, kl_estimator="k1"),
    *(make(name, kl_coef=0.3, sampler_level="sequence", sampler_cap=1.5) for name in LOSS_TYPES),
]


@pytest.mark.parametrize("config", VARIANTS, ids=lambda c: c.loss_type)
def test_loss_and_gradient_equal_a_numpy_reference(float64, config):
    arrays = batch()
    logps = arrays.pop("logps")
    value, gradient = jax.value_and_grad(lambda x: policy_loss(x, **arrays, config=config)[0])(
        logps
    )
    np.testing.assert_allclose(value, reference(config, logps=logps, **arrays), rtol=1e-12)

    numeric = np.zeros_like(logps)
    for index in np.ndindex(*logps.shape):
        step = np.zeros_like(logps)
        step[index] = 1e-6
        up, down = (reference(config, logps=logps + d, at=logps, **arrays) for d in (step, -step))
        numeric[index] = (up - down) / 2e-6
    assert np.abs(numeric).max() > 1e-3
    # Central differences at 1e-6 carry about 1e-10 of cancellation.
    np.testing.assert_allclose(gradient, numeric, atol=2e-9, rtol=1e-6)


def split(arrays, parts):
    return [{name: np.split(x, parts)[part] for name, x in arrays.items()} for part in range(parts)]


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
@pytest.mark.parametrize("parts", [4, 8])
def test_micro_batches_give_the_loss_metrics_and_gradient_of_the_whole(loss_type, parts):
    config, arrays = make(loss_type, kl_coef=0.1), batch(dtype=np.float32)

    @functools.partial(jax.value_and_grad, has_aux=True)
    def sums_and_counts(logps, others):
        sums, counts = policy_loss_sums(logps, **others, config=config)
        return sums["loss"], (sums, counts)

    def run(piece):
        others = {name: x for name, x in piece.items() if name != "logps"}
        (_, result), gradient = sums_and_counts(piece["logps"], others)
        return result, gradient

    whole, whole_gradient = run(arrays)
    results, gradients = zip(*map(run, split(arrays, parts)), strict=True)
    sums, counts = functools.reduce(merge_policy_sums, results)
    metrics, expected = finish_policy_loss(sums, counts), finish_policy_loss(*whole)
    assert metrics.keys() == expected.keys() == counts.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(metrics[name], value, rtol=2e-6, atol=1e-7, err_msg=name)
    gradient = np.concatenate(gradients) / counts["loss"]
    np.testing.assert_allclose(gradient, whole_gradient / whole[1]["loss"], rtol=2e-6, atol=1e-8)
    # Plain addition is all the loss needs: what a psum over devices does.
    total, count = (sum(r[k]["loss"] for r in results) for k in (0, 1))
    np.testing.assert_allclose(total / count, expected["loss"], rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("loss_type", ["dapo", "bnpo", "cispo"])
def test_averaging_the_losses_of_micro_batches_would_be_wrong(loss_type):
    arrays = batch()
    whole, _ = policy_loss(**arrays, config=make(loss_type))
    naive = np.mean([policy_loss(**p, config=make(loss_type))[0] for p in split(arrays, 4)])
    assert abs(naive - whole) > 1e-2


def test_metrics_other_than_the_policy_loss_are_merged_by_addition():
    part = ({"loss": jnp.float32(1), "entropy": jnp.float32(3)}, {"loss": 2.0, "entropy": 4.0})
    sums, counts = merge_policy_sums(part, part)
    assert sums["entropy"] == 6 and counts["entropy"] == 8
    assert finish_policy_loss(sums, counts)["entropy"] == 0.75


def padded(arrays, content):
    """The batch with `content` wherever the mask is false, and one more column of it."""
    mask = np.pad(arrays["mask"], ((0, 0), (0, 1)))
    result = {"mask": mask, "advantages": arrays["advantages"]}
    for name in arrays.keys() - result.keys():
        wide = np.pad(arrays[name], ((0, 0), (0, 1)))
        result[name] = np.where(mask, wide, wide.dtype.type(content))
    return result


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
@pytest.mark.parametrize("content", [np.nan, np.inf, -np.inf, -3e38, 7.0])
def test_pad_content_changes_nothing_bit_for_bit(loss_type, content):
    config = make(loss_type, kl_coef=0.2, sampler_level="sequence")

    def outcome(value):
        arrays = padded(batch(dtype=np.float32), value)
        (_, metrics), gradient = jitted_gradient(arrays.pop("logps"), **arrays, config=config)
        return metrics, gradient, arrays["mask"]

    metrics, gradient, mask = outcome(content)
    clean_metrics, clean_gradient, _ = outcome(0.0)
    for name, value in clean_metrics.items():
        assert np.isfinite(value) and np.asarray(metrics[name]) == np.asarray(value), name
    np.testing.assert_array_equal(gradient, clean_gradient)
    assert np.all(np.asarray(gradient)[~mask] == 0.0)


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_a_nan_advantage_of_an_empty_row_reaches_nothing(loss_type):
    arrays = batch()
    arrays["advantages"][3] = np.nan
    logps = arrays.pop("logps")
    loss = lambda x: policy_loss(x, **arrays, config=make(loss_type))[0]  # noqa: E731
    value, gradient = jax.value_and_grad(loss)(logps)
    assert np.isfinite(value) and np.all(np.isfinite(gradient))


@pytest.mark.parametrize(
    ("loss_type", "factor"),
    [("grpo", 2), ("sapo", 2), ("gspo", 2), ("dr_grpo", 2), ("dapo", 1), ("bnpo", 1), ("cispo", 1)],
)
def test_fully_masked_rows_count_as_sequences_but_have_no_tokens(float64, loss_type, factor):
    arrays, config = batch(), make(loss_type, kl_coef=0.1)
    empty = arrays | {"mask": np.zeros_like(arrays["mask"])}
    both = {name: np.concatenate([arrays[name], empty[name]]) for name in arrays}
    loss, metrics = policy_loss(**arrays, config=config)
    diluted, diluted_metrics = policy_loss(**both, config=config)
    np.testing.assert_allclose(diluted * factor, loss, rtol=1e-12)
    for name in metrics.keys() - {"loss"}:
        np.testing.assert_allclose(diluted_metrics[name], metrics[name], rtol=1e-12, err_msg=name)


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_a_batch_without_tokens_has_zero_loss_and_metrics(loss_type):
    arrays = batch()
    arrays["mask"] = np.zeros_like(arrays["mask"])
    _, metrics = policy_loss(**arrays, config=make(loss_type, kl_coef=0.1))
    assert all(value == 0.0 for value in metrics.values())


def test_gspo_spreads_its_gradient_evenly_over_the_sequence(float64):
    logps, mask = np.array([[-1.0, -2.0, -0.5, 0.0]]), np.array([[True, True, True, False]])
    old = logps - np.array([[0.3, -0.1, 0.1, 9.0]])
    grad = jax.grad(lambda x: policy_loss(x, old, np.array([2.0]), mask, config=make("gspo"))[0])
    expected = -2.0 * np.exp(0.1) / 3  # −A · c · 1/|m|
    np.testing.assert_allclose(grad(logps), [[expected, expected, expected, 0.0]], rtol=1e-12)


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_on_policy_every_loss_has_the_policy_gradient(float64, loss_type):
    arrays = batch()
    logps, mask, advantages = arrays["logps"], arrays["mask"], arrays["advantages"]
    config = make(loss_type, sapo_tau_neg=1.0)
    # Passed as the same array: the old log-probabilities must be cut off inside.
    gradient = jax.grad(lambda x: policy_loss(x, x, advantages, mask, config=config)[0])(logps)
    per_token = -advantages[:, None] * mask
    tokens = np.maximum(mask.sum(axis=1, keepdims=True), 1)
    denominator = {"dr_grpo": 8 * 8, "dapo": mask.sum(), "bnpo": mask.sum(), "cispo": mask.sum()}
    expected = per_token / denominator.get(loss_type, 8 * tokens)
    np.testing.assert_allclose(gradient, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    "options",
    [
        {"dual_clip": 1.2},
        {"delta": 1.1},
        {"sampler_cap": 1.1, "sampler_level": "token"},
        {"sampler_cap": 1.1, "sampler_level": "sequence"},
    ],
    ids=str,
)
def test_bounds_and_sampler_correction_change_the_objective_but_not_the_kl_term(float64, options):
    arrays = batch()
    options = {"sampler_cap": None} | options
    plain, changed = (
        [policy_loss(**arrays, config=make(kl_coef=k, **o))[0] for k in (0.0, 0.3)]
        for o in ({"sampler_cap": None}, options)
    )
    assert abs(changed[0] - plain[0]) > 1e-3
    np.testing.assert_allclose(changed[1] - changed[0], plain[1] - plain[0], rtol=1e-10)


@pytest.mark.parametrize("level", ["token", "sequence"])
def test_the_sampler_weight_is_capped_and_carries_no_gradient(float64, level):
    arrays = batch()
    arrays["sampler_logps"] = arrays["old_logps"] - 5.0
    capped = make(sampler_cap=2.0, sampler_level=level)
    loss, gradient = jax.value_and_grad(
        lambda x: policy_loss(**arrays | {"logps": x}, config=capped)[0]
    )(arrays["logps"])
    off, off_gradient = jax.value_and_grad(
        lambda x: policy_loss(**arrays | {"logps": x}, config=make(sampler_cap=None))[0]
    )(arrays["logps"])
    np.testing.assert_allclose(loss, 2 * off, rtol=1e-12)
    np.testing.assert_allclose(gradient, 2 * off_gradient, rtol=1e-12)


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
@pytest.mark.parametrize("gap", [-500.0, 500.0])
def test_far_off_policy_tokens_stay_finite_in_float32(loss_type, gap):
    arrays = batch(dtype=np.float32)
    for name in ("old_logps", "ref_logps"):
        arrays[name] = arrays["logps"] + np.float32(gap)
    logps = arrays.pop("logps")
    grad = jax.value_and_grad(
        lambda x: policy_loss(x, **arrays, config=make(loss_type, kl_coef=0.1))[0]
    )
    value, gradient = grad(logps)
    assert np.isfinite(value) and np.all(np.isfinite(gradient))


def test_ratios_use_a_log_ratio_clamped_to_20(float64):
    arrays = {
        "old_logps": np.array([[-30.0]]),
        "advantages": np.array([-1.0]),
        "mask": np.ones((1, 1)),
    }
    loss, _ = policy_loss(np.array([[0.0]]), **arrays, config=make())
    np.testing.assert_allclose(loss, np.exp(20.0), rtol=1e-12)


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_clip_ratios_equal_a_count_by_hand(loss_type):
    arrays = batch()
    arrays["mask"][5:, 2] = False  # a mask with a hole
    config = make(loss_type, clip_low=0.1, clip_high=0.3)
    _, metrics = policy_loss(**arrays, config=config)
    low, high = [], []
    for i, kept in enumerate(arrays["mask"]):
        if not kept.any():
            continue
        log_ratio = (arrays["logps"] - arrays["old_logps"])[i, kept]
        c = np.exp(log_ratio.mean(keepdims=True) if loss_type == "gspo" else log_ratio)
        low.append((c < 0.9) & (arrays["advantages"][i] < 0))
        high.append((c > 1.3) & (arrays["advantages"][i] > 0))
    expected = {
        "low_mean": np.concatenate(low).mean(),
        "high_mean": np.concatenate(high).mean(),
        "low_min": min(x.mean() for x in low),
        "high_max": max(x.mean() for x in high),
    }
    expected["region_mean"] = expected["low_mean"] + expected["high_mean"]
    assert expected["low_mean"] > 0 and expected["high_mean"] > 0
    for name in CLIP_NAMES:
        np.testing.assert_allclose(metrics[f"clip_ratio/{name}"], expected[name], rtol=1e-6)


def test_low_min_is_carried_exactly_through_a_part_without_tokens():
    arrays = batch()
    low = arrays["logps"] + 1.0  # every ratio is e^-1
    arrays |= {"old_logps": low, "advantages": np.full(8, -1.0)}
    parts = [policy_loss_sums(**part, config=make()) for part in split(arrays, 8)]
    metrics = finish_policy_loss(*functools.reduce(merge_policy_sums, parts))
    assert metrics["clip_ratio/low_min"] == 1.0 == metrics["clip_ratio/low_mean"]


def test_bfloat16_log_probs_are_summed_in_float32():
    arrays = {k: jnp.bfloat16(v) for k, v in batch().items()} | {"mask": batch()["mask"]}
    loss, metrics = policy_loss(**arrays, config=make(kl_coef=0.1))
    assert loss.dtype == jnp.float32 and metrics["kl"].dtype == jnp.float32


@pytest.mark.parametrize("name", ["old_logps", "mask", "ref_logps", "sampler_logps", "advantages"])
def test_an_array_of_another_shape_is_named(name):
    arrays = batch()
    arrays[name] = arrays[name][:-1]
    with pytest.raises(InputError, match=name):
        policy_loss(**arrays, config=make())


def test_a_kl_penalty_without_a_reference_is_refused():
    arrays = batch() | {"ref_logps": None}
    with pytest.raises(InputError, match="ref_logps"):
        policy_loss(**arrays, config=make(kl_coef=0.1))
    assert "kl" not in policy_loss(**arrays, config=make())[1]
