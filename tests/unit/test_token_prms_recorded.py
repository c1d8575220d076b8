"""LM-token and implicit families on recorded MATH-500 responses: each renders, one mark per step."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from prm_eval_implicit.families import ImplicitSteps, SelfScore
from prm_eval_token_prms.tagged import PSA, SHEPHERD, VERSA, TaggedText
from prm_eval_token_prms.turns import Turns
from tiny_checkpoint import (
    LLAMA_SPECIAL,
    LLAMA_TEMPLATE,
    QWEN_PATTERN,
    SPECIAL,
    TEMPLATE,
    byte_tokenizer,
    sentencepiece_tokenizer,
)

from prm_eval.readout import Family, Rendered, Tokens
from prm_eval.steps import candidate_steps
from prm_eval.types import Candidate, Problem, Unscored

DATA = Path(__file__).parents[2] / "../shared/data/math500-candidates.jsonl"
pytestmark = pytest.mark.skipif(not DATA.is_file(), reason="the recorded candidates are not here")


def llama(folder: Path) -> Tokens:
    """A tokenizer in Llama 3.1's layout."""
    byte_tokenizer(LLAMA_SPECIAL, bos="<|begin_of_text|>").save(str(folder / "tokenizer.json"))
    config = {"bos_token": "<|begin_of_text|>", "chat_template": LLAMA_TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return Tokens(folder)


def qwen(folder: Path) -> Tokens:
    """A tokenizer in Qwen2's layout."""
    byte_tokenizer(SPECIAL, QWEN_PATTERN).save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": TEMPLATE}))
    return Tokens(folder)


def mistral(folder: Path) -> Tokens:
    """A tokenizer in Mistral's layout."""
    merges = [("▁", "+"), ("▁", "-"), ("к", "и"), ("▁", "ки")]
    sentencepiece_tokenizer(merges).save(str(folder / "tokenizer.json"))
    return Tokens(folder)


FAMILIES: dict[str, Callable[[Path], Family]] = {
    "math-shepherd": lambda folder: TaggedText(mistral(folder), SHEPHERD),
    "math-psa": lambda folder: TaggedText(qwen(folder), PSA),
    "versaprm": lambda folder: TaggedText(llama(folder), VERSA),
    "rlhflow": lambda folder: Turns(llama(folder), whole=False),
    "eurus": lambda folder: ImplicitSteps(qwen(folder), 0.001, cumulative=True),
    "mean-logprob": lambda folder: SelfScore(qwen(folder), "logprob", None),
}


@pytest.fixture(scope="module")
def recorded() -> list[Candidate]:
    """The recorded responses, the empty ones and every third of the others."""
    rows = [json.loads(line) for line in DATA.read_text(encoding="utf-8").splitlines()]
    rows = [row for n, row in enumerate(rows) if n % 3 == 0 or not row["response"].strip()]
    return [Candidate(Problem(r["problem_id"], r["problem"]), r["index"], r["response"]) for r in rows]


@pytest.mark.parametrize("name", FAMILIES)
def test_every_response_renders(name: str, recorded: list[Candidate], tmp_path: Path) -> None:
    """One mark per step, in order, inside the input; only an empty response is Unscored."""
    family = FAMILIES[name](tmp_path)
    for candidate in recorded:
        item, steps = family.render(candidate), candidate_steps(candidate)
        if not steps:
            assert item == Unscored("empty response")
            continue
        assert isinstance(item, Rendered), item
        assert len(item.marks) == (len(steps) if family.stepwise else 1)
        assert (item.marks[1:] > item.marks[:-1]).all()
        assert item.start <= item.marks[0]
        assert item.marks[-1] < len(item)
