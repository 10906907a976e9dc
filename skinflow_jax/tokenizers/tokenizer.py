"""Text ↔ token ids and the chat format: one protocol, two kinds.

`load_tokenizer` opens a Hugging Face folder (`tokenizer.json`, for example Qwen2.5-VL's own) or a
SentencePiece model; `train_sentencepiece` makes the latter from a corpus. Neither imports torch.
"""

import functools
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

import sentencepiece
import tokenizers

from skinflow_jax.errors import InputError, one_line
from skinflow_jax.json_file import check_fetched, write_json
from skinflow_jax.tokenizers.chat_template import ADDITIONAL, ChatTemplate, find_template
from skinflow_jax.tokenizers.sentencepiece_bpe import (
    JSON_VALUE_START,
    SPECIAL_TOKENS,
    to_tokenizers,
    train_bpe,
)
from skinflow_jax.tokenizers.tokenizer_config import read_tokenizer_config

SENTENCEPIECE_FILE = "sentencepiece.model"
"""Not `tokenizer.model`: transformers would take that name for a vocabulary of its own."""

_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
    SENTENCEPIECE_FILE,
)

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}"
    "{% if part['type'] in ['image', 'image_url'] %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif part['type'] == 'video' %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif part['type'] == 'text' %}{{ part['text'] }}"
    "{% else %}{{ raise_exception('a content part has the type ' ~ part['type'] ~ "
    "', not text, image or video') }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""The chat format of our own tokenizers: Qwen's turns without its default system prompt."""


class Tokenizer(Protocol):
    """What the rest of the package asks of a tokenizer.

    `pad_id` may be one of `eos_ids` (it is in Qwen2.5-VL): no mask may be inferred from it.
    `vocab_size` is the largest id + 1; the model's embedding may have more rows, not fewer.
    """

    vocab_size: int
    pad_id: int
    eos_ids: tuple[int, ...]
    image_token_id: int
    video_token_id: int
    vision_start_id: int
    vision_end_id: int

    @property
    def end_id(self) -> int:
        """What ends a taught answer: the end of a turn in the chat, if answers end there."""

    def encode(self, text: str) -> list[int]:
        """Token ids; special tokens spelled out in the text become their single id, none is added.

        Raises InputError when the text has a lone surrogate and therefore no UTF-8 form.
        """

    def decode(self, ids: Iterable[int], *, skip_special: bool = True) -> str:
        """The text of `ids`; ids that belong to no token (spare embedding rows) give nothing."""

    def render_chat(self, messages: Sequence[dict], *, add_generation_prompt: bool) -> str:
        """One conversation as text, with one placeholder for each image.

        `messages` are Hugging Face's: a role, and a string or a list of parts as content. Raises
        InputError when the chat template refuses them.
        """

    def save_pretrained(self, folder: str | Path) -> None:
        """Write all that transformers needs of a tokenizer, which `load_tokenizer` reads as well.

        `generation_config.json` is the model's: its exporter takes `eos_ids`, `pad_id` from here.
        """


def load_tokenizer(
    path: str | Path, *, eos_ids: Sequence[int] | None = None, pad_id: int | None = None
) -> Tokenizer:
    """Open a Hugging Face folder, a folder with one SentencePiece `.model`, or such a file itself.

    In a folder that has both, `tokenizer.json` counts: it is what transformers reads, and
    `verify_export` has shown it equal.

    Args:
        path: the folder or file.
        eos_ids: what ends an answer to the model; None for what the folder itself states.
        pad_id: what pads; None likewise.

    Raises:
        InputError: nothing there, an unreadable file, or a special token the model needs is absent.
    """
    tokenizer = _open(Path(path))
    if eos_ids is not None:
        tokenizer.eos_ids = tuple(eos_ids)
    if pad_id is not None:
        tokenizer.pad_id = pad_id
    return tokenizer


def has_tokenizer(folder: Path) -> bool:
    """Whether there is anything in `folder` that `load_tokenizer` would try to read."""
    return (folder / "tokenizer.json").is_file() or any(folder.glob("*.model"))


def _open(path: Path) -> Tokenizer:
    if (path / "tokenizer.json").is_file():
        return HuggingFaceTokenizer(path)
    if path.is_file() and path.suffix == ".model":
        return SentencePieceTokenizer(path)
    found = sorted(path.glob("*.model"))
    if len(found) == 1:
        return SentencePieceTokenizer(found[0])
    raise InputError(
        f"{path}: no tokenizer here ({len(found)} .model files); give a folder with tokenizer.json "
        "or exactly one SentencePiece .model, or the .model file itself"
    )


def train_sentencepiece(
    texts: Iterable[str],
    folder: str | Path,
    *,
    vocab_size: int = 1024,
    piece_boundary: str | None = JSON_VALUE_START,
    max_piece_length: int = 48,
) -> "SentencePieceTokenizer":
    """Train on `texts`, write `folder/sentencepiece.model`; arguments and errors of `train_bpe`."""
    processor = train_bpe(
        texts,
        vocab_size=vocab_size,
        piece_boundary=piece_boundary,
        max_piece_length=max_piece_length,
    )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / SENTENCEPIECE_FILE
    path.write_bytes(processor.serialized_model_proto())
    return SentencePieceTokenizer(path)


def render_default_chat(messages: Sequence[dict]) -> str:
    """One conversation with generation prompt by our own template, before a tokenizer is there."""
    return _own_template().render(messages, add_generation_prompt=True)


@functools.cache
def _own_template() -> ChatTemplate:
    return ChatTemplate(CHAT_TEMPLATE, "our own tokenizers")


def verify_export(tokenizer: Tokenizer, folder: str | Path, texts: Iterable[str]) -> int:
    """Check that the tokenizer exported to `folder` gives the ids of `tokenizer`; returns how many.

    What ends an answer and what pads is the model's to say, in its generation_config.json.

    Raises:
        InputError: another vocabulary size or special id, or the first text with other ids.
    """
    exported = HuggingFaceTokenizer(Path(folder))
    for name in ("vocab_size", *_TOKEN_OF_ID):
        ours, theirs = getattr(tokenizer, name), getattr(exported, name)
        if ours != theirs:
            raise InputError(
                f"{folder}/tokenizer.json: {name} is {theirs}, in training it was {ours}; "
                "export the folder again from the tokenizer that trained"
            )
    checked = 0
    for text in texts:
        if tokenizer.encode(text) != exported.encode(text):
            raise InputError(
                f"{folder}/tokenizer.json: other ids than in training for the text {text[:80]!r}; "
                "train the tokenizer with another vocab_size"
            )
        checked += 1
    return checked


_TOKEN_OF_ID = {
    "image_token_id": "<|image_pad|>",
    "video_token_id": "<|video_pad|>",
    "vision_start_id": "<|vision_start|>",
    "vision_end_id": "<|vision_end|>",
}


class _ChatTokenizer:
    """What both kinds share: Qwen's special tokens, decoding, the chat template."""

    _tokenizer: tokenizers.Tokenizer

    def __init__(
        self, path: Path, token_id: Callable[[str], int | None], template: ChatTemplate | None
    ):
        self._path = path
        self._template = template
        self._token_id = token_id
        for token in SPECIAL_TOKENS:
            self._require(token)
        for name, token in _TOKEN_OF_ID.items():
            setattr(self, name, self._require(token))
        self.pad_id = self._require("<|endoftext|>")
        self.eos_ids = (self._require("<|im_end|>"), self._require("<|endoftext|>"))

    def _require(self, token: str) -> int:
        found = self._token_id(token)
        if found is None:
            raise InputError(
                f"{self._path}: the special token {token} is missing; use the tokenizer of a "
                "Qwen2.5-VL model or one that train_sentencepiece made"
            )
        return found

    @property
    def end_id(self) -> int:
        """See `Tokenizer.end_id`."""
        turn = self._require("<|im_end|>")
        return turn if turn in self.eos_ids else self.eos_ids[0]

    def decode(self, ids: Iterable[int], *, skip_special: bool = True) -> str:
        """See `Tokenizer.decode`."""
        return self._tokenizer.decode([int(i) for i in ids], skip_special_tokens=skip_special)

    def render_chat(self, messages: Sequence[dict], *, add_generation_prompt: bool) -> str:
        """See `Tokenizer.render_chat`."""
        if self._template is None:
            raise InputError(f"{self._path}: no chat template; add chat_template.jinja next to it")
        return self._template.render(messages, add_generation_prompt=add_generation_prompt)


class HuggingFaceTokenizer(_ChatTokenizer):
    """A Hugging Face folder with a `tokenizer.json`, read by the `tokenizers` library."""

    def __init__(self, folder: Path):
        self._folder = folder
        path = folder / "tokenizer.json"
        for name in _TOKENIZER_FILES:  # a template could be any text, others are only copied
            check_fetched(folder / name)
        try:
            self._tokenizer = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises nothing more precise
            raise InputError(f"{path}: not a readable tokenizer: {one_line(error)}") from error
        # Either could be saved in the file and would cut or lengthen texts without a word.
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        config = read_tokenizer_config(folder, self._tokenizer)
        template = find_template(folder, config.fields)
        added = self._tokenizer.get_added_tokens_decoder().values()
        special = {token.content for token in added if token.special}
        super().__init__(
            path,
            # An ordinary vocabulary entry would be split when met in a text, and one that is not
            # special would stand in a decoded answer.
            lambda token: self._tokenizer.token_to_id(token) if token in special else None,
            None if template is None else ChatTemplate(*template, config.special),
        )
        self.pad_id = self._require(config.special.get("pad_token", "<|endoftext|>"))
        if "eos_token" in config.special:
            first = self._require(config.special["eos_token"])
            self.eos_ids = (first, *(i for i in self.eos_ids if i != first))
        self.vocab_size = max(self._tokenizer.get_vocab(with_added_tokens=True).values()) + 1

    def encode(self, text: str) -> list[int]:
        """See `Tokenizer.encode`."""
        _check_utf8(text)
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def save_pretrained(self, folder: str | Path) -> None:
        """Copy the tokenizer's files as they are: an export is what was imported."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name in _TOKENIZER_FILES:
            source, target = self._folder / name, folder / name
            if source.is_file() and source.resolve() != target.resolve():
                shutil.copyfile(source, target)
        for source in sorted((self._folder / ADDITIONAL).glob("*.jinja")):
            target = folder / ADDITIONAL / source.name
            if source.resolve() != target.resolve():
                target.parent.mkdir(exist_ok=True)
                shutil.copyfile(source, target)


class SentencePieceTokenizer(_ChatTokenizer):
    """A SentencePiece BPE model that has Qwen's special tokens among its pieces.

    SentencePiece cannot tell `▁` (U+2581) from a space: both have the same id, which decodes to a
    space. Every other text survives encode and decode unchanged. Ids are SentencePiece's; they are
    decoded as the export decodes them, because the libraries differ on bytes that are not UTF-8,
    which a model can sample.
    """

    def __init__(self, path: Path):
        try:
            self._processor = sentencepiece.SentencePieceProcessor(model_file=str(path))
            self._tokenizer = to_tokenizers(self._processor)
        except (RuntimeError, OSError, InputError) as error:
            raise InputError(f"{path}: not a readable SentencePiece BPE model: {error}") from error
        self.vocab_size = self._processor.get_piece_size()
        ids = {self._processor.id_to_piece(i): i for i in range(self.vocab_size)}
        super().__init__(path, ids.get, _own_template())

    def encode(self, text: str) -> list[int]:
        """See `Tokenizer.encode`."""
        _check_utf8(text)
        return self._processor.encode(text)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the model, and the `tokenizer.json` with the same ids for transformers."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self._tokenizer.save(str(folder / "tokenizer.json"))
        config = {
            # The class that reads tokenizer.json as it is, whatever the model type.
            "tokenizer_class": "PreTrainedTokenizerFast",
            "pad_token": "<|endoftext|>",
            "eos_token": "<|im_end|>",
            "clean_up_tokenization_spaces": False,
            "model_input_names": ["input_ids", "attention_mask"],
        }
        write_json(folder / "tokenizer_config.json", config)
        (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)
        (folder / SENTENCEPIECE_FILE).write_bytes(self._processor.serialized_model_proto())


def _check_utf8(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            f"character {error.start} of the text {text[:40]!r} is a lone surrogate; "
            "replace it before tokenising"
        ) from error
