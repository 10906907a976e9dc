"""What we export, transformers and we ourselves load; a damaged folder gives one clear line."""

import dataclasses
import json
import shutil
import tracemalloc

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_model import TINY, spread_model
from safetensors.numpy import load_file, save_file
from transformers import AutoTokenizer, GenerationConfig, Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

import skinflow_jax
from skinflow_jax.checkpoints import hf_export, hf_safetensors
from skinflow_jax.checkpoints.hf_export import plan_shards
from skinflow_jax.errors import InputError
from skinflow_jax.tokenizers import train_sentencepiece

INDEX = "model.safetensors.index.json"
SHARD_BYTES = 2**20


@pytest.fixture(scope="module")
def model():
    return spread_model()


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "model"
    skinflow_jax.save_pretrained(model, folder, max_shard_bytes=SHARD_BYTES)
    return folder


@pytest.fixture
def damaged(exported, tmp_path):
    return shutil.copytree(exported, tmp_path / "damaged")


def assert_same_parameters(found, expected):
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def test_transformers_loads_the_export_and_computes_the_same_logits(
    model, exported, batch_of, logits_of_reference
):
    reference, report = Qwen2_5_VLForConditionalGeneration.from_pretrained(
        exported, output_loading_info=True
    )
    assert not any(report.values()), report
    batch = batch_of([[(6, 10)], [(4, 4)]])
    expected = logits_of_reference(reference.eval(), batch)
    real = batch.attention_mask.astype(bool)
    found = skinflow_jax.forward_logits(model, **batch.arrays())
    np.testing.assert_allclose(found[real], expected[real], rtol=0, atol=2e-5)


def test_export_and_import_give_back_every_bit_and_the_config(model, exported):
    loaded = skinflow_jax.load_pretrained(exported)
    assert_same_parameters(loaded, model)
    assert dataclasses.replace(loaded.config, name="tiny") == model.config


def test_the_shards_of_an_export_hold_what_the_index_says(exported):
    index = json.loads((exported / INDEX).read_text())
    files = sorted(path.name for path in exported.glob("*.safetensors"))
    count = len(files)
    assert count > 2 and files[0] == f"model-00001-of-{count:05}.safetensors"
    total = 0
    for file in files:
        tensors = load_file(exported / file)
        assert set(tensors) == {n for n, f in index["weight_map"].items() if f == file}
        size = sum(tensor.nbytes for tensor in tensors.values())
        assert size <= SHARD_BYTES or len(tensors) == 1
        total += size
    assert index["metadata"]["total_size"] == total


def test_a_model_of_one_shard_has_an_index_too(model, tmp_path):
    half = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), model)
    skinflow_jax.save_pretrained(half, tmp_path / "half")
    assert (tmp_path / "half" / INDEX).exists()
    assert (tmp_path / "half" / "model-00001-of-00001.safetensors").exists()
    assert json.loads((tmp_path / "half" / "config.json").read_text())["torch_dtype"] == "bfloat16"
    assert_same_parameters(skinflow_jax.load_pretrained(tmp_path / "half", dtype="bfloat16"), half)


def test_a_tied_head_is_not_written_and_comes_back_tied(tmp_path):
    tied = dataclasses.replace(TINY, text=dataclasses.replace(TINY.text, tie_word_embeddings=True))
    model = spread_model(tied)
    skinflow_jax.save_pretrained(model, tmp_path / "tied")
    names = json.loads((tmp_path / "tied" / INDEX).read_text())["weight_map"]
    assert "lm_head.weight" not in names
    loaded = skinflow_jax.load_pretrained(tmp_path / "tied")
    assert loaded.decoder.head is None
    assert_same_parameters(loaded, model)


def test_the_host_holds_one_shard_at_a_time(model, tmp_path):
    total = sum(leaf.nbytes for leaf in jax.tree.leaves(model))
    limit = total // 8
    skinflow_jax.save_pretrained(model, tmp_path / "warm", max_shard_bytes=limit)
    tracemalloc.start()
    skinflow_jax.save_pretrained(model, tmp_path / "measured", max_shard_bytes=limit)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    largest = max(limit, model.decoder.embedding.nbytes)
    assert largest < total / 4
    assert peak < 2.5 * largest


def test_a_model_is_read_without_a_second_copy_of_it(exported, monkeypatch):
    monkeypatch.setattr(hf_safetensors, "BLOCK_BYTES", 2**16)
    total = sum(leaf.nbytes for leaf in jax.tree.leaves(skinflow_jax.load_pretrained(exported)))
    tracemalloc.start()
    kept = skinflow_jax.load_pretrained(exported)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert kept is not None and total * 0.9 < peak < 1.3 * total


def test_shards_keep_the_order_and_only_a_large_tensor_exceeds_the_limit():
    sizes = {"a": 3, "b": 4, "c": 11, "d": 1, "e": 9, "f": 10}
    assert plan_shards(sizes, 10) == [["a", "b"], ["c"], ["d", "e"], ["f"]]


def test_tokenizer_and_special_ids_survive_the_export(tmp_path):
    texts = ['{"diagnoses": ["melanoma", "naevus"]}', "a brown, irregular plaque on the arm"]
    tokenizer = train_sentencepiece(texts * 4, tmp_path / "tokenizer", vocab_size=320)
    config = TINY.with_tokenizer(tokenizer)
    folder = tmp_path / "model"
    skinflow_jax.save_pretrained(
        spread_model(config),
        folder,
        tokenizer=tokenizer,
        min_pixels=56 * 56,
        max_pixels=112 * 168,
        card={"Data": "Synthetic images only."},
    )
    theirs = AutoTokenizer.from_pretrained(folder)
    for text in texts:
        assert theirs.encode(text, add_special_tokens=False) == tokenizer.encode(text)
    generation = GenerationConfig.from_pretrained(folder)
    assert tuple(generation.eos_token_id) == tokenizer.eos_ids
    assert generation.pad_token_id == tokenizer.pad_id
    assert theirs.chat_template
    size = Qwen2VLImageProcessorPil.from_pretrained(folder).size
    assert (size["shortest_edge"], size["longest_edge"]) == (56 * 56, 112 * 168)
    fields = json.loads((folder / "config.json").read_text())
    assert fields["vocab_size"] == tokenizer.vocab_size
    assert fields["image_token_id"] == tokenizer.image_token_id
    card = (folder / "README.md").read_text()
    assert "not a medical device" in card and "## Data\n\nSynthetic images only." in card
    with pytest.raises(InputError, match=r"image_token_id is \d+ to the tokenizer, 5 to the model"):
        skinflow_jax.save_pretrained(spread_model(), tmp_path / "other", tokenizer=tokenizer)
    assert not (tmp_path / "other").exists()


def test_an_export_overwrites_nothing_and_a_failed_one_leaves_nothing(
    model, exported, tmp_path, monkeypatch
):
    with pytest.raises(InputError, match="exists and is not empty"):
        skinflow_jax.save_pretrained(model, exported)

    def full_disk(*_, **__):
        raise OSError("No space left on device")

    monkeypatch.setattr(hf_export, "write_file", full_disk)
    with pytest.raises(OSError, match="No space"):
        skinflow_jax.save_pretrained(model, tmp_path / "model")
    assert not list(tmp_path.iterdir())


def edit(folder, name, change):
    """Rewrite the shard that holds tensor `name` after `change` and make the index agree."""
    index = json.loads((folder / INDEX).read_text())
    file = index["weight_map"][name]
    tensors = load_file(folder / file)
    change(tensors)
    save_file(tensors, folder / file, metadata={"format": "pt"})
    index["weight_map"] = {n: f for n, f in index["weight_map"].items() if f != file}
    index["weight_map"] |= dict.fromkeys(tensors, file)
    (folder / INDEX).write_text(json.dumps(index))


def remove_norm(folder):
    edit(folder, "model.norm.weight", lambda tensors: tensors.pop("model.norm.weight"))


def add_stranger(folder):
    edit(folder, "model.norm.weight", lambda t: t.update(stranger=np.zeros(3, np.float32)))


def cut_norm(folder):
    edit(folder, "model.norm.weight", lambda t: t.update({"model.norm.weight": np.ones(127, "f")}))


def swap_axes(folder):
    name = "model.layers.2.mlp.down_proj.weight"
    edit(folder, name, lambda t: t.update({name: np.ascontiguousarray(t[name].T)}))


def truncate(folder):
    file = sorted(folder.glob("*.safetensors"))[1]
    file.write_bytes(file.read_bytes()[:-1000])


def remove_shard(folder):
    sorted(folder.glob("*.safetensors"))[1].unlink()


def remove_index(folder):
    (folder / INDEX).unlink()


def empty_index(folder):
    (folder / INDEX).write_text("{}")


def change_type(folder):
    fields = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(fields | {"model_type": "llama"}))


def remove_config(folder):
    (folder / "config.json").unlink()


def promise_absent_tensor(folder):
    index = json.loads((folder / INDEX).read_text())
    other = sorted(set(index["weight_map"].values()))
    place = index["weight_map"]["model.norm.weight"]
    index["weight_map"]["model.norm.weight"] = next(file for file in other if file != place)
    (folder / INDEX).write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove_norm, r"1 tensors missing \(model\.norm\.weight\)"),
        (add_stranger, r"1 tensors left over \(stranger\)"),
        (cut_norm, r"model\.norm\.weight has shape \(127,\), config\.json asks for \(128,\)"),
        (swap_axes, r"layers\.2\.mlp\.down_proj\.weight has shape \(352, 128\), .* \(128, 352\)"),
        (truncate, r"model-00002-of-\d+\.safetensors has [\d,]+ bytes, its header asks for"),
        (remove_shard, r"model-00002-of-\d+\.safetensors"),
        (remove_index, r"neither model\.safetensors nor model\.safetensors\.index\.json"),
        (empty_index, r"model\.safetensors\.index\.json.*weight_map"),
        (change_type, r"config\.json: model_type is 'llama'"),
        (remove_config, r"config\.json does not exist"),
        (promise_absent_tensor, r"model\.norm\.weight"),
    ],
)
def test_a_damaged_folder_gives_one_line_that_names_the_damage(damaged, damage, message):
    damage(damaged)
    with pytest.raises(InputError, match=message) as error:
        skinflow_jax.load_pretrained(damaged)
    assert "\n" not in str(error.value)


def test_the_nested_config_of_transformers_5_reads_like_the_flat_one(exported, tmp_path, model):
    reference = Qwen2_5_VLForConditionalGeneration.from_pretrained(exported)
    reference.save_pretrained(tmp_path / "nested", max_shard_size="1MB")
    assert "text_config" in json.loads((tmp_path / "nested" / "config.json").read_text())
    assert_same_parameters(skinflow_jax.load_pretrained(tmp_path / "nested"), model)
