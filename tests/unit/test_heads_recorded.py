"""Every family with a head on recorded MATH-500 responses: nothing raises, every step has a mark."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from prm_eval_outcome.armorm import ArmoRM
from prm_eval_outcome.models import VALUE, athene, internlm2
from prm_eval_outcome.nemotron_server import conversation_text
from prm_eval_reasonflux.steps import Steps, Whole
from prm_eval_reasonflux.whole import WholeText
from prm_eval_skywork.models import ValueHead
from prm_eval_token_classifiers.reasoneval import ReasonEval
from prm_eval_token_classifiers.separated import SeparatedSteps
from tiny_checkpoint import save_causal, save_tokenizer, sentencepiece_tokenizer
from tiny_heads import (
    CHATML,
    GATE,
    GATE_CONFIG,
    LLAMA_CONFIG,
    PLAIN,
    chatml_tokenizer,
    give_head,
    llama_tokenizer,
    random_head,
)

from prm_eval.readout import Family, Rendered, Tokens
from prm_eval.readout.model import too_long
from prm_eval.readout.outcomes import ChatScalar
from prm_eval.steps import candidate_steps
from prm_eval.types import Candidate, Problem, Unscored

DATA = Path(__file__).parents[2] / "../shared/data/math500-candidates.jsonl"
LIMIT = 4096

pytestmark = pytest.mark.skipif(not DATA.is_file(), reason="the recorded candidates are not here")


def qwen(folder: Path) -> Tokens:
    """A folder in Qwen's layout: tokenizer and configuration, no weights."""
    save_tokenizer(folder, CHATML, chatml_tokenizer("<extra_0>", "<|reward|>"))
    config = json.loads((folder / "tokenizer_config.json").read_text()) | {"bos_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "config.json").write_text(json.dumps({"reward_token_id": 270}))
    return Tokens(folder)


def llama(folder: Path) -> Tokens:
    """A folder in Llama 3's layout, with ArmoRM's head."""
    save_causal(folder, "llama", llama_tokenizer(), LLAMA_CONFIG)
    give_head(folder, random_head(GATE), **GATE_CONFIG)
    return Tokens(folder)


def mistral(folder: Path) -> Tokens:
    """A folder in Mistral's layout."""
    sentencepiece_tokenizer([]).save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(PLAIN | {"bos_token": "<s>"}))
    (folder / "config.json").write_text("{}")
    return Tokens(folder)


Make = Callable[[Path], Family]
FAMILIES: dict[str, Make] = {
    "reasonflux steps": lambda folder: Steps(qwen(folder)),
    "reasonflux trajectory": lambda folder: Whole(qwen(folder)),
    "reasonflux 1.5b": lambda folder: WholeText(qwen(folder)),
    "skywork o1": lambda folder: ValueHead(qwen(folder)),
    "trl": lambda folder: SeparatedSteps(qwen(folder), "trl", "\n\n", bos=True),
    "reasoneval 7b": lambda folder: ReasonEval(mistral(folder), 1, "use_bias", "validity"),
    "classifier, chatml": lambda folder: ChatScalar(qwen(folder), "classifier"),
    "classifier, llama": lambda folder: ChatScalar(llama(folder), "classifier", VALUE),
    "internlm2": lambda folder: internlm2(qwen(folder)),
    "athene": lambda folder: athene(llama(folder)),
    "armorm": lambda folder: ArmoRM(llama(folder)),
}


@pytest.fixture(scope="module")
def recorded() -> list[Candidate]:
    """The recorded responses, the empty ones and every sixth of the others."""
    rows = [json.loads(line) for line in DATA.read_text(encoding="utf-8").splitlines()]
    rows = [row for n, row in enumerate(rows) if n % 6 == 0 or not row["response"].strip()]
    return [Candidate(Problem(r["problem_id"], r["problem"]), r["index"], r["response"]) for r in rows]


@pytest.mark.parametrize("name", FAMILIES)
def test_every_response_renders(name: str, recorded: list[Candidate], tmp_path: Path) -> None:
    """Ids and marks in range, rising, one per step; what is empty says so; what is too long counts its steps."""
    family = FAMILIES[name](tmp_path)
    assert len(recorded) >= 250
    separator = "\n" if name == "skywork o1" else "\n\n"
    for candidate in recorded:
        item = family.render(candidate)
        if isinstance(item, Unscored):
            assert item == Unscored("empty response")
            assert not candidate.text.strip()
            continue
        assert isinstance(item, Rendered)
        marks = item.marks.tolist()
        assert marks == sorted(set(marks))
        assert marks[0] >= 0
        assert marks[-1] < len(item)
        if family.stepwise:
            assert len(marks) == len(candidate_steps(candidate, separator))
        reason = too_long(item, LIMIT, family.stepwise).reason
        lost = sum(mark >= LIMIT for mark in marks)
        assert (f"{lost} of {len(marks)} step marks" in reason) is family.stepwise


def test_every_response_has_a_text_for_the_server(recorded: list[Candidate]) -> None:
    """No recorded response holds a marker of the Nemotron turns, and each text has four."""
    assert {conversation_text(c.problem.prompt, c.text).count("<extra_id_") for c in recorded} == {4}
