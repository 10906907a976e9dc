"""A tokenizer.json of which some program would make other ids of a text is refused."""

import json
import shutil

import pytest
import tokenizers
from tokenizers import AddedToken, decoders, normalizers, pre_tokenizers
from transformers import AutoTokenizer

from skinflow_jax.errors import InputError
from skinflow_jax.tokenizers import backend, load_tokenizer, train_sentencepiece
from skinflow_jax.tokenizers.sentencepiece_bpe import SPECIAL_TOKENS

TEXT = "<|im_start|>user\nA brown plaque, it's é 12 mm<|image_pad|><|im_end|>\n"
END = {"SpecialToken": {"id": "<|im_end|>", "type_id": 0}}
ADDS_AN_END = {
    "type": "TemplateProcessing",
    "single": [{"Sequence": {"id": "A", "type_id": 0}}, END],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
    "special_tokens": {"<|im_end|>": {"id": "<|im_end|>", "ids": [3], "tokens": ["<|im_end|>"]}},
}


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    """Of our own kind."""
    folder = tmp_path_factory.mktemp("ours")
    train_sentencepiece(["a brown plaque"] * 9, folder, vocab_size=300).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def qwens(tmp_path_factory):
    """Of Qwen's kind, with a few merges."""
    folder = tmp_path_factory.mktemp("qwens")
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("p", "l"), ("pl", "a"), ("Ġ", "b"), ("Ġb", "r")]
    pieces = [*letters, *("".join(pair) for pair in merges)]
    found = tokenizers.Tokenizer(
        tokenizers.models.BPE({piece: i for i, piece in enumerate(pieces)}, merges)
    )
    found.normalizer, found.decoder = normalizers.NFC(), decoders.ByteLevel()
    split = pre_tokenizers.Split(tokenizers.Regex(backend._WORDS), "isolated")
    words = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    found.pre_tokenizer = pre_tokenizers.Sequence([split, words])
    found.add_special_tokens([AddedToken(t, special=True) for t in SPECIAL_TOKENS])
    found.save(str(folder / "tokenizer.json"))
    stated = {
        "tokenizer_class": "Qwen2Tokenizer",
        "added_tokens_decoder": {
            str(i): {"content": token.content, "special": True}
            for i, token in found.get_added_tokens_decoder().items()
        },
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(stated))
    return folder


def changed(folder, tmp_path, *changes):
    """A copy in which at each path of keys there is another value; None for the file: no file."""
    copy = shutil.copytree(folder, tmp_path / "copy")
    for file, path, value in changes:
        stated = json.loads((copy / file).read_text())
        inner = stated
        for name in path[:-1]:
            inner = inner[name]
        inner[path[-1]] = value
        (copy / file).write_text(json.dumps(stated))
    return copy


CONFIG = "tokenizer_config.json"


@pytest.mark.parametrize(
    "name", ["Qwen2Tokenizer", "Qwen2TokenizerFast", "TokenizersBackend", None]
)
def test_qwens_rules_are_the_same_under_each_class(qwens, tmp_path, name):
    folder = changed(qwens, tmp_path, (CONFIG, ["tokenizer_class"], name))
    (folder / "config.json").write_text('{"model_type": "qwen2_5_vl"}')
    found, theirs = load_tokenizer(folder), AutoTokenizer.from_pretrained(folder)
    ids = found.encode(TEXT)
    assert ids == theirs(TEXT)["input_ids"] and len(ids) < len(TEXT)
    assert found.decode(ids) == theirs.decode(ids, skip_special_tokens=True)


@pytest.mark.parametrize("name", ["Qwen2Tokenizer", None])
def test_other_rules_under_qwens_class_are_refused_for_transformers_has_other_ids(
    ours, tmp_path, name
):
    folder = changed(ours, tmp_path, (CONFIG, ["tokenizer_class"], name))
    (folder / "config.json").write_text('{"model_type": "qwen2_5_vl"}')
    theirs = AutoTokenizer.from_pretrained(folder)(TEXT)["input_ids"]
    assert theirs != load_tokenizer(ours).encode(TEXT)
    with pytest.raises(InputError, match=r"tokenizer.json: its model is not Qwen's.*Fast"):
        load_tokenizer(folder)
    (folder / CONFIG).unlink()
    with pytest.raises(InputError, match="for no tokenizer_class"):
        load_tokenizer(folder)


FILE = "tokenizer.json"
LOWERED = ([FILE, ["normalizer"], {"type": "Lowercase"}], "its normalizer is not Qwen's")


@pytest.mark.parametrize(
    ("change", "answer"),
    [
        LOWERED,
        ([FILE, ["normalizer"], None], "its normalizer is not Qwen's"),
        ([FILE, ["pre_tokenizer"], {"type": "Whitespace"}], "its pre_tokenizer is not"),
        ([FILE, ["pre_tokenizer", "pretokenizers", 1, "use_regex"], True], "its pre_tokenizer is"),
        ([FILE, ["decoder"], None], "its decoder is not Qwen's"),
        ([FILE, ["model", "ignore_merges"], True], "its model is not Qwen's"),
        ([FILE, ["model", "dropout"], 0.1], "dropout 0.1, which gives a text other ids each time"),
        ([FILE, ["post_processor"], ADDS_AN_END], "its post_processor adds special tokens"),
        ([FILE, ["added_tokens", 2, "special"], False], r"added_tokens_decoder\['262'\]"),
        ([CONFIG, ["added_tokens_decoder"], {}], "added_tokens_decoder has no 260, '<|endoftext"),
    ],
)
def test_what_gives_other_ids_somewhere_is_refused(qwens, tmp_path, change, answer):
    with pytest.raises(InputError, match=answer):
        load_tokenizer(changed(qwens, tmp_path, change))


@pytest.mark.parametrize(
    ("change", "answer"),
    [
        ([FILE, ["model", "dropout"], 0.1], "has dropout"),
        ([FILE, ["post_processor"], ADDS_AN_END], "its post_processor adds special tokens"),
        # transformers makes what is named a special token, which a decoded answer has not.
        ([FILE, ["added_tokens", 2, "special"], False], "eos_token is .*no special token"),
        ([FILE, ["added_tokens", 5, "special"], False], r"token <\|image_pad\|> is missing"),
        ([CONFIG, ["bos_token"], "plaque"], "bos_token is 'plaque', which is no special token"),
    ],
)
def test_ours_too(ours, tmp_path, change, answer):
    with pytest.raises(InputError, match=answer):
        load_tokenizer(changed(ours, tmp_path, change))
