"""The texts in a model card's Python examples, for checks against the values printed beside them.

Invariant: a card is read as literals; nothing in it is executed, and what is computed is left out.
"""

import ast
import re
import textwrap
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prm_eval.errors import UsageError
from prm_eval.steps import split_text

CARD = "README.md"
ADVICE = "pass --golden FILE with the text of the example"
Conversation = tuple[str, str | list[str]]  # the problem; the response, whole or in steps
_FENCE = re.compile(r"^[ \t]*```([^\n`]*)\n(.*?)^[ \t]*```[ \t]*$", re.M | re.S)
_PYTHON = ("", "py", "python")


def find_card(folder: str | None, revision: str | None = None) -> Path:
    """The card of a local folder or of a hub id. Raises UsageError when there is none."""
    if folder is None:
        raise UsageError(f"this model has no folder with a model card: {ADVICE}")
    local = Path(folder).expanduser()
    if local.is_dir():
        if not (local / CARD).is_file():
            raise UsageError(f"{folder} has no {CARD}: put its model card there, or {ADVICE}")
        return local / CARD
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(folder, CARD, revision=revision))
    except Exception as error:  # a network, a missing name, a refused licence: all end here
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise UsageError(f"the model card of '{folder}' cannot be had ({reason}): {ADVICE}") from error


def literals(card: str) -> dict[str, Any]:
    """What the code blocks of a Markdown card assign to names, where it is a literal.

    Names of texts assigned before stand for their texts.
    """
    found: dict[str, Any] = {}
    blocks = [code for kind, code in _FENCE.findall(card) if kind.strip().lower() in _PYTHON]
    for block in blocks:
        for node in _statements(textwrap.dedent(block)):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                try:
                    found[node.targets[0].id] = ast.literal_eval(_Filled(found).visit(node.value))
                except (ValueError, TypeError, SyntaxError, RecursionError):
                    continue
    return found


def conversation_at(place: Any, values: Mapping[str, Any]) -> Conversation | None:
    """The conversation at a place among a card's literals, None when it is not there.

    `place` is the name of a conversation, a number (1: the card's first), or an object that names
    the texts: {"problem", "response"}, with "separator" where the response is to be cut into steps.
    """
    if isinstance(place, dict):
        response = values.get(str(place.get("response")))
        if isinstance(response, str) and "separator" in place:
            response = [piece.strip() for piece in split_text(response, str(place["separator"]))]
        return conversation(values.get(str(place.get("problem"))), response)
    if isinstance(place, int):
        spoken = [found for value in values.values() if (found := _spoken(value)) is not None]
        return spoken[place - 1] if 0 < place <= len(spoken) else None
    return _spoken(values.get(str(place)))


def conversation(problem: Any, response: Any) -> Conversation | None:
    """The two as a conversation, None when they are no texts."""
    if not isinstance(problem, str):
        return None
    if isinstance(response, str):
        return problem, response
    texts = [text for text in response if isinstance(text, str)] if isinstance(response, list) else []
    return (problem, texts) if texts and texts == response else None


def _spoken(value: Any) -> Conversation | None:
    """An object with `query` and `response`, or a chat of one user's and one assistant's turn."""
    if isinstance(value, dict):
        return conversation(value.get("query"), value.get("response"))
    if not (isinstance(value, list) and all(isinstance(turn, dict) for turn in value)):
        return None
    said = [(turn.get("role"), turn.get("content")) for turn in value if turn.get("role") != "system"]
    return (
        conversation(said[0][1], said[1][1]) if [role for role, _ in said] == ["user", "assistant"] else None
    )


class _Filled(ast.NodeTransformer):
    """Puts texts that are known in the place of their names."""

    def __init__(self, known: Mapping[str, Any]) -> None:
        self.known = known

    def visit_Name(self, node: ast.Name) -> ast.AST:
        value = self.known.get(node.id)
        return ast.copy_location(ast.Constant(value), node) if isinstance(value, str) else node


def _statements(code: str) -> list[ast.stmt]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a wrong escape in a card is the card's affair
        try:
            return ast.parse(code).body
        except (SyntaxError, ValueError, RecursionError):
            return []
