"""Any chat template by ids: those of apply_chat_template, contents kept apart, their tokens known."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_checkpoint import (
    LLAMA_SPECIAL,
    LLAMA_TEMPLATE,
    QWEN_PATTERN,
    SPECIAL,
    TEMPLATE,
    byte_tokenizer,
)
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from prm_eval.errors import CheckpointError
from prm_eval.readout import Tokens
from prm_eval.readout.template import ChatTemplate

BOS = "<|begin_of_text|>"
KINDS = {
    "llama": (byte_tokenizer(LLAMA_SPECIAL, bos=BOS), LLAMA_TEMPLATE, {"bos_token": BOS}),
    "qwen": (byte_tokenizer(SPECIAL, QWEN_PATTERN), TEMPLATE, {}),
}
clean = st.text(st.characters(exclude_categories=("Cs", "Co")), min_size=1, max_size=40).filter(str.strip)


def save(folder: Path, tokenizer: Tokenizer, template: str | None, config: dict[str, str]) -> Tokens:
    """A tokenizer's folder."""
    folder.mkdir(exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    content = config if template is None else config | {"chat_template": template}
    (folder / "tokenizer_config.json").write_text(json.dumps(content))
    return Tokens(folder)


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ChatTemplate]:
    """Ours, for each kind."""
    root = tmp_path_factory.mktemp("templates")
    return {name: ChatTemplate(save(root / name, *kind)) for name, kind in KINDS.items()}


@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(clean, min_size=1, max_size=5), kind=st.sampled_from(sorted(KINDS)), prompt=st.booleans()
)
def test_ids_are_transformers_own(
    templates: dict[str, ChatTemplate], texts: list[str], kind: str, prompt: bool
) -> None:
    """Clean text of any script: the ids of apply_chat_template, with and without a generation prompt."""
    tokenizer, template, config = KINDS[kind]
    messages = [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(texts)]
    theirs = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **config)
    text = theirs.apply_chat_template(
        messages, chat_template=template, tokenize=False, add_generation_prompt=prompt
    )
    found = templates[kind].write(messages, generation_prompt=prompt)
    assert found.ids == tokenizer.encode(text, add_special_tokens=False).ids
    for (start, end), content in zip(found.spans, texts, strict=True):
        # a token may reach over the edge of a content, never miss a character of it
        assert content.strip() in tokenizer.decode(found.ids[start:end], skip_special_tokens=False)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_special_tokens_in_contents_stay_text(templates: dict[str, ChatTemplate], kind: str) -> None:
    """A special token that a message contains never becomes its id."""
    tokenizer = KINDS[kind][0]
    for special in tokenizer.get_added_tokens_decoder().values():
        plain = templates[kind].write([{"role": "user", "content": "a b"}]).ids
        found = templates[kind].write([{"role": "user", "content": f"a {special.content} b"}]).ids
        number = tokenizer.token_to_id(special.content)
        assert found.count(number) == plain.count(number)
        assert len(found) > len(plain)


def test_refusals(tmp_path: Path) -> None:
    """No template, and one that writes BOS twice, are errors at load."""
    tokenizer = KINDS["llama"][0]
    with pytest.raises(CheckpointError, match="has no chat template"):
        ChatTemplate(save(tmp_path, tokenizer, None, {}))
    with pytest.raises(CheckpointError, match="twice: remove one"):
        ChatTemplate(save(tmp_path, tokenizer, BOS + LLAMA_TEMPLATE, {"bos_token": BOS}))
