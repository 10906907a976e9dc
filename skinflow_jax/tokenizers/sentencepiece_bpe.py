"""SentencePiece BPE: training on a small corpus, and translation to `tokenizers` with equal ids.

Why BPE: both libraries merge the best-ranked adjacent pair first, so a vocabulary carries over;
Unigram segments by likelihood and does not survive the translation (our observation).
"""

import io
import re
from collections.abc import Iterable

import sentencepiece
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers

from skinflow_jax.errors import InputError

SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
"""Qwen2.5-VL's names for the tokens a conversation with images needs; ids 1 to 7 here."""

SPACE = "▁"
"""SentencePiece's internal spelling of a space (U+2581)."""

UNKNOWN = "<unk>"
"""SentencePiece insists on an unknown piece; byte fallback means that no text encodes to it."""

JSON_VALUE_START = r'(?<=: ")|(?<=\[")|(?<=", ")(?![^"]*": )'
"""Where a JSON string value begins. Cut there, `plaque", "colour": "` becomes one piece: the value
and the boilerplate behind it, so that one generated token is one decision (our choice)."""

_BYTES = 256


def train_bpe(
    texts: Iterable[str],
    *,
    vocab_size: int,
    piece_boundary: str | None = JSON_VALUE_START,
    max_piece_length: int = 48,
) -> sentencepiece.SentencePieceProcessor:
    """Train a BPE model with byte fallback and identity normalisation; same texts, same model.

    Args:
        texts: the corpus; special tokens written in it are never part of a piece.
        vocab_size: number of ids wanted. A corpus that runs out of pairs to merge gives fewer.
        piece_boundary: a regular expression; no piece crosses the start of a match. None: no limit.
        max_piece_length: in characters.

    Raises:
        InputError: the corpus is empty, or its characters alone need more ids than `vocab_size`.
    """
    segments = _segments(texts, piece_boundary)
    if not segments:
        raise InputError("the tokenizer's corpus has no text: give at least one non-empty string")
    alphabet = len(set().union(*(segment.replace(" ", SPACE) for segment in segments)))
    needed = 1 + len(SPECIAL_TOKENS) + _BYTES + alphabet
    if vocab_size < needed:
        raise InputError(
            f"vocab_size={vocab_size} is too small for the tokenizer's corpus: {_BYTES} bytes, "
            f"{len(SPECIAL_TOKENS) + 1} special tokens and {alphabet} characters need {needed}"
        )
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(segments),
        model_writer=model,
        model_type="bpe",
        vocab_size=vocab_size,
        hard_vocab_limit=False,
        byte_fallback=True,
        character_coverage=1.0,
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        split_by_whitespace=False,
        split_by_unicode_script=False,
        split_by_number=False,
        max_sentencepiece_length=max_piece_length,
        max_sentence_length=2**30,
        user_defined_symbols=list(SPECIAL_TOKENS),
        unk_id=0,
        unk_piece=UNKNOWN,
        unk_surface=UNKNOWN,
        bos_id=-1,
        eos_id=-1,
        pad_id=-1,
        num_threads=1,
        minloglevel=2,
    )
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def _segments(texts: Iterable[str], piece_boundary: str | None) -> list[str]:
    """Cut the corpus where no piece may cross; the trainer would skip text with a tab unasked."""
    cut = re.compile("|".join([r"[\t\0]", *map(re.escape, SPECIAL_TOKENS)]))
    spans = [span for text in texts for span in cut.split(text)]
    if piece_boundary is not None:
        boundary = re.compile(f"(?={piece_boundary})")
        spans = [segment for span in spans for segment in boundary.split(span)]
    return [span for span in spans if span]


def merged_pieces(processor: sentencepiece.SentencePieceProcessor) -> list[str]:
    """The pieces that merging can produce, best first.

    Raises:
        InputError: the scores are not the ranks 0, -1, -2, … that a BPE model has.
    """
    ids = [
        i
        for i in range(processor.get_piece_size())
        if not (processor.is_unknown(i) or processor.is_control(i) or processor.is_byte(i))
        and processor.id_to_piece(i) not in SPECIAL_TOKENS
    ]
    if [processor.get_score(i) for i in ids] != [-float(rank) for rank in range(len(ids))]:
        raise InputError("the pieces' scores are not merge ranks, so this is not a BPE model")
    return [processor.id_to_piece(i) for i in ids]


def to_tokenizers(processor: sentencepiece.SentencePieceProcessor) -> Tokenizer:
    """The same vocabulary, ids and merges as a `tokenizers.Tokenizer`, for transformers to load.

    SentencePiece merges any neighbours that form a piece, the best piece first; so every split of a
    piece into two pieces is a merge, in the order of the pieces. Splits of one piece share a rank
    there and cannot here: only text that repeats a piece's own border could tell, and
    `verify_export` is run to see that none does.
    """
    pieces = merged_pieces(processor)
    known = set(pieces)
    merges = [
        (piece[:cut], piece[cut:])
        for piece in pieces
        for cut in reversed(range(1, len(piece)))
        if piece[:cut] in known and piece[cut:] in known
    ]
    vocab = {processor.id_to_piece(i): i for i in range(processor.get_piece_size())}
    tokenizer = Tokenizer(
        models.BPE(vocab=vocab, merges=merges, unk_token=UNKNOWN, byte_fallback=True)
    )
    tokenizer.normalizer = normalizers.Replace(" ", SPACE)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    tokenizer.add_special_tokens(
        [AddedToken(token, normalized=False, special=True) for token in SPECIAL_TOKENS]
    )
    return tokenizer
