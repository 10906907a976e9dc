"""Claims about the training of our own tokenizer, on corpora that provoke the trainer's habits."""

import json
import random

import pytest

from skinflow_jax.errors import InputError
from skinflow_jax.tokenizers import train_sentencepiece, verify_export
from skinflow_jax.tokenizers.sentencepiece_bpe import merged_pieces, train_bpe


def captions() -> list[str]:
    draw = random.Random(0)
    values = {"lesion_type": ["plaque", "papule"], "colour": ["red", "brown"], "size": ["<5 mm"]}
    texts = [json.dumps({k: draw.choice(v) for k, v in values.items()}) for _ in range(200)]
    return [*texts, "<|im_start|>user\nName it.<|im_end|>\n"]


@pytest.mark.parametrize("alphabet", ["a", "ab", "abn "])
def test_pieces_that_overlap_themselves_keep_their_ids_too(tmp_path, alphabet):
    """`ana` is `an·a` and `a·na`: only there could the two libraries merge in another order."""
    draw = random.Random(0)
    texts = ["".join(draw.choices(alphabet, k=draw.randint(1, 30))) for _ in range(1500)]
    tokenizer = train_sentencepiece(texts[:700], tmp_path, vocab_size=400)
    tokenizer.save_pretrained(tmp_path / "export")
    assert max(map(len, merged_pieces(tokenizer._processor))) > 3
    assert verify_export(tokenizer, tmp_path / "export", texts) == 1500


def test_training_twice_gives_the_same_model():
    first, second = (train_bpe(captions(), vocab_size=400) for _ in range(2))
    assert first.serialized_model_proto() == second.serialized_model_proto()


def crosses_a_value(piece: str) -> bool:
    return '":▁"' in piece and not piece.endswith('":▁"')


def test_no_piece_contains_a_special_token_or_crosses_into_a_value():
    pieces = merged_pieces(train_bpe(captions(), vocab_size=400))
    assert not any("<|" in piece or crosses_a_value(piece) for piece in pieces)
    unbounded = train_bpe(captions(), vocab_size=400, piece_boundary=None)
    assert any(crosses_a_value(piece) for piece in merged_pieces(unbounded))


def test_a_corpus_too_small_for_the_vocabulary_gives_a_smaller_one(tmp_path):
    small = train_sentencepiece(["hello hello"], tmp_path, vocab_size=5000)
    assert 264 < small.vocab_size < 300
    assert small.decode(small.encode("help, é!")) == "help, é!"


def test_texts_with_tabs_and_very_long_texts_are_learnt_from(tmp_path):
    """The trainer would skip both without a word."""
    tabbed = train_bpe(["plaque\tplaque"] * 3, vocab_size=300)
    long = train_bpe(["plaque." * 2000], vocab_size=300)
    for processor in (tabbed, long):
        assert "plaque" in "".join(merged_pieces(processor)[:20])


@pytest.mark.parametrize("texts", [[], ["", "\t", "<|im_end|>"]])
def test_an_empty_corpus_is_refused(tmp_path, texts):
    with pytest.raises(InputError, match="no text"):
        train_sentencepiece(texts, tmp_path)


def test_a_vocabulary_below_the_alphabet_is_refused_with_the_size_it_needs(tmp_path):
    with pytest.raises(InputError, match="need 268"):
        train_sentencepiece(["hello"], tmp_path, vocab_size=267)
    assert train_sentencepiece(["hello"], tmp_path, vocab_size=268).vocab_size == 268
