"""`generate` over devices, and bfloat16 on a mesh of 2 x 2 x 2; for test_answers.py.

Run as `python answers_on_mesh.py OUT`, with eight CPU devices and tests/ on its path.
"""

import contextlib
import dataclasses
import io
import json
import sys
from pathlib import Path

import jax
import numpy as np
from photographs import CONFIGS
from PIL import Image
from random_model import SHALLOW, random_inputs, spread_model

from skinflow_jax.checkpoints.hf_export import save_pretrained
from skinflow_jax.checkpoints.hf_import import load_pretrained
from skinflow_jax.cli import main as skinflow
from skinflow_jax.config import load_config
from skinflow_jax.evaluation import generate
from skinflow_jax.models.config import SIZES
from skinflow_jax.models.vlm import ComputeConfig
from skinflow_jax.parallel import MeshConfig, make_mesh, place_batch, use_mesh
from skinflow_jax.rl.sampler import sample
from skinflow_jax.rl.token_choice import GREEDY
from skinflow_jax.rl.update import fixed_log_probs
from skinflow_jax.runs.cases import open_cases
from skinflow_jax.runs.policies import fresh_tokenizer

# Four key heads, so that four devices split them; eight would not.
CONFIG = dataclasses.replace(
    SHALLOW,
    text=dataclasses.replace(SHALLOW.text, num_heads=8, num_kv_heads=4, mrope_section=(2, 3, 3)),
)
MESH = make_mesh(MeshConfig(data=2, fsdp=2, tensor=2))
GRIDS = [(4, 4), (6, 10), (2, 6), (8, 8)]


def answers(out: Path, found: dict, *options: str) -> str:
    """What `generate` prints; the devices of its model, and the share of it that one holds."""
    show = generate.print_answers

    def looked_at(model, *arguments, **given):
        leaves = jax.tree.leaves(model)
        devices = set().union(*(x.sharding.device_set for x in leaves))
        held = sum(x.addressable_shards[0].data.nbytes for x in leaves)
        found["devices"].append(len(devices))
        found["share"].append(held / sum(x.nbytes for x in leaves))
        show(model, *arguments, **given)

    command = ["generate", f"--checkpoint={out / 'model'}", f"--image={out / 'lesion.png'}"]
    generate.print_answers = looked_at
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        code = skinflow([*command, "--max-tokens=6", *options])
    generate.print_answers = show
    assert code == 0, code
    return printed.getvalue()


def export(out: Path) -> None:
    """A Hugging Face folder, and an image for it."""
    SIZES["tiny"] = CONFIG
    config = load_config(CONFIGS / "debug_sft.py", {"data.count": "24"})
    source = open_cases(config.data, config.data.split, config.data.count, out)
    tokenizer = fresh_tokenizer(config, source, out / "tokenizer")
    model = spread_model(CONFIG.with_tokenizer(tokenizer))
    budget = {"min_pixels": config.data.min_pixels, "max_pixels": config.data.max_pixels}
    save_pretrained(model, out / "model", tokenizer=tokenizer, **budget)
    pixels = np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(out / "lesion.png")


def errors_in_bfloat16(out: Path) -> dict[str, float]:
    """Root-mean-square errors of the log-probabilities of a rollout on one device and on a mesh.

    The truth is float32 on one device, whose own error is 2^-16 of bfloat16's.
    """
    models = {
        kind: load_pretrained(out / "model", dtype=dtype, mesh=mesh)
        for kind, dtype, mesh in (
            ("one", "bfloat16", None),
            ("truth", "float32", None),
            ("mesh", "bfloat16", MESH),
        )
    }
    inputs = random_inputs([[grid] for grid in GRIDS], models["one"].config, length=32, windows=4)
    rows, key = np.arange(len(GRIDS)), jax.random.key(0)
    rollout = sample(models["one"], inputs, key, rows, GREEDY, group_size=1, max_tokens=16)
    rollout, log_probs = jax.tree.map(np.asarray, rollout), {}
    for kind, model in models.items():
        mesh = MESH if kind == "mesh" else None
        with use_mesh(mesh):
            found = fixed_log_probs(
                model,
                *place_batch((inputs, rollout), mesh),
                temperature=1.0,
                compute=ComputeConfig("float32" if kind == "truth" else "bfloat16"),
                micro_batches=1,
            )
        log_probs[kind] = np.asarray(found)
    return {
        kind: float(np.sqrt(np.mean((log_probs[kind] - log_probs["truth"])[rollout.mask] ** 2)))
        for kind in ("one", "mesh")
    }


def main(out: Path) -> None:
    export(out)
    found = {"devices": [], "share": []}
    found["printed"] = [answers(out, found, *options) for options in (["--tensor=1"], [])]
    found["errors_in_bfloat16"] = errors_in_bfloat16(out)
    (out / "answers.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
