"""Which tokens of a conversation are trained on.

Invariant: with `assistant` no token outside an assistant turn ever counts: a template whose turns
cannot be told apart is an error, never a row that trains on its prompt.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from prm_eval.errors import CheckpointError, UsageError
from prm_eval.sft.chats import Message

MARKED = "the template's own generation marks"
PREFIXES = "turn by turn, by prefixes of the tokens"
EVERYTHING = "every token, prompts too"
IGNORED = -100
"""The label that torch's cross-entropy leaves out."""


class Tokenizer(Protocol):
    """What is needed of a transformers tokenizer."""

    chat_template: Any
    all_special_ids: Sequence[int]

    def apply_chat_template(
        self, conversation: Any, *, add_generation_prompt: bool = ..., return_dict: bool = ...,
        return_assistant_tokens_mask: bool = ...,
    ) -> Any:  # fmt: skip
        """Token ids of a conversation."""

    def decode(self, token_ids: list[int]) -> str:
        """Token ids as text."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids of one conversation and, for each, whether the loss counts it."""

    ids: list[int]
    trained: list[bool]

    @property
    def labels(self) -> list[int]:
        """The ids that are trained on, -100 elsewhere."""
        return [token if on else IGNORED for token, on in zip(self.ids, self.trained, strict=True)]


class Masker:
    """Encodes conversations with one tokenizer; `how` says in words how the mask is made."""

    def __init__(self, tokenizer: Tokenizer, loss_on: str) -> None:
        template = tokenizer.chat_template
        if not isinstance(template, str):
            raise CheckpointError(
                "the tokenizer has no chat template, or several: name a Jinja file with the recipe key"
                " chat_template"
            )
        self._tokenizer = tokenizer
        # transformers gathers these anew at every look
        self._special = set(tokenizer.all_special_ids)
        marked = "{% generation %}" in template.replace("{%-", "{%").replace("-%}", "%}")
        self.how = EVERYTHING if loss_on == "all" else MARKED if marked else PREFIXES

    def encode(self, messages: Sequence[Message]) -> Encoded:
        """One conversation. Raises UsageError when its assistant turns cannot be told apart."""
        if self.how == MARKED:
            return self._by_marks(messages)
        whole = self._ids(messages)
        if self.how == EVERYTHING:
            return Encoded(whole, [True] * len(whole))
        trained = [False] * len(whole)
        for place, message in enumerate(messages):
            if message["role"] == "assistant":
                start, end = self._span(whole, messages, place)
                trained[start:end] = [True] * (end - start)
        return _checked(Encoded(whole, trained))

    def _by_marks(self, messages: Sequence[Message]) -> Encoded:
        found: Mapping[str, list[int]] = self._tokenizer.apply_chat_template(
            list(messages), return_dict=True, return_assistant_tokens_mask=True
        )
        return _checked(Encoded(list(found["input_ids"]), [bool(bit) for bit in found["assistant_masks"]]))

    def _span(self, whole: list[int], messages: Sequence[Message], place: int) -> tuple[int, int]:
        """First and past-the-last token of an assistant turn: what the model writes, with its stop token.

        What the template puts after the stop token (a line break in ChatML) is not the model's to write.
        """
        before = self._ids(messages[:place], prompt=True)
        through = whole if place + 1 == len(messages) else self._ids(messages[: place + 1])
        if whole[: len(before)] != before or whole[: len(through)] != through or len(through) <= len(before):
            raise UsageError(
                "the chat template writes earlier turns otherwise once later ones follow, so that assistant"
                " turns cannot be told apart: name a template with generation marks with the recipe key"
                " chat_template"
            )
        stops = [i for i in range(len(before), len(through)) if through[i] in self._special]
        if stops and not self._tokenizer.decode(through[stops[-1] + 1 :]).strip():
            return len(before), stops[-1] + 1
        return len(before), len(through)

    def _ids(self, messages: Sequence[Message], *, prompt: bool = False) -> list[int]:
        return list(
            self._tokenizer.apply_chat_template(
                list(messages), add_generation_prompt=prompt, return_dict=False
            )
        )


def _checked(encoded: Encoded) -> Encoded:
    if not any(encoded.trained):
        raise UsageError(
            "the chat template marks no token of a row as the assistant's: name a template whose generation"
            " marks enclose the assistant's turns with the recipe key chat_template"
        )
    return encoded
