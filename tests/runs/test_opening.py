"""A folder of an older tokenizer's files is told how to become one that is read."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from hf_files import flat, small_config, write

from skinflow_jax.errors import InputError
from skinflow_jax.runs.opening import open_checkpoint, tokenizer_command
from skinflow_jax.tokenizers import load_tokenizer

ENDS = {"eos_ids": (151645, 151643), "pad_id": 151643}


@pytest.fixture
def older(tmp_path):
    """A model's folder as some were published; its name needs quotes."""
    config = flat(json.loads(small_config().to_json_string()))
    (tmp_path / "a model").mkdir()
    folder = write(tmp_path / "a model", config=config, generation_config={"eos_token_id": 2})
    for name in ("vocab.json", "merges.txt"):
        (folder / name).write_text("{}")
    return folder


def test_the_command_is_told_where_its_files_are(older):
    with pytest.raises(InputError, match=r"has no tokenizer\.json: make it of vocab") as refused:
        open_checkpoint(older)
    assert str(refused.value).endswith(f"by {tokenizer_command(older)}")
    (older / "merges.txt").unlink()
    with pytest.raises(InputError, match=r"no tokenizer\.json: add the model's tokenizer files"):
        open_checkpoint(older)


@pytest.mark.slow
def test_the_command_makes_the_tokenizer_that_was_published(older, test_data):
    published = test_data / "qwen2_5_vl_7b"
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json", "chat_template.json"):
        shutil.copy(published / name, older / name)
    command = tokenizer_command(older).replace("python", sys.executable, 1)
    subprocess.run(command, shell=True, check=True, env=os.environ | {"HF_HUB_OFFLINE": "1"})
    found, expected = (load_tokenizer(folder, **ENDS) for folder in (older, published))
    for text in ("<|im_start|>user\n<|image_pad|>Größe  12 mm, 皮膚<|im_end|>", "a rash\n\n 3.5"):
        assert found.encode(text) == expected.encode(text)
    asked = [{"role": "user", "content": "x"}]
    prompts = [t.render_chat(asked, add_generation_prompt=True) for t in (found, expected)]
    assert prompts[0] == prompts[1]
