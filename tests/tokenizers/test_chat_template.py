"""Chat templates: transformers' own rendering is the oracle; a hostile one ends in a line."""

import json
import shutil
import time

import pytest
from transformers import PreTrainedTokenizerFast

from skinflow_jax.errors import InputError
from skinflow_jax.tokenizers import (
    CHAT_TEMPLATE,
    chat_template,
    load_tokenizer,
    train_sentencepiece,
)
from skinflow_jax.tokenizers.chat_template import ChatTemplate, find_template

TOKENS = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
MESSAGES = [
    {"role": "system", "content": "  Say <it> & <that>.\n"},
    {
        "role": "user",
        "content": [{"type": "image"}, {"type": "text", "text": "Was ist das? é"}],
    },
    {"role": "assistant", "content": "ein Muttermal", "tool_calls": None},
    {"role": "user", "content": "And\nnow?"},
]
# Each has something that a template on the Hub does.
TEMPLATES = {
    "our own": CHAT_TEMPLATE,
    "special tokens": "{% for m in messages %}{{ m.role }}{{ eos_token }}{% endfor %}{{pad_token}}",
    "a token that is not there": "{% if bos_token is defined %}{{ bos_token }}{% endif %}x",
    "a flag of the caller": "{% if add_vision_id %}Picture: {% endif %}x",
    "default": "{{ system_message | default('You help.') }}{{ messages[0].name or 'none' }}",
    "tools": "{% if tools %}{{ tools }}{% endif %}{% if documents is none %}none{% endif %}",
    "tool calls": "{% for m in messages %}{% if m.tool_calls %}x{% else %}-{% endif %}{% endfor %}",
    "key is there": "{% for m in messages %}{{ 'tool_calls' in m }}{{ 'x' in m.foo }}{% endfor %}",
    "date": "{{ strftime_now('%Y')[:2] }}{% if strftime_now is defined %} today{% endif %}",
    "generation": (
        "{% for m in messages %}{% if m.role == 'assistant' %}"
        "{% generation %}{{ m.content }}{% set x = 1 %}{% endgeneration %}"
        "{% else %}{{ m.role }}{% endif %}{% endfor %}{{ x is defined }}"
    ),
    "json": "{{ messages | tojson }}{{ messages[1] | tojson(indent=2) }}",
    "json of arguments": (
        "{{ messages[0] | tojson(ensure_ascii=true, separators=(',', ':'), sort_keys=true) }}"
    ),
    "loop controls": (
        "{% for m in messages %}{% if loop.index0 == 1 %}{% continue %}{% endif %}"
        "{% if loop.last %}{% break %}{% endif %}{{ loop.index }}{{ m.role }}{% endfor %}"
    ),
    "whitespace": (
        "  {%- for m in messages %}\n    {% if true %}\n  {{ m.role -}}\n {% endif %}\n{% endfor %}"
    ),
    "namespace and macro": (
        "{% set ns = namespace(n=0) %}{% macro part(p) %}{{ p.text if p.text else p.type }}"
        "{% endmacro %}{% for p in messages[1].content %}{% set ns.n = ns.n + 1 %}"
        "{{ ns.n }}:{{ part(p) }}{% endfor %}"
    ),
    "methods": (
        "{{ messages[0].content.strip().split(' ')[-1] }}{{ '%d' % 3 }}{{ '{:>5}'.format('a') }}"
        "{{ 'a' ~ 1 ~ none }}{{ 'ab' * 3 }}{{ [1] + [2] }}{{ dict(a=1) }}{{ range(3) | list }}"
        "{{ messages | map(attribute='role') | join(', ') | upper }}{{ 'x' | center(9) }}"
        "{{ messages[0].items() | list | length }}{{ 7 // 2 }}{{ 2 ** 10 }}"
        "{{ messages[::-1][0].role }}"
    ),
    "set block": "{% set x %}{{ messages[0].role }}{% endset %}{{ x }}{{ x | length }}",
}


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    train_sentencepiece(["a brown plaque"] * 9, folder, vocab_size=300).save_pretrained(folder)
    return PreTrainedTokenizerFast.from_pretrained(folder)


@pytest.mark.parametrize("generate", [True, False])
@pytest.mark.parametrize("kind", TEMPLATES)
def test_a_template_renders_as_in_transformers(theirs, kind, generate):
    template = TEMPLATES[kind]
    expected = theirs.apply_chat_template(
        MESSAGES, chat_template=template, tokenize=False, add_generation_prompt=generate
    )
    ours = ChatTemplate(template, "file", TOKENS).render(MESSAGES, add_generation_prompt=generate)
    assert ours == expected and ours


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("{{ bos_token }}hello", "'bos_token' is undefined"),
        ("{{ 'a' ~ bos_token }}", "'bos_token' is undefined"),
        ("{% for d in docs %}{{ d }}{% endfor %}", "'docs' is undefined"),
        ("{{ messages[0].name }}", "has no attribute 'name'"),
        ("{{ user.name }}", "'user' is undefined"),
        ("{{ docs | join(', ') }}", "'docs' is undefined"),
    ],
)
def test_a_name_that_nothing_defines_is_refused_where_it_would_leave_a_gap(template, name):
    with pytest.raises(InputError, match=f"chat.jinja: the chat template refused: .*{name}"):
        ChatTemplate(template, "chat.jinja").render(MESSAGES, add_generation_prompt=True)


DOUBLED = "{% set x = 'ab' %}" + "{% set x %}{{ x }}{{ x }}{% endset %}" * 60


@pytest.mark.parametrize(
    "template",
    [
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{% for i in range(99999999) %}x{% endfor %}",
        "{% for i in range(99999) %}0123456789abcdef{% endfor %}",
        "{{ 'a' * 10**11 }}",
        "{{ 10 ** (10 ** 9) }}",
        "{{ [0] * 10**10 }}",
        "{{ 'a' | center(10**10) }}",
        "{{ 'a'.ljust(10**10) }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '{:>9999999999}'.format(1) }}",
        "{{ '{:>{}}'.format(1, 9999999999) }}",
        "{{ range(100000) | join('x' * 1000000) }}",
        "{{ ('x' * 1000000) | replace('x', 'y' * 1000000) }}",
        "{{ ('x' * 1000000).replace('x', 'y' * 1000000) }}",
        "{{ lipsum(n=100000000) }}",
        "{{ messages | tojson(indent=10**9) }}",
        "{% set ns = namespace(x='a') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}"
        "{% endfor %}{{ ns.x }}",
        "{% set ns = namespace(x='a') %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}"
        "{% endfor %}{{ ns.x }}",
        DOUBLED,
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% include 'other' %}",
        "{{ ''.__class__.__mro__ }}",
        "{{ messages.append(1) }}",
        "{{ strftime_now(3) }}",
        "{{ 1 / 0 }}",
    ],
)
def test_a_hostile_template_is_refused_by_its_file(template, monkeypatch):
    monkeypatch.setattr(chat_template, "MOST_SECONDS", 0.3)
    with pytest.raises(InputError, match=r"chat.jinja: the chat template refused: ") as refused:
        ChatTemplate(template, "chat.jinja").render(MESSAGES, add_generation_prompt=True)
    line = str(refused.value)
    assert "\n" not in line and len(line) < 400


@pytest.mark.parametrize(
    "template",
    [
        "{% if 1 %}" * 3000,
        "{{ " + "(" * 5000 + " }}",
        "{% for %}",
        "{{ x | nofilter }}",
        "x" * 10**7,
    ],
    ids=["deep", "brackets", "cut", "filter", "long"],
)
def test_a_template_that_does_not_compile_is_refused_by_its_file(template):
    with pytest.raises(InputError, match=r"chat.jinja: the chat template does not compile: "):
        ChatTemplate(template, "chat.jinja")


def test_the_template_is_found_where_transformers_looks(tmp_path):
    listed = [{"name": "tools", "template": "t"}, {"name": "default", "template": "config"}]
    config = {"chat_template": listed}
    assert find_template(tmp_path, {}) is None
    assert find_template(tmp_path, config) == ("config", tmp_path / "tokenizer_config.json")
    (tmp_path / "chat_template.json").write_text(json.dumps({"chat_template": "json"}))
    assert find_template(tmp_path, config) == ("json", tmp_path / "chat_template.json")
    (tmp_path / "chat_template.jinja").write_text("jinja")
    assert find_template(tmp_path, config) == ("jinja", tmp_path / "chat_template.jinja")
    more = tmp_path / "additional_chat_templates"
    more.mkdir()
    (more / "tool_use.jinja").write_text("tools")
    assert find_template(tmp_path, config) == ("jinja", tmp_path / "chat_template.jinja")
    (more / "default.jinja").write_text("first")
    assert find_template(tmp_path, config) == ("first", more / "default.jinja")
    (more / "default.jinja").unlink()
    (tmp_path / "chat_template.jinja").write_bytes(b"\xff")
    with pytest.raises(InputError, match=r"chat_template\.jinja is not UTF-8"):
        find_template(tmp_path, config)


CONFIGS = {
    "text": "config",
    "by name": {"default": "config", "tools": "t"},
    "listed": [{"name": "tools", "template": "t"}, {"name": "default", "template": "config"}],
    "twice": [{"name": "default", "template": "t"}, {"name": "default", "template": "config"}],
}


@pytest.mark.parametrize("kind", [*CONFIGS, "beside", "beside and named default"])
def test_transformers_takes_the_same_of_several_templates(theirs, tmp_path, kind):
    folder = shutil.copytree(theirs.name_or_path, tmp_path / "copy")
    (folder / "chat_template.jinja").unlink()
    config = json.loads((folder / "tokenizer_config.json").read_text())
    if kind in CONFIGS:
        config["chat_template"] = CONFIGS[kind]
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
    else:
        (folder / "additional_chat_templates").mkdir()
        named = "default" if "default" in kind else "tools"
        (folder / "additional_chat_templates" / f"{named}.jinja").write_text("more")
        (folder / "chat_template.jinja").write_text("one")
    found = load_tokenizer(folder)
    expected = PreTrainedTokenizerFast.from_pretrained(folder).apply_chat_template(
        MESSAGES, tokenize=False
    )
    assert found.render_chat(MESSAGES, add_generation_prompt=False) == expected
    found.save_pretrained(tmp_path / "again")
    again = load_tokenizer(tmp_path / "again")
    assert again.render_chat(MESSAGES, add_generation_prompt=False) == expected


@pytest.mark.parametrize("template", ["", " \n"])
def test_an_empty_template_is_refused(tmp_path, template):
    with pytest.raises(InputError, match=r"tokenizer_config\.json: the chat template is empty"):
        find_template(tmp_path, {"chat_template": template})
    (tmp_path / "chat_template.jinja").write_text(template)
    with pytest.raises(InputError, match=r"chat_template\.jinja: the chat template is empty"):
        find_template(tmp_path, {})


def test_the_time_of_others_does_not_count(monkeypatch):
    monkeypatch.setattr(chat_template, "MOST_SECONDS", 1)
    with chat_template._limited_time():
        time.sleep(1.2)  # as where other processes have the machine
        assert ChatTemplate("x", "file").render(MESSAGES, add_generation_prompt=True) == "x"
