"""Weights that are not what they seem: each is refused in one line that names file and tensor."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_model import SHALLOW, spread_model
from safetensors.numpy import load_file, save_file

from skinflow_jax.checkpoints import hf_safetensors
from skinflow_jax.checkpoints.hf_adapter import save_adapter
from skinflow_jax.checkpoints.hf_export import save_pretrained
from skinflow_jax.checkpoints.hf_import import load_pretrained
from skinflow_jax.checkpoints.hf_safetensors import blocks, read_header
from skinflow_jax.errors import InputError
from skinflow_jax.models.config import LoraConfig
from skinflow_jax.models.lora import with_lora

INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"
NORM, Q, HEAD = "model.norm.weight", "model.layers.0.self_attn.q_proj.weight", "lm_head.weight"
EMBEDDING = "model.embed_tokens.weight"


@pytest.fixture(scope="module")
def model():
    return spread_model(SHALLOW)


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "model"
    save_pretrained(model, folder, max_shard_bytes=2**20)
    return folder


@dataclass
class Weights:
    """A folder whose weights a test changes."""

    folder: Path

    def index(self) -> dict:
        return json.loads((self.folder / INDEX).read_text())

    def map(self, **changes) -> None:
        """Change entries of the index; None removes one."""
        index = self.index()
        entries = index["weight_map"] | changes
        index["weight_map"] = {name: file for name, file in entries.items() if file is not None}
        (self.folder / INDEX).write_text(json.dumps(index))

    def shard(self, name=NORM) -> Path:
        return self.folder / self.index()["weight_map"][name]

    def header(self, change, name=NORM) -> None:
        """Rewrite the header of a shard, as an object or as bytes."""
        path = self.shard(name)
        raw = path.read_bytes()
        length = int.from_bytes(raw[:8], "little")
        header = json.loads(raw[8 : 8 + length])
        changed = change(header)
        text = changed if isinstance(changed, bytes) else json.dumps(header).encode()
        path.write_bytes(len(text).to_bytes(8, "little") + text + raw[8 + length :])

    def tensors(self, change, name=NORM) -> None:
        """Rewrite the tensors of a shard, and the index."""
        path = self.shard(name)
        tensors = load_file(path)
        before = set(tensors)
        change(tensors)
        save_file(tensors, path, metadata={"format": "pt"})
        self.map(**dict.fromkeys(before, None))
        self.map(**dict.fromkeys(tensors, path.name))

    def config(self, **changes) -> None:
        path = self.folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    def single(self) -> None:
        """All tensors in one file, no index."""
        files = sorted(self.folder.glob("*.safetensors"))
        tensors = {name: x for file in files for name, x in load_file(file).items()}
        for file in (*files, self.folder / INDEX):
            file.unlink()
        save_file(tensors, self.folder / SINGLE, metadata={"format": "pt"})

    def bare(self, *names: str) -> None:
        """Other files in place of the weights."""
        for file in (*self.folder.glob("*.safetensors"), self.folder / INDEX):
            file.unlink()
        for name in names:
            (self.folder / name).write_bytes(b"\x80\x02}q\x00.")


@pytest.fixture
def weights(exported, tmp_path):
    return Weights(shutil.copytree(exported, tmp_path / "changed"))


def put(name, value):
    """A change of one tensor's first element."""

    def change(tensors):
        tensors[name] = tensors[name].copy()
        tensors[name].flat[0] = value

    return change


def renamed(new, old=NORM):
    return lambda tensors: tensors.update({new: tensors.pop(old)})


def cast(dtype):
    return lambda tensors: tensors.update({NORM: tensors[NORM].astype(dtype)})


def entry(**changes):
    return lambda header: header[NORM].update(changes)


def fifo(w):
    path = w.shard()
    path.unlink()
    os.mkfifo(path)


def many_nan(w):
    names = [f"model.layers.{i}.{n}_layernorm.weight" for i in (0, 1) for n in ("input",)]
    for name in (*names, NORM, Q):
        w.tensors(put(name, np.nan), name)


def swap_shards(w):
    """Two shards that have each other's names."""
    a, b = w.shard(Q), w.shard(NORM)
    assert a != b
    a.rename(w.folder / "c"), b.rename(a), (w.folder / "c").rename(b)


def second_copy(w):
    other = w.shard(Q)
    assert other != w.shard()
    norm = load_file(w.shard())[NORM]
    save_file(load_file(other) | {NORM: norm}, other, metadata={"format": "pt"})


def untied_head_in_tied(w):
    w.config(tie_word_embeddings=True)


def lfs(path):
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")


QUANTISED = {
    "awq": (Q.replace("weight", "qweight"), "GPTQ or AWQ"),
    "bnb": (Q + ".absmax", "bitsandbytes"),
    "fp8": (Q + "_scale_inv", "FP8"),
    "lora": ("base_model.model." + Q.replace("weight", "lora_A.weight"), "not merged"),
}

VARIANTS = {
    "nan": (lambda w: w.tensors(put(Q, np.nan), Q), rf"1 tensors hold NaN.*\({Q}\)"),
    "inf": (lambda w: w.tensors(put(NORM, -np.inf)), rf"hold NaN or infinity.*{NORM}"),
    "several nan": (many_nan, r"4 tensors hold NaN.*, …\)"),
    "missing": (lambda w: w.tensors(lambda t: t.pop(NORM)), rf"1 tensors missing \({NORM}\)"),
    "extra": (lambda w: w.tensors(lambda t: t.update(x=t[NORM])), r"1 tensors left over \(x\)"),
    "shape": (
        lambda w: w.tensors(lambda t: t.update({NORM: t[NORM][:-1]})),
        rf"model-\d+-of-\d+.safetensors: tensor {NORM} has shape \(127,\), .* asks for \(128,\)",
    ),
    "two spellings": (
        lambda w: w.tensors(lambda t: t.update({"model.language_model.norm.weight": t[NORM]})),
        r"tensors model.(language_model.)?norm.weight and model.* are for one parameter",
    ),
    "two shards": (second_copy, rf"tensor {NORM} is in model-\d+-of-\d+.safetensors too"),
    "f64": (lambda w: w.tensors(cast(np.float64)), rf"{NORM} has the type F64.*convert it to F32"),
    "int": (lambda w: w.tensors(cast(np.int8)), rf"{NORM} has the type I8.*quantised"),
    "bool": (lambda w: w.tensors(cast(bool)), rf"{NORM} has the type BOOL"),
    "fp8 type": (lambda w: w.header(entry(dtype="F8_E4M3")), rf"{NORM} has the type F8_E4M3"),
    "no such type": (lambda w: w.header(entry(dtype="Q4\n")), r"has the type Q4\\n, only F32"),
    "offsets": (lambda w: w.header(entry(data_offsets=[0, 512])), r"bytes of tensor .* misplaced"),
    "past the end": (lambda w: w.header(entry(data_offsets=[2**40, 2**40 + 512])), r"misplaced"),
    "negative": (lambda w: w.header(entry(data_offsets=[-512, 0])), rf"not say where {NORM} lies"),
    "size": (lambda w: w.header(entry(data_offsets=[0, 511])), r"takes 512 bytes.* gives it 511"),
    "shape lies": (lambda w: w.header(entry(shape=[2**40, 2**40])), rf"{NORM} of shape .*takes"),
    "shape endless": (
        lambda w: w.header(entry(shape=[10**18] * 300)),
        rf"{NORM} has 300 axes, no model has more",
    ),
    "name endless": (
        lambda w: w.header(lambda h: h.update({"x" * 5000: h[NORM] | {"data_offsets": [1, 513]}})),
        r"bytes of tensor x+… are misplaced",
    ),
    "shape text": (lambda w: w.header(entry(shape="128")), r"does not say where"),
    "shape true": (lambda w: w.header(entry(shape=[True])), r"does not say where"),
    "entry": (lambda w: w.header(lambda h: h.update({NORM: 3})), r"does not say where"),
    "header list": (lambda w: w.header(lambda h: b"[]"), r"header is no JSON object"),
    "header text": (lambda w: w.header(lambda h: b"{nonsense"), r"header is no JSON \("),
    "header deep": (lambda w: w.header(lambda h: b"[" * 100_000), r"nested too deeply"),
    "header digits": (
        lambda w: w.header(lambda h: b'{"a": ' + b"9" * 5000 + b"}"),
        r"the number 9+… is too large",
    ),
    "header twice": (
        lambda w: w.header(lambda h: b'{"a":{},"a":{}}'),
        r"header is no JSON .the key 'a' occurs twice",
    ),
    "header length": (lambda w: w.shard().write_bytes(b"\xff" * 64), r"no safetensors file"),
    "empty file": (lambda w: w.shard().write_bytes(b""), r"no safetensors file, or is cut"),
    "truncated": (lambda w: os.truncate(w.shard(), 9999), r"no safetensors|its header asks for"),
    "lengthened": (lambda w: w.shard().open("ab").write(b"more"), r"its header asks for"),
    "html": (lambda w: w.shard().write_text("<!DOCTYPE html>" * 99), r"no safetensors file"),
    "lfs pointer": (lambda w: lfs(w.shard()), r"pointer of Git LFS.*git lfs pull"),
    "no shard": (lambda w: w.shard().unlink(), r"model-.*safetensors does not exist"),
    "shard a folder": (
        lambda w: (w.shard().unlink(), w.shard().mkdir()),
        r"safetensors is no file",
    ),
    "shard a pipe": (fifo, r"safetensors is no file"),
    "dangling link": (
        lambda w: (w.shard().unlink(), w.shard().symlink_to(w.folder / "gone")),
        r"safetensors does not exist",
    ),
    "shards swapped": (swap_shards, r"holds tensor .*index.json says is in"),
    "index promises": (lambda w: w.map(stranger=w.shard().name), r"1 tensors .*\(stranger\)"),
    "index silent": (lambda w: w.map(**{NORM: None}), rf"holds tensor {NORM}.*says is nowhere"),
    "index up": (lambda w: w.map(**{NORM: "../x.safetensors"}), rf"{INDEX}: {NORM} .*'\.\./x"),
    "index absolute": (lambda w: w.map(**{NORM: "/x.safetensors"}), r"only plain names"),
    "index inner": (lambda w: w.map(**{NORM: "a/b.safetensors"}), r"only plain names"),
    "index windows": (lambda w: w.map(**{NORM: "a\\b.safetensors"}), r"only plain names"),
    "index bin": (lambda w: w.map(**{NORM: "pytorch_model.bin"}), r"only plain names"),
    "index number": (lambda w: w.map(**{NORM: 7}), r"only plain names"),
    "index none": (lambda w: (w.folder / INDEX).write_text('{"weight_map": {}}'), "no weight_map"),
    "index list": (lambda w: (w.folder / INDEX).write_text('{"weight_map": []}'), "no weight_map"),
    "index no json": (
        lambda w: (w.folder / INDEX).write_text("{"),
        r"index.json is not valid",
    ),
    "index folder": (
        lambda w: ((w.folder / INDEX).unlink(), (w.folder / INDEX).mkdir()),
        r"index.json cannot be read",
    ),
    "pickle": (lambda w: w.bare("pytorch_model.bin"), r"pytorch_model.bin is a pickle"),
    "pickle index": (lambda w: w.bare("pytorch_model.bin.index.json"), r"index of pickled"),
    "pt": (lambda w: w.bare("model.pt"), r"model.pt is a pickle"),
    "gguf": (lambda w: w.bare("model-Q4_K_M.gguf"), r"model-Q4_K_M.gguf is GGUF"),
    "adapter": (
        lambda w: w.bare("adapter_model.safetensors"),
        r"adapter_model.safetensors is a PEFT adapter.*--base",
    ),
    "adapter beside the model": (
        lambda w: (w.folder / "adapter_config.json").write_text("{}"),
        r"adapter_config.json makes it the folder of a PEFT adapter.*--base=FOLDER, or remove",
    ),
    "no index": (
        lambda w: (w.folder / INDEX).unlink(),
        r"model-00001-.* no model.*json names",
    ),
    "nothing": (lambda w: w.bare(), r"neither model.safetensors nor model.safetensors.index.json"),
    "tied, two heads": (untied_head_in_tied, rf"{HEAD} is not {EMBEDDING}.*tie_word_embeddings"),
    "more layers": (lambda w: w.config(num_hidden_layers=9_000_000), r"asks for 9,000,000"),
    **{
        kind: (lambda w, name=name: w.tensors(renamed(name, Q), Q), rf"the model is .*{sign}")
        for kind, (name, sign) in QUANTISED.items()
    },
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_hostile_weights_are_refused_in_one_line_that_names_them(weights, variant):
    change, message = VARIANTS[variant]
    change(weights)
    with pytest.raises(InputError, match=message) as error:
        load_pretrained(weights.folder)
    line = str(error.value)
    assert "\n" not in line and str(weights.folder) in line and len(line) < 1500


def assert_same(found, expected):
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def as_cache(w):
    """As Hugging Face's cache lays a folder out: links to blobs elsewhere."""
    blobs = w.folder.parent / "blobs"
    blobs.mkdir()
    for number, file in enumerate(sorted(w.folder.iterdir())):
        file.rename(blobs / str(number))
        file.symlink_to(Path("..") / "blobs" / str(number))


def old_index(w):
    """An older sharded copy of which only the index is left beside a newer single file."""
    stale = (w.folder / INDEX).read_text()
    w.single()
    (w.folder / INDEX).write_text(stale.replace("model-0", "gone-0"))


def nested_names(w):
    w.single()
    tensors = load_file(w.folder / SINGLE)
    nested = {
        name.replace("visual.", "model.visual.")
        if name.startswith("visual.")
        else name.replace("model.", "model.language_model."): x
        for name, x in tensors.items()
    }
    save_file(nested, w.folder / SINGLE, metadata={"format": "pt"})


@pytest.mark.parametrize(
    "change",
    [
        as_cache,
        Weights.single,
        old_index,
        nested_names,
        lambda w: w.header(lambda h: h.pop("__metadata__")),
        lambda w: w.header(lambda h: h["__metadata__"].update(extra="x" * 5000)),
        lambda w: (w.folder / "stray.safetensors").write_bytes(b"of no index"),
        lambda w: (w.folder / "training_args.bin").write_bytes(b"\x80"),
    ],
)
def test_what_looks_odd_but_is_whole_is_read(weights, model, change):
    change(weights)
    assert_same(load_pretrained(weights.folder), model)


def test_a_head_that_repeats_the_tied_embedding_is_left_out(weights, model):
    weights.single()
    path = weights.folder / SINGLE
    tensors = load_file(path)
    save_file(tensors | {HEAD: tensors[EMBEDDING]}, path, metadata={"format": "pt"})
    weights.config(tie_word_embeddings=True)
    loaded = load_pretrained(weights.folder)
    assert loaded.decoder.head is None
    assert_same(loaded.decoder.embedding, model.decoder.embedding)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_weights_come_as_they_are_or_widened(weights, dtype):
    weights.single()
    path = weights.folder / SINGLE
    half = {name: x.astype(jnp.dtype(dtype)) for name, x in load_file(path).items()}
    save_file(half, path, metadata={"format": "pt"})
    wide = load_pretrained(weights.folder)
    expected = half[Q].astype(np.float32).T
    found = np.asarray(wide.decoder.layers.q.kernel[0])
    np.testing.assert_array_equal(found.reshape(expected.shape), expected)
    # By NumPy: XLA compiles no conversion to float16 for processors that have none.
    narrow = jax.tree.map(lambda x: jnp.asarray(np.asarray(x).astype(jnp.dtype(dtype))), wide)
    assert_same(load_pretrained(weights.folder, dtype=dtype), narrow)


@pytest.mark.parametrize("dtype", ["int8", "float64", "half an hour", None, 3])
def test_a_type_that_no_weights_have_is_refused(weights, model, dtype, tmp_path):
    out, adapted = tmp_path / "out", with_lora(model, LoraConfig())
    for ask in (
        lambda: load_pretrained(weights.folder, dtype=dtype),
        lambda: save_pretrained(model, out, dtype=dtype or "float16"),
        lambda: save_adapter(adapted, out, base=None, dtype=dtype or "float16"),
    ):
        with pytest.raises(InputError, match=r"^dtype is '.*': choose one of float32, bfloat16"):
            ask()
    assert not out.exists()


def test_a_value_that_only_the_wider_type_holds_is_named(weights):
    weights.tensors(put(NORM, 3.4e38))
    with pytest.raises(InputError, match=rf"hold NaN or infinity as bfloat16 \({NORM}\)"):
        load_pretrained(weights.folder, dtype="bfloat16")
    assert np.isfinite(load_pretrained(weights.folder).decoder.norm.scale[...]).all()


def test_any_part_of_any_view_is_read_from_its_own_bytes_alone(weights, monkeypatch):
    """Blocks of a few bytes, so that each tensor takes many."""
    tensor, values = read_header(weights.shard(Q))[Q], load_file(weights.shard(Q))[Q]
    monkeypatch.setattr(hf_safetensors, "BLOCK_BYTES", 3000)
    rng = np.random.default_rng(0)
    for view in [(128, 128), (2, 2, 32, 128), (4, 32, 8, 16), (128 * 128,)]:
        for _ in range(20):
            ends = [sorted(rng.choice(n + 1, 2, replace=False)) for n in view]
            region = tuple(slice(int(a), int(b)) for a, b in ends)
            found = [tensor.read(view, block) for block in blocks(region, 4)]
            np.testing.assert_array_equal(np.concatenate(found), values.reshape(view)[region])


def test_a_value_too_large_for_bfloat16_stops_the_export(weights, tmp_path):
    weights.tensors(put(NORM, 3.4e38))
    model = load_pretrained(weights.folder)
    with pytest.raises(InputError, match=rf"{NORM} has values too large for bfloat16.*float32"):
        save_pretrained(model, tmp_path / "half", dtype="bfloat16")
    assert not (tmp_path / "half").exists()
