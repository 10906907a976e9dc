"""Whatever the JSON files of a Hugging Face folder hold: one line that names the file."""

import json
import shutil

import pytest
from hf_files import GENERATION, flat, processor, small_config, write

from skinflow_jax.checkpoints.hf_folder import read_folder, write_files
from skinflow_jax.errors import InputError
from skinflow_jax.tokenizers import train_sentencepiece

NEW = json.loads(small_config().to_json_string())
IMAGES = processor()["image_processor"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Whole, in the published shape, with our own tokenizer."""
    folder = tmp_path_factory.mktemp("hf") / "model"
    train_sentencepiece(["a brown plaque"] * 9, folder, vocab_size=300).save_pretrained(folder)
    (folder / "sentencepiece.model").unlink()
    return write(folder, config=flat(NEW), generation_config=GENERATION, preprocessor_config=IMAGES)


def copied(folder, tmp_path, name, content):
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / name).write_bytes(
        content if isinstance(content, bytes) else json.dumps(content).encode()
    )
    return copy


def text(**changes):
    return flat(NEW) | changes


def tower(**changes):
    config = flat(NEW)
    return config | {"vision_config": config["vision_config"] | changes}


def rope(**changes):
    config = flat(NEW)
    return config | {"rope_scaling": config["rope_scaling"] | changes}


CONFIGS = {
    "another model": (text(model_type="llama"), "model_type is 'llama'"),
    "no model": ({}, "model_type is None"),
    "model of a list": (text(model_type=["qwen2_5_vl"]), "model_type"),
    "another head": (text(architectures=["Qwen2ForCausalLM"]), "architectures"),
    "architectures of text": (text(architectures="Qwen2_5_VLForConditionalGeneration"), "archit"),
    "code of its own": (text(auto_map={"AutoModel": "evil.Model"}), "auto_map.*evil"),
    "auto_map of text": (text(auto_map="evil"), "auto_map"),
    "awq": (text(quantization_config={"quant_method": "awq", "bits": 4}), "quantization.*awq"),
    "gptq": (text(quantization_config={"quant_method": "gptq"}), "quantization_config.*gptq"),
    "fp8": (text(quantization_config={"quant_method": "fp8"}), "quantization_config.*fp8"),
    "gelu": (text(hidden_act="gelu"), "hidden_act is 'gelu'.*silu"),
    "gelu tower": (tower(hidden_act="quick_gelu"), "vision_config.hidden_act"),
    "sliding": (text(use_sliding_window=True), "use_sliding_window is True"),
    "yarn": (rope(type="yarn", factor=4.0), "rope_scaling.type is 'yarn'"),
    "linear": (rope(rope_type="linear", factor=4.0), "rope_scaling.rope_type is 'linear'"),
    "yarn in the other": (text(rope_parameters={"rope_type": "yarn"}), "rope_parameters.rope_type"),
    "factor": (rope(factor=4.0), "rope_scaling.factor is a field"),
    "rope of a list": (text(rope_scaling=[1]), "rope_scaling.*must be an object"),
    "odd section": (rope(mrope_section=[2, 3, 4]), "mrope_section"),
    "section of text": (rope(mrope_section="all"), "mrope_section"),
    "partial": (text(partial_rotary_factor=0.5), "partial_rotary_factor is 0.5"),
    "theta of text": (text(rope_theta="big"), "rope_theta='big' must be a finite number"),
    "theta 0": (text(rope_theta=0), "rope_theta=0 must be"),
    "eps of text": (text(rms_norm_eps="tiny"), "rms_norm_eps='tiny'"),
    "eps below 0": (text(rms_norm_eps=-1.0), "rms_norm_eps=-1.0"),
    "no heads": (text(num_attention_heads=0), "num_attention_heads=0"),
    "half a head": (text(num_attention_heads=4.5), "num_attention_heads=4.5"),
    "true heads": (text(num_key_value_heads=True), "num_key_value_heads=True"),
    "odd heads": (text(num_attention_heads=5), "num_attention_heads"),
    "other heads": (text(head_dim=128), "head_dim is 128"),
    "huge": (text(hidden_size=10**40), "hidden_size"),
    "null size": (text(hidden_size=None), "hidden_size=None"),
    "merge 0": (tower(spatial_merge_size=0), "spatial_merge_size=0"),
    "patch list": (tower(patch_size=[14, 14]), "patch_size"),
    "windows of nothing": (tower(window_size=27), "vision_config.window_size 27 is smaller"),
    "block outside": (tower(fullatt_block_indexes=[9]), "fullatt_block_indexes"),
    "tower of a list": (text(vision_config=[1]), "vision_config.*must be an object"),
    "text of text": (text(text_config="x"), "text_config.*must be an object"),
    "id of text": (text(image_token_id="x"), "image_token_id='x'"),
    "id of nothing": (text(image_token_id=-1), "image_token_id=-1"),
    "id of another": (text(image_token_id=5), "image_token_id is 6 to the tokenizer, 5 to"),
    "layers that slide": (text(layer_types=["sliding_attention"] * 2), "layer_types"),
    "an unknown field": (text(attn_logit_softcapping=30.0), "attn_logit_softcapping is a field"),
    "control": (text(**{"\x1b[31m": 1}), r"\\x1b"),
    "dve": (text(dve={"groups": 4}), "dve and model_type"),
    "few rows": (text(vocab_size=200), "vocab_size 300 exceeds"),
    "two sizes": ({**NEW, "hidden_size": 65}, "hidden_size is 64 in one place and 65"),
    "deep": (b"[" * 200_000, "nested too deeply"),
    "nan": (b'{"rope_theta": NaN}', "not a finite number"),
    "twice": (b'{"model_type": "qwen2_5_vl", "model_type": "x"}', "occurs twice"),
    "cut": (b'{"model_type"', "not valid JSON"),
    "a list": (b"[]", "must hold a JSON object"),
    "a pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0",
        "pointer of Git LFS",
    ),
}
GENERATIONS = {
    "eos of text": ({"eos_token_id": "x"}, "eos_token_id='x' must name tokens"),
    "no eos": ({"eos_token_id": []}, "must name tokens"),
    "eos outside": ({"eos_token_id": [3, 99_999]}, "must name tokens, from 0 to 1023"),
    "eos between": ({"eos_token_id": [3, 999]}, "no token of"),
    "pad below 0": ({"pad_token_id": -1}, "pad_token_id=-1"),
    "bos outside": ({"bos_token_id": 5000}, "bos_token_id=5000 must name tokens"),
    "hot": ({"temperature": "hot"}, "temperature='hot'"),
    "sampled of text": ({"do_sample": "yes"}, "do_sample='yes'"),
    "unknown": ({"answer": 42}, "answer is a field"),
}
PROCESSORS = {
    "infinite": (b'{"min_pixels": 1, "max_pixels": Infinity}', "not a finite number"),
    "below 0": ({"min_pixels": -5, "max_pixels": -1}, "min_pixels=-5"),
    "none": ({"min_pixels": 0, "max_pixels": 0}, "min_pixels=0"),
    "crossed": ({"min_pixels": 9000, "max_pixels": 3000}, "9000 and 3000"),
    "not stated": ({"image_processor_type": "Qwen2VLImageProcessor"}, "states no min_pixels"),
    "size of text": (IMAGES | {"size": "big"}, "size.*must be an object"),
    "other mean": (IMAGES | {"image_mean": [0.5, 0.5, 0.5]}, "image_mean"),
    "not resized": (IMAGES | {"do_resize": False}, "do_resize is False"),
    "lanczos": (IMAGES | {"resample": 1}, "resample is 1, and only 3"),
    "other patch": (IMAGES | {"patch_size": 16}, "patch_size is 16"),
    "cropped": (IMAGES | {"do_center_crop": True}, "do_center_crop"),
    "another class": (IMAGES | {"image_processor_type": "CLIPImageProcessor"}, "CLIP"),
}
TOKENIZERS = {
    "splits": ({"split_special_tokens": True}, "split_special_tokens is True"),
    "bos": ({"add_bos_token": True}, "add_bos_token is True"),
    "cleans": ({"clean_up_tokenization_spaces": True}, "clean_up_tokenization_spaces"),
    "another class": ({"tokenizer_class": "LlamaTokenizer"}, "LlamaTokenizer"),
    "unknown pad": ({"pad_token": "[PAD]"}, r"pad_token is '\[PAD\]', which is no special token"),
    "pad of a number": ({"pad_token": 3}, "pad_token=3 must be a token's text"),
    "more tokens": ({"additional_special_tokens": ["<new>"]}, "<new>.*no special token"),
    "other ids": (
        {"added_tokens_decoder": {"7": {"content": "<|im_end|>"}}},
        r"added_tokens_decoder\['7'\]",
    ),
    "id of many digits": (
        {"added_tokens_decoder": {"9" * 5000: {"content": "<|im_end|>"}}},
        r"added_tokens_decoder\['9+\.\.\.9+'\]",
    ),
    "template of a number": ({"chat_template": 3}, "chat_template must be text"),
    "no default": ({"chat_template": [{"name": "x", "template": "y"}]}, 'name "default"'),
}
# All of our tokenizer's own kind, else that would be what is told.
KIND = {"tokenizer_class": "PreTrainedTokenizerFast"}
TOKENIZERS = {name: (KIND | content, answer) for name, (content, answer) in TOKENIZERS.items()}
VIDEOS = {
    "cut": (b"{", "video_preprocessor_config.json is not valid JSON"),
    "a pointer": (b"version https://git-lfs.github.com/spec/v1\n", "pointer of Git LFS"),
}
BACKENDS = {
    "a pointer": (b"version https://git-lfs.github.com/spec/v1\n", "pointer of Git LFS"),
    "deep": (b'{"model": ' * 9000, "not a readable tokenizer"),
    "empty": ({}, "not a readable tokenizer"),
}
FILES = {
    "tokenizer.json": BACKENDS,
    "config.json": CONFIGS,
    "generation_config.json": GENERATIONS,
    "preprocessor_config.json": PROCESSORS,
    "tokenizer_config.json": TOKENIZERS,
    "video_preprocessor_config.json": VIDEOS,
}


@pytest.mark.parametrize(
    ("name", "content", "answer"),
    [
        pytest.param(name, content, answer, id=f"{name.split('.')[0]}-{kind}")
        for name, kinds in FILES.items()
        for kind, (content, answer) in kinds.items()
    ],
)
def test_a_hostile_file_is_refused_in_one_line(folder, tmp_path, name, content, answer):
    copy = copied(folder, tmp_path, name, content)
    (copy / "chat_template.jinja").unlink()
    with pytest.raises(InputError, match=answer) as refused:
        read_folder(copy)
    line = str(refused.value)
    assert str(copy) in line and len(line) < 600 and line.isprintable()


@pytest.mark.parametrize("name", ["chat_template.jinja", "vocab.json", "merges.txt"])
def test_a_pointer_in_the_place_of_any_file_of_a_tokenizer_is_told(folder, tmp_path, name):
    """A template may be any text, and an export would carry the others along."""
    copy = copied(folder, tmp_path, name, b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(InputError, match=f"{name} is a pointer of Git LFS"):
        read_folder(copy)


@pytest.mark.parametrize(
    "name",
    [
        *("generation_config.json", "preprocessor_config.json", "processor_config.json"),
        *("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "added_tokens.json"),
    ],
)
def test_a_link_that_leads_nowhere_or_a_folder_is_not_taken_for_no_file(folder, tmp_path, name):
    """As in a cache whose blobs are gone: without the file, other defaults would be taken."""
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / name).unlink(missing_ok=True)
    (copy / name).symlink_to(tmp_path / "blobs" / "gone")
    with pytest.raises(InputError, match=f"{name} is a link that leads nowhere: fetch the folder"):
        read_folder(copy)
    (copy / name).unlink()
    (copy / name).mkdir()
    with pytest.raises(InputError, match=f"{name} is no file"):
        read_folder(copy)


def test_the_folder_itself_is_read(folder):
    found = read_folder(folder)
    assert found.config.text.rope_theta == 500.0 and found.config.eos_token_ids == (3, 1)
    assert found.tokenizer.eos_ids == (3, 1) and found.tokenizer.pad_id == 1
    assert (found.pixels.min_pixels, found.pixels.max_pixels) == (3136, 1_003_520)


@pytest.mark.parametrize(
    ("generation", "config", "pad_token", "expected"),
    [
        ({"eos_token_id": 1}, {}, "<|endoftext|>", ((1,), 1)),
        ({"eos_token_id": [1, 3], "pad_token_id": 3}, {}, "<|im_end|>", ((1, 3), 3)),
        ({}, {"eos_token_id": 3}, "<|im_end|>", ((3,), 3)),
        ({}, {"eos_token_id": [3, 1], "pad_token_id": 1}, "<|im_end|>", ((3, 1), 1)),
        ({}, {"eos_token_id": None}, "<|endoftext|>", ((3, 1), 1)),
    ],
)
def test_eos_and_pad_are_one_truth(folder, tmp_path, generation, config, pad_token, expected):
    """The generation config says it, else the config, else the tokenizer; all agree afterwards."""
    copy = copied(folder, tmp_path, "generation_config.json", generation)
    stated = json.loads((copy / "tokenizer_config.json").read_text())
    write(copy, config=text(**config), tokenizer_config=stated | {"pad_token": pad_token})
    found = read_folder(copy)
    assert (found.config.eos_token_ids, found.config.pad_token_id) == expected
    assert (found.tokenizer.eos_ids, found.tokenizer.pad_id) == expected


def test_what_is_saved_is_read_as_the_same(folder, tmp_path):
    found = read_folder(folder)
    write_files(found.files, tmp_path / folder.name)
    found.tokenizer.save_pretrained(tmp_path / folder.name)
    again = read_folder(tmp_path / folder.name)
    assert (again.config, again.pixels, again.files) == (found.config, found.pixels, found.files)
    assert again.tokenizer.encode("plaque") == found.tokenizer.encode("plaque")
