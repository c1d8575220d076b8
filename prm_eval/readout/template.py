"""Conversations written by the checkpoint's own chat template, as ids.

Invariant: only what the template itself writes becomes structural tokens; the contents of messages
stay text. Text between two structural tokens is encoded in one piece, as a tokenizer would.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from prm_eval.errors import CheckpointError
from prm_eval.readout.chat import PLAIN, Message, render_template
from prm_eval.readout.tokens import Tokens

# Contents stand in the rendered template as numbers between two characters of private use.
_PLACE = re.compile("\ue000([0-9]+)\ue001")


@dataclass(frozen=True, slots=True)
class Conversation:
    """Token `ids`, and for each message the tokens [start, end) of its content."""

    ids: list[int]
    spans: list[tuple[int, int]]


class ChatTemplate:
    """Any chat template. Raises CheckpointError when there is none, or when it writes BOS twice."""

    def __init__(self, tokens: Tokens) -> None:
        template = tokens.chat_template()
        if template is None:
            raise CheckpointError(
                f"{tokens.folder} has no chat template: copy tokenizer_config.json or chat_template.jinja "
                "of the original checkpoint into the folder"
            )
        self._tokens, self._template = tokens, template
        roles = ("bos_token", "eos_token", "pad_token")
        self._names = {role: tokens.named(role) or "" for role in roles}
        self._structure = re.compile("|".join(map(re.escape, tokens.structural)) or "(?!)")
        self._known: dict[str, list[int]] = {}  # ids of what the template itself writes
        spaced = [message | {"content": f" {message['content']} "} for message in PLAIN]
        self._trims = f" {PLAIN[0]['content']} " not in render_template(template, spaced, self._names)
        self._check_bos()

    def write(self, messages: Sequence[Message], generation_prompt: bool = False) -> Conversation:
        """The conversation; with `generation_prompt`, up to where the assistant begins to write."""
        places = [message | {"content": f"\ue000{n}\ue001"} for n, message in enumerate(messages)]
        names = self._names | {"add_generation_prompt": generation_prompt}
        text = render_template(self._template, places, names)
        return self._encode(text, [self._content(message) for message in messages])

    def _content(self, message: Message) -> str:
        return message["content"].strip() if self._trims else message["content"]

    def _encode(self, text: str, contents: Sequence[str]) -> Conversation:
        found = Conversation([], [(0, 0)] * len(contents))
        pending = _Piece("", [])
        for part in _split(text, self._structure):
            if isinstance(part, int):
                pending.insert(part, contents[part])
            elif self._structure.fullmatch(part):
                self._finish(pending, found)
                found.ids.extend(self._constant(part, structural=True))
                pending = _Piece("", [])
            else:
                pending.text += part
        self._finish(pending, found)
        return found

    def _finish(self, piece: "_Piece", found: Conversation) -> None:
        if piece.places:
            piece.encode(self._tokens, found)
        else:
            found.ids.extend(self._constant(piece.text, structural=False))

    def _constant(self, text: str, structural: bool) -> list[int]:
        if text not in self._known:
            ids = [self._tokens.marker(text)] if structural else self._tokens.encode(text)
            self._known[text] = ids
        return self._known[text]

    def _check_bos(self) -> None:
        bos = self._names["bos_token"]
        ids = self.write(PLAIN).ids
        if bos and ids[:2] == [self._tokens.marker(bos)] * 2:
            raise CheckpointError(
                f"{self._tokens.folder}: the chat template begins with {bos} twice: remove one of them"
            )


class _Piece:
    """Text between two structural tokens, and which of its characters are whose content."""

    def __init__(self, text: str, places: list[tuple[int, int, int]]) -> None:
        self.text, self.places = text, places

    def insert(self, number: int, content: str) -> None:
        self.places.append((number, len(self.text), len(self.text) + len(content)))
        self.text += content

    def encode(self, tokens: Tokens, found: Conversation) -> None:
        ids, spans = tokens.encode_spans(self.text)
        first = len(found.ids)
        found.ids.extend(ids)
        for number, start, end in self.places:
            inside = [k for k, (a, b) in enumerate(spans) if b > start and a < end]
            begin = first + (inside[0] if inside else len(ids))
            found.spans[number] = (begin, first + inside[-1] + 1 if inside else begin)


def _split(text: str, structure: re.Pattern[str]) -> list[str | int]:
    """The rendered text as structural tokens, plain text, and the numbers of contents."""
    parts: list[str | int] = []
    for place, piece in enumerate(_PLACE.split(text)):
        if place % 2:
            parts.append(int(piece))
            continue
        at = 0
        for match in structure.finditer(piece):
            parts += [piece[at : match.start()], match.group()]
            at = match.end()
        parts.append(piece[at:])
    return [part for part in parts if part != ""]
