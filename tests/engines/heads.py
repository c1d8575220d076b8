"""Tiny checkpoints with every kind of head, in sizes that vLLM's CPU attention takes.

Invariant: nothing of prm_eval computes here; the families only render and read.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tiny_checkpoint import save_checkpoint, save_weights

from prm_eval.readout import Family, Head, Rendered, Rows, Tokens, rendered, shortest
from prm_eval.readout.families import StepHead, WholeHead, softmax
from prm_eval.types import Candidate, Problem, Score, Unscored

SIZES = {"hidden_size": 64, "num_attention_heads": 2, "num_key_value_heads": 1}
Report = Callable[[str, str, float], None]  # family, engine, difference
TEXT = "First we add the numbers then multiply so the answer is 5 therefore x = 4"
WORDS = TEXT.split()


class Marked:
    """Plain text, a head wherever `every` tokens are full, and the last token."""

    stepwise = True
    default_aggregation = "min"

    def __init__(self, tokens: Tokens, head: Head, every: int = 5) -> None:
        self.identity, self.head = f"marked/1 {every}", head
        self._tokens, self._every = tokens, every

    def render(self, candidate: Candidate) -> Rendered | Unscored:
        """The ids of prompt and text."""
        ids = self._tokens.encode(f"{candidate.problem.prompt}\n{candidate.text}")
        marks = sorted({*range(self._every, len(ids), self._every), len(ids) - 1})
        return rendered(ids, marks)

    def read(self, rows: Rows) -> Score:
        """Softmax of two classes, or the number itself."""
        values = softmax(rows)[:, 1] if rows.shape[1] == 2 else rows[:, 0]
        steps = tuple(shortest(value) for value in values)
        return Score(min(steps), steps)


@dataclass(frozen=True)
class Kind:
    """One kind of head: how to write a folder of it, and the family that reads it."""

    write: Callable[[Path], None]
    family: Callable[[Tokens], Family]


def candidates(count: int) -> list[Candidate]:
    """Different lengths, different numbers of steps."""
    found = []
    for number in range(count):
        steps = [" ".join(WORDS[n % 5 : n % 5 + 4 + (number * 3 + n) % 9]) for n in range(1 + number % 5)]
        text = "\n\n".join(f"{step} {number}" for step in steps)
        found.append(Candidate(Problem(f"p{number % 3}", f"What is {number % 3} + 3?"), number, text))
    return found


def _rewrite(folder: Path, architecture: str, head: Mapping[str, torch.Tensor], **config: Any) -> None:
    """The backbone of a fresh tiny checkpoint under another head and architecture."""
    weights = save_checkpoint(folder, seed=7, **SIZES)
    kept = {name: value for name, value in weights.items() if name.startswith("model.")}
    save_weights(folder, {**kept, **head})
    path = folder / "config.json"
    content = json.loads(path.read_text()) | {"architectures": [architecture], **config}
    content.pop("auto_map")
    path.write_text(json.dumps(content))


def _random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape) + sum(shape))) * 0.3


def write_classifier(folder: Path) -> None:
    """Qwen2ForSequenceClassification with one label: no bias."""
    _rewrite(folder, "Qwen2ForSequenceClassification", {"score.weight": _random(1, 64)}, num_labels=1)


def write_token_classifier(folder: Path) -> None:
    """Qwen2ForTokenClassification with two labels and a bias, as TRL writes its PRMs."""
    head = {"score.weight": _random(2, 64), "score.bias": _random(2)}
    _rewrite(folder, "Qwen2ForTokenClassification", head, num_labels=2)


def write_language_model(folder: Path) -> None:
    """Qwen2ForCausalLM: good and bad are two rows of the LM head."""
    _rewrite(folder, "Qwen2ForCausalLM", {"lm_head.weight": _random(700, 64)[: _vocabulary(folder)]})


def write_value_head(folder: Path) -> None:
    """Skywork's o1 PRM: a causal model with `v_head.summary`, its LM head still there."""
    head = {"v_head.summary.weight": _random(1, 64), "v_head.summary.bias": _random(1)}
    head["lm_head.weight"] = _random(700, 64)[: _vocabulary(folder)]
    _rewrite(folder, "Qwen2ForPrmModel", head)


def _vocabulary(folder: Path) -> int:
    save_checkpoint(folder, **SIZES)
    return int(json.loads((folder / "config.json").read_text())["vocab_size"])


def _qwen(labels: int) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        architecture = "Qwen2ForProcessRewardModel" if labels == 2 else "Qwen2ForRewardModel"
        save_checkpoint(folder, seed=11, labels=labels, architectures=[architecture], **SIZES)

    return write


def _lm_tokens(tokens: Tokens) -> Family:
    rows = (tokens.encode("+")[0], tokens.encode("-")[0])
    return Marked(tokens, Head(("lm_head",), outputs=2, bias=False, rows=rows, stray=()))


STRAY = ("lm_head.weight",)
KINDS = {
    "qwen prm": Kind(_qwen(2), lambda tokens: StepHead(tokens, "qwen", "Be exact.")),
    "qwen rm": Kind(_qwen(1), lambda tokens: WholeHead(tokens, "qwen", "Be exact.")),
    "sequence classifier": Kind(
        write_classifier, lambda tokens: Marked(tokens, Head(("score",), outputs=1, bias=False), every=10_000)
    ),
    "token classifier": Kind(
        write_token_classifier, lambda tokens: Marked(tokens, Head(("score",), outputs=2))
    ),
    "two tokens of the LM head": Kind(write_language_model, _lm_tokens),
    "value head, converted": Kind(
        write_value_head, lambda tokens: Marked(tokens, Head(("v_head.summary",), outputs=1, stray=STRAY))
    ),
}
