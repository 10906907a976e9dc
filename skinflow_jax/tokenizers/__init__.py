"""Text to token ids and the chat format: one protocol, two kinds of tokenizer."""

from skinflow_jax.tokenizers.tokenizer import (
    CHAT_TEMPLATE,
    SENTENCEPIECE_FILE,
    HuggingFaceTokenizer,
    SentencePieceTokenizer,
    Tokenizer,
    has_tokenizer,
    load_tokenizer,
    render_default_chat,
    train_sentencepiece,
    verify_export,
)

__all__ = [
    "CHAT_TEMPLATE",
    "SENTENCEPIECE_FILE",
    "HuggingFaceTokenizer",
    "SentencePieceTokenizer",
    "Tokenizer",
    "has_tokenizer",
    "load_tokenizer",
    "render_default_chat",
    "train_sentencepiece",
    "verify_export",
]
