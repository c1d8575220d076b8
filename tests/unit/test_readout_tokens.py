"""Text and structure stay apart, and the ids are those of the checkpoint's own template."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_checkpoint import SYSTEM, Reference, save_checkpoint, save_tokenizer

from prm_eval.errors import CheckpointError
from prm_eval.readout.chat import ChatML
from prm_eval.readout.families import StepHead
from prm_eval.readout.rendering import Rendered
from prm_eval.readout.tokens import Tokens
from prm_eval.types import Candidate, Problem, Step, Unscored

MARKS = ("<extra_0>", "<|im_end|>", "<|im_start|>", "<|endoftext|>")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint folder; its tokenizer.json has truncation to 48 tokens left on."""
    return tmp_path_factory.mktemp("tokens")


@pytest.fixture(scope="module")
def reference(folder: Path) -> Reference:
    """transformers' tokenizer and template of that folder."""
    return Reference(folder, save_checkpoint(folder))


@pytest.fixture(scope="module")
def family(folder: Path, reference: Reference) -> StepHead:
    """The step family on that folder."""
    return StepHead(Tokens(folder), "test", SYSTEM)


def render(family: StepHead, problem: str, steps: list[str]) -> Rendered:
    """The rendered candidate, which must not be Unscored."""
    item = family.render(Candidate(Problem("p", problem), 0, "", tuple(map(Step, steps))))
    assert isinstance(item, Rendered)
    return item


clean = st.text(st.characters(exclude_categories=("Cs",)), max_size=60).filter(lambda t: "<" not in t)


@settings(max_examples=200, deadline=None)
@given(problem=clean, steps=st.lists(clean, min_size=1, max_size=4))
def test_golden_ids(family: StepHead, reference: Reference, problem: str, steps: list[str]) -> None:
    """Clean text, any of Unicode: the ids of apply_chat_template and the tokenizer, past 48 tokens."""
    item = render(family, problem, steps)
    assert item.ids.tolist() == reference.ids(problem, "<extra_0>".join(steps) + "<extra_0>")


def test_layout_by_hand(folder: Path, family: StepHead) -> None:
    """The pieces stand in the card's order, and each mark is the separator after its step."""
    tokens = Tokens(folder)
    start, end, separator = (tokens.marker(t) for t in ("<|im_start|>", "<|im_end|>", "<extra_0>"))
    newline = tokens.encode("\n")
    expected = [start, *tokens.encode("system\n" + SYSTEM), end, *newline]
    expected += [start, *tokens.encode("user\n1 + 1?"), end, *newline]
    expected += [
        start,
        *tokens.encode("assistant\nIt is"),
        separator,
        *tokens.encode("2"),
        separator,
        end,
        *newline,
    ]
    item = render(family, "1 + 1?", ["It is", "2"])
    assert item.ids.tolist() == expected
    assert [expected[mark] for mark in item.marks] == [separator] * 2
    assert item.marks[-1] == len(expected) - len(newline) - 2


@pytest.mark.parametrize("mark", MARKS)
def test_literal_marks_stay_text(folder: Path, family: StepHead, mark: str) -> None:
    """A special token written in a problem or a step never becomes its id, nor a mark."""
    special = Tokens(folder).marker(mark)
    plain = render(family, "1 + 1?", ["It is", "2"]).ids.tolist()
    item = render(family, f"1 {mark} + 1?", [f"It {mark} is", f"{mark}2{mark}"])
    assert item.ids.tolist().count(special) == plain.count(special)
    assert len(item.marks) == 2


def test_the_trap_is_real(reference: Reference) -> None:
    """The usual way, text through transformers' tokenizer, does read a literal separator as one."""
    ids = reference.ids("1 <extra_0> + 1?", "It is<extra_0>")
    assert ids.count(reference.tokenizer.convert_tokens_to_ids("<extra_0>")) == 2


def test_ordinary_added_tokens_stay_tokens(folder: Path, family: StepHead) -> None:
    """Added tokens that are no structure (<tool_call>) are one id, as the model was trained."""
    assert len(Tokens(folder).encode("<tool_call>")) == 1


def test_nothing_is_truncated(folder: Path, reference: Reference) -> None:
    """Truncation that tokenizer.json has switched on does not shorten a text."""
    assert json.loads((folder / "tokenizer.json").read_text())["truncation"]["max_length"] == 48
    assert len(Tokens(folder).encode("7 " * 300)) >= 600


def test_separator_must_be_one_token(folder: Path, reference: Reference) -> None:
    """A separator that the tokenizer splits is an error that names it."""
    with pytest.raises(CheckpointError, match=r"'<extra_9>' is \d+ tokens"):
        StepHead(Tokens(folder), "test", SYSTEM, separator="<extra_9>")


def test_empty_response(family: StepHead) -> None:
    """No step, no score: a reason instead."""
    assert family.render(Candidate(Problem("p", "q"), 0, " \n\n")) == Unscored("empty response")


def test_boxed_is_not_a_backspace(family: StepHead) -> None:
    """The system prompt says \\boxed: the escape that became a backspace in two peers is none here."""
    tokens, system = family.chat.tokens, family.chat.system or ""
    assert "\\boxed{}" in system
    assert "\b" not in system
    assert tokens.encode("\\boxed") != tokens.encode("\boxed")


def test_system_from_the_template(tmp_path: Path) -> None:
    """`system` None takes what the template inserts; a template without one gives no system turn."""
    save_tokenizer(tmp_path)
    assert ChatML.of(Tokens(tmp_path), None).system == "Default of the template."
    bare = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    save_tokenizer(tmp_path, template=bare)
    chat = ChatML.of(Tokens(tmp_path), None)
    ids, _ = chat.write("U", ["A"], None)
    assert chat.system is None
    assert ids[1:4] == Tokens(tmp_path).encode("user\nU")
    save_tokenizer(tmp_path, template=None)
    with pytest.raises(CheckpointError, match="no chat template"):
        ChatML.of(Tokens(tmp_path), None)


def test_another_template_is_noticed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A checkpoint whose own template writes something else is loaded with a warning."""
    save_tokenizer(tmp_path)
    ChatML.of(Tokens(tmp_path), SYSTEM)
    assert not caplog.records
    save_tokenizer(
        tmp_path, template="{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}{% endfor %}"
    )
    ChatML.of(Tokens(tmp_path), SYSTEM)
    assert "its chat template writes" in caplog.text


@pytest.mark.parametrize("template", ["{{ raise_exception('no') }}", "{{ messages[9].role.x }}", "{% if"])
def test_failing_template(tmp_path: Path, template: str, caplog: pytest.LogCaptureFixture) -> None:
    """A template that fails is an error where it is needed, and a notice where it is not."""
    save_tokenizer(tmp_path, template=template)
    with pytest.raises(CheckpointError, match="chat template"):
        ChatML.of(Tokens(tmp_path), None)
    ChatML.of(Tokens(tmp_path), SYSTEM)
    assert "the checkpoint's chat template" in caplog.text


@pytest.mark.parametrize(("content", "said"), [(None, "has no tokenizer.json"), ("{", "cannot be read")])
def test_tokenizer_file(tmp_path: Path, content: str | None, said: str) -> None:
    """A missing or broken tokenizer.json is named."""
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(CheckpointError, match=said):
        Tokens(tmp_path)
