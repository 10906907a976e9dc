"""Claims about the tokenizers; transformers' own and SentencePiece's are the oracles."""

import json
import random
import shutil

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from skinflow_jax.errors import InputError
from skinflow_jax.tokenizers import (
    HuggingFaceTokenizer,
    SentencePieceTokenizer,
    load_tokenizer,
    train_sentencepiece,
    verify_export,
)
from skinflow_jax.tokenizers.sentencepiece_bpe import SPECIAL_TOKENS

FIELDS = {
    "lesion_type": ["plaque", "papule", "nodule", "macule"],
    "colour": ["red", "brown", "skin-coloured"],
    "size": ["<5 mm", "10-20 mm"],
    "border": ["well-defined", "ill-defined"],
}
DISEASES = ["psoriasis", "tinea corporis", "lichen planus", "urticaria", "melanoma", "vitiligo"]
PROMPT = (
    "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>Name it.\tTwo  gaps.<|im_end|>\n"
)

CONVERSATIONS = [
    [{"role": "user", "content": "What is this?"}],
    [
        {"role": "system", "content": "  Answer in JSON.\n"},
        {
            "role": "user",
            "content": [{"type": "image"}, {"type": "text", "text": "Describe <it>."}],
        },
        {"role": "assistant", "content": '{"colour": "red"}'},
        {"role": "user", "content": [{"type": "text", "text": "Now\n\nrank."}]},
    ],
    [
        {
            "role": "user",
            "content": [
                {"type": "image", "image": object()},
                {"type": "image"},
                {"type": "video"},
                {"type": "text", "text": "Compare.  "},
            ],
        }
    ],
]


def corpus(seed: int = 0, n: int = 300) -> list[str]:
    draw = random.Random(seed)
    captions = [json.dumps({k: draw.choice(v) for k, v in FIELDS.items()}) for _ in range(n)]
    diagnoses = [json.dumps({"diagnoses": draw.sample(DISEASES, 6)}) for _ in range(n)]
    return [*captions, *diagnoses, PROMPT]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> SentencePieceTokenizer:
    return train_sentencepiece(corpus(), tmp_path_factory.mktemp("trained"), vocab_size=700)


@pytest.fixture(scope="module")
def export_folder(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    trained.save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps({"model_type": "qwen2_5_vl"}))
    return folder


@pytest.fixture(scope="module")
def exported(export_folder) -> HuggingFaceTokenizer:
    return load_tokenizer(export_folder)


@pytest.fixture(scope="module")
def exported_in_transformers(export_folder):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(export_folder)


@pytest.fixture(scope="module")
def qwen(test_data) -> HuggingFaceTokenizer:
    return load_tokenizer(test_data / "qwen2_5_vl_7b")


@pytest.fixture(scope="module")
def qwen_in_transformers(test_data):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(test_data / "qwen2_5_vl_7b")


# Whitespace, what SentencePiece reserves, special tokens whole and cut, pieces of the corpus.
FRAGMENTS = st.sampled_from(
    [
        *SPECIAL_TOKENS,
        *[
            "\n",
            "\r\n",
            "\t",
            " ",
            "   ",
            "\0",
            "▁",
            "<unk>",
            "<0x41>",
            "<|im_end",
            "|>",
            "😀",
            "é",
        ],
        *['", "colour": "', "psoriasis", "iasisis", "lichen pla", "10-20 mm", "0123", "皮膚", "اب"],
    ]
)
ANY_TEXT = st.lists(st.one_of(FRAGMENTS, st.text(max_size=8)), max_size=12).map("".join)
ANY_CONTENT = st.one_of(
    st.text(max_size=20),
    st.lists(
        st.one_of(
            st.just({"type": "image"}),
            st.text(max_size=12).map(lambda text: {"type": "text", "text": text}),
        ),
        max_size=4,
    ),
)


@settings(max_examples=400, deadline=None)
@given(text=ANY_TEXT)
def test_sentencepiece_gives_back_any_text_but_for_its_own_space_sign(trained, text):
    assert trained.decode(trained.encode(text), skip_special=False) == text.replace("▁", " ")


@settings(max_examples=400, deadline=None)
@given(text=ANY_TEXT)
def test_the_export_gives_the_training_ids_on_any_text(
    trained, exported, exported_in_transformers, text
):
    ids = trained.encode(text)
    assert exported.encode(text) == ids
    assert exported_in_transformers(text)["input_ids"] == ids
    for skip in (True, False):
        in_training = trained.decode(ids, skip_special=skip)
        assert exported.decode(ids, skip_special=skip) == in_training
        assert exported_in_transformers.decode(ids, skip_special_tokens=skip) == in_training


def test_the_export_gives_the_training_ids_on_the_whole_corpus(trained, export_folder):
    texts = [*corpus(), *corpus(seed=1)]
    assert verify_export(trained, export_folder, texts) == len(texts)


def test_the_export_has_the_same_special_ids_and_size_everywhere(
    trained, exported, exported_in_transformers
):
    for name in ("pad_id", "eos_ids", "image_token_id", "video_token_id", "vision_start_id"):
        assert getattr(exported, name) == getattr(trained, name)
    theirs = exported_in_transformers
    assert theirs.pad_token_id == trained.pad_id
    assert theirs.eos_token_id == trained.eos_ids[0] == trained.encode("<|im_end|>")[0]
    assert len(theirs) == exported.vocab_size == trained.vocab_size == 700
    assert set(SPECIAL_TOKENS) <= set(theirs.get_vocab())


def test_an_export_of_an_export_is_the_same_files(export_folder, exported, tmp_path):
    exported.save_pretrained(tmp_path)
    names = {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}
    assert {path.name for path in tmp_path.iterdir()} == names | {"sentencepiece.model"}
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (export_folder / path.name).read_bytes()


def test_the_sentencepiece_model_inside_an_export_is_the_one_that_trained(trained, export_folder):
    inside = load_tokenizer(export_folder / "sentencepiece.model")
    assert isinstance(inside, SentencePieceTokenizer)
    assert all(inside.encode(text) == trained.encode(text) for text in corpus(seed=2))


def test_a_folder_with_both_kinds_is_read_as_transformers_reads_it(exported):
    assert isinstance(exported, HuggingFaceTokenizer)


def test_special_tokens_are_single_ids_anywhere_and_vanish_on_request(trained, exported):
    for tokenizer in (trained, exported):
        for token in SPECIAL_TOKENS:
            (single,) = tokenizer.encode(token)
            inside = tokenizer.encode(f"red{token} plaque")
            assert inside.count(single) == 1
            assert tokenizer.decode(inside) == "red plaque"
            assert tokenizer.decode(inside, skip_special=False) == f"red{token} plaque"


def test_ids_of_spare_embedding_rows_decode_to_nothing(trained, exported):
    for tokenizer in (trained, exported):
        assert tokenizer.decode([tokenizer.vocab_size + 7, *tokenizer.encode("red")]) == "red"


@settings(max_examples=300, deadline=None)
@given(ids=st.lists(st.one_of(st.integers(0, 699), st.integers(8, 263)), max_size=30))
def test_any_ids_a_model_may_sample_decode_alike_after_export(
    trained, exported, exported_in_transformers, ids
):
    for skip in (True, False):
        text = trained.decode(ids, skip_special=skip)
        assert exported.decode(ids, skip_special=skip) == text
        assert exported_in_transformers.decode(ids, skip_special_tokens=skip) == text


def test_one_token_is_one_decision_in_the_formats_the_model_writes(trained):
    fields = {"lesion_type": "plaque", "colour": "red", "size": "<5 mm", "border": "ill-defined"}
    assert len(trained.encode(json.dumps(fields))) == 1 + len(fields)
    assert len(trained.encode(json.dumps({"diagnoses": DISEASES}))) == 1 + len(DISEASES)


@settings(max_examples=100, deadline=None)
@given(content=ANY_CONTENT, generate=st.booleans())
def test_our_chat_template_renders_as_in_transformers(
    trained, exported, exported_in_transformers, content, generate
):
    messages = [{"role": "user", "content": content}, {"role": "assistant", "content": "x"}]
    expected = exported_in_transformers.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=generate
    )
    for tokenizer in (trained, exported):
        assert tokenizer.render_chat(messages, add_generation_prompt=generate) == expected


def test_our_chat_template_adds_nothing_to_the_turns(trained):
    messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Name."}]}]
    assert trained.render_chat(messages, add_generation_prompt=True) == (
        "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>Name.<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_a_message_without_content_is_refused(trained):
    with pytest.raises(InputError, match="chat template refused"):
        trained.render_chat([{"role": "user", "content": None}], add_generation_prompt=True)


def test_an_unknown_content_part_is_refused_by_name(trained):
    messages = [{"role": "user", "content": [{"type": "audio"}]}]
    with pytest.raises(InputError, match="audio"):
        trained.render_chat(messages, add_generation_prompt=True)


@pytest.mark.parametrize("messages", CONVERSATIONS)
@pytest.mark.parametrize("generate", [True, False])
def test_qwens_chat_renders_and_encodes_as_in_transformers(
    qwen, qwen_in_transformers, messages, generate
):
    rendered = qwen.render_chat(messages, add_generation_prompt=generate)
    theirs = qwen_in_transformers.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=generate
    )
    assert rendered == theirs
    assert qwen.encode(rendered) == qwen_in_transformers(theirs)["input_ids"]


@settings(max_examples=200, deadline=None)
@given(text=ANY_TEXT)
def test_qwens_ids_are_those_of_transformers_on_any_text(qwen, qwen_in_transformers, text):
    ids = qwen.encode(text)
    assert ids == qwen_in_transformers(text)["input_ids"]
    for skip in (True, False):
        theirs = qwen_in_transformers.decode(ids, skip_special_tokens=skip)
        assert qwen.decode(ids, skip_special=skip) == theirs


def test_qwens_ids_are_those_of_transformers_on_real_label_tables(
    qwen, qwen_in_transformers, test_data
):
    tables = sorted((test_data / "data").rglob("*.csv"))
    assert tables, "the test data has no label table"
    for table in tables:
        text = table.read_text(encoding="utf-8")[:20_000]
        assert qwen.encode(text) == qwen_in_transformers(text)["input_ids"]


def test_qwens_special_ids_are_the_published_ones(qwen):
    assert (qwen.pad_id, qwen.eos_ids) == (151643, (151645, 151643))
    assert (qwen.image_token_id, qwen.video_token_id) == (151655, 151656)
    assert (qwen.vision_start_id, qwen.vision_end_id) == (151652, 151653)
    assert qwen.vocab_size == 151665


def test_qwens_folder_survives_save_and_load(qwen, tmp_path):
    qwen.save_pretrained(tmp_path)
    assert verify_export(qwen, tmp_path, [*corpus()[:20], PROMPT]) == 21
    again = load_tokenizer(tmp_path)
    for messages in CONVERSATIONS:
        assert again.render_chat(messages, add_generation_prompt=True) == qwen.render_chat(
            messages, add_generation_prompt=True
        )


def test_the_model_says_where_its_answers_end(export_folder):
    found = load_tokenizer(export_folder, eos_ids=[3], pad_id=4)
    assert (found.eos_ids, found.pad_id) == ((3,), 4)


@pytest.mark.parametrize(("eos_ids", "end"), [([3, 1], 3), ([1, 3], 3), ([1], 1)])
def test_a_taught_answer_ends_as_the_chat_format_ends_a_turn(export_folder, eos_ids, end):
    """In whatever order the model's config lists them: the template writes <|im_end|>."""
    assert load_tokenizer(export_folder, eos_ids=eos_ids).end_id == end


def test_a_folder_without_a_tokenizer_is_refused(tmp_path):
    with pytest.raises(InputError, match="no tokenizer here"):
        load_tokenizer(tmp_path)
    with pytest.raises(InputError, match=r"absent.*no tokenizer here"):
        load_tokenizer(tmp_path / "absent")


def test_two_models_in_one_folder_are_refused(trained, tmp_path):
    for name in ("a.model", "b.model"):
        shutil.copy(trained._path, tmp_path / name)
    with pytest.raises(InputError, match=r"2 \.model files"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("name", ["tokenizer.json", "broken.model"])
@pytest.mark.parametrize("content", [b"", b"{}", b"\x00\xff garbage"])
def test_a_corrupt_file_is_refused_by_name(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=name):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("name", ["tokenizer_config.json", "chat_template.json"])
def test_a_corrupt_companion_file_is_refused_by_name(export_folder, tmp_path, name):
    folder = shutil.copytree(export_folder, tmp_path / "export")
    (folder / "chat_template.jinja").unlink()
    (folder / name).write_text('{"chat_template":')
    with pytest.raises(InputError, match=name):
        load_tokenizer(folder)


@pytest.mark.parametrize("token", SPECIAL_TOKENS)
def test_an_absent_special_token_is_refused_by_file_and_name(export_folder, tmp_path, token):
    """Only added tokens are found whole in a text, so a mere vocabulary entry does not count."""
    content = json.loads((export_folder / "tokenizer.json").read_text())
    content["added_tokens"] = [t for t in content["added_tokens"] if t["content"] != token]
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "TokenizersBackend"}')
    with pytest.raises(InputError) as refusal:
        load_tokenizer(tmp_path)
    assert token in str(refusal.value)
    assert str(tmp_path / "tokenizer.json") in str(refusal.value)


@pytest.mark.parametrize(("kind", "reason"), [("unigram", "not a BPE"), ("bpe", "<|endoftext|>")])
def test_a_foreign_sentencepiece_model_is_refused(tmp_path, kind, reason):
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus()),
        model_prefix=str(tmp_path / "foreign"),
        model_type=kind,
        vocab_size=90,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    with pytest.raises(InputError) as refusal:
        load_tokenizer(tmp_path)
    assert reason in str(refusal.value)
    assert "foreign.model" in str(refusal.value)


def test_a_chat_template_that_does_not_compile_is_refused(export_folder, tmp_path):
    folder = shutil.copytree(export_folder, tmp_path / "export")
    (folder / "chat_template.jinja").write_text("{% for message in %}")
    with pytest.raises(InputError, match="does not compile"):
        load_tokenizer(folder)


def test_a_chat_template_cannot_reach_out_of_its_sandbox(export_folder, tmp_path):
    folder = shutil.copytree(export_folder, tmp_path / "export")
    (folder / "chat_template.jinja").write_text("{{ messages.__class__.__mro__ }}")
    with pytest.raises(InputError, match="refused"):
        load_tokenizer(folder).render_chat(CONVERSATIONS[0], add_generation_prompt=True)


@pytest.mark.parametrize(
    "template",
    [
        "{% for i in range(99999999) %}x{% endfor %}",
        "{{ 'a' * 10**11 }}",
        "{{ 1 // 0 }}",
        "{{ messages[7]['content'] }}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{{ raise_exception('no') }}",
    ],
)
def test_a_chat_template_that_fails_in_any_way_is_named(export_folder, tmp_path, template):
    folder = shutil.copytree(export_folder, tmp_path / "copy")
    (folder / "chat_template.jinja").write_text(template)
    tokenizer = load_tokenizer(folder)
    with pytest.raises(InputError, match=r"copy.*: the chat template refused: ") as error:
        tokenizer.render_chat([{"role": "user", "content": "a"}], add_generation_prompt=True)
    assert "\n" not in str(error.value)


def test_a_folder_without_a_chat_template_still_encodes(export_folder, trained, tmp_path):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(export_folder / name, tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer.encode(PROMPT) == trained.encode(PROMPT)
    with pytest.raises(InputError, match=r"chat_template\.jinja"):
        tokenizer.render_chat(CONVERSATIONS[0], add_generation_prompt=True)


def test_a_lone_surrogate_is_refused_with_its_place(trained, exported):
    for tokenizer in (trained, exported):
        with pytest.raises(InputError, match="character 2 "):
            tokenizer.encode("ab\ud800")


def test_an_export_with_other_merges_is_caught_at_the_first_text(trained, export_folder, tmp_path):
    folder = shutil.copytree(export_folder, tmp_path / "export")
    content = json.loads((folder / "tokenizer.json").read_text())
    content["model"]["merges"].reverse()
    (folder / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"other ids than in training for the text '\{"):
        verify_export(trained, folder, corpus())


def test_an_export_of_another_tokenizer_is_caught_by_its_size(trained, tmp_path):
    train_sentencepiece(corpus(), tmp_path, vocab_size=500).save_pretrained(tmp_path / "export")
    with pytest.raises(InputError, match="vocab_size is 500, in training it was 700"):
        verify_export(trained, tmp_path / "export", [])
