"""Every family on a tiny tokenizer of its real layout, and how long its input is by the published format.

Invariant: a length is counted with the `tokenizers` library on text written here, never with prm_eval.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from prm_eval_implicit.families import ImplicitSteps, SelfScore
from prm_eval_outcome.armorm import ArmoRM
from prm_eval_outcome.models import ACEMATH_SYSTEM, FIRST_LOGIT, VALUE, athene, internlm2
from prm_eval_reasonflux.steps import Steps, Whole
from prm_eval_reasonflux.whole import WholeText
from prm_eval_skywork.models import ValueHead
from prm_eval_token_classifiers.reasoneval import ReasonEval
from prm_eval_token_classifiers.separated import Pure, SeparatedSteps
from prm_eval_token_prms.tagged import PSA, SHEPHERD, VERSA, TaggedText
from prm_eval_token_prms.turns import Turns
from tiny_checkpoint import (
    LLAMA_SPECIAL,
    LLAMA_TEMPLATE,
    QWEN_PATTERN,
    SPECIAL,
    SYSTEM,
    TEMPLATE,
    byte_tokenizer,
    save_causal,
    save_tokenizer,
    sentencepiece_tokenizer,
)
from tiny_heads import (
    ASSISTANT,
    BOS,
    CHATML,
    CLS,
    GATE,
    GATE_CONFIG,
    LLAMA_CONFIG,
    PLAIN,
    give_head,
    random_head,
)
from tokenizers import Tokenizer

from prm_eval.readout import Family, Tokens
from prm_eval.readout.families import StepHead, WholeHead
from prm_eval.readout.outcomes import ChatScalar
from prm_eval.types import Candidate, Problem

DATA = Path(__file__).parents[2] / "../shared/data/math500-candidates.jsonl"
Merges = Sequence[tuple[str, str]]
Count = Callable[[str], int]


def recorded(sixth: bool = False) -> list[Candidate]:
    """The recorded MATH-500 responses, three to a problem, or one of every other problem and the empty ones.

    The sixth takes first, second and third responses in turn; all of them go through bench_rendering.py.
    """
    rows = [json.loads(line) for line in DATA.read_text(encoding="utf-8").splitlines()]
    if sixth:
        rows = [row for n, row in enumerate(rows) if n % 6 == n // 6 % 3 or not row["response"].strip()]
    return [Candidate(Problem(r["problem_id"], r["problem"]), r["index"], r["response"]) for r in rows]


# ---- folders: a tokenizer and what the family reads beside it; `more` are merges to shorten texts


def qwen(folder: Path, more: Merges = ()) -> Tokens:
    """Qwen's layout with a plain ChatML template, BOS and the tokens of reward models."""
    save_tokenizer(folder, CHATML, byte_tokenizer((*SPECIAL, "<extra_0>", "<|reward|>"), more=more))
    config = json.loads((folder / "tokenizer_config.json").read_text()) | {"bos_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "config.json").write_text(json.dumps({"reward_token_id": 270}))
    return Tokens(folder)


def qwen_policy(folder: Path, more: Merges = ()) -> Tokens:
    """Qwen2.5's layout, whose template inserts a system message."""
    byte_tokenizer(SPECIAL, QWEN_PATTERN, more=more).save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": TEMPLATE}))
    return Tokens(folder)


def llama3(folder: Path, more: Merges = ()) -> Tokens:
    """Llama 3's layout, with ArmoRM's head."""
    tokenizer = byte_tokenizer((*LLAMA_SPECIAL, CLS), bos=BOS, more=(*ASSISTANT, *more))
    save_causal(folder, "llama", tokenizer, LLAMA_CONFIG)
    give_head(folder, random_head(GATE), **GATE_CONFIG)
    return Tokens(folder)


def llama31(folder: Path, more: Merges = ()) -> Tokens:
    """Llama 3.1's layout, whose template writes a system turn with dates."""
    byte_tokenizer(LLAMA_SPECIAL, bos=BOS, more=more).save(str(folder / "tokenizer.json"))
    config = {"bos_token": BOS, "chat_template": LLAMA_TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return Tokens(folder)


def mistral(folder: Path, more: Merges = ()) -> Tokens:
    """Mistral's layout; its vocabulary has no words, so `more` is left out."""
    del more
    merges = [("▁", "+"), ("▁", "-"), ("к", "и"), ("▁", "ки")]
    sentencepiece_tokenizer(merges).save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(PLAIN | {"bos_token": "<s>"}))
    (folder / "config.json").write_text("{}")
    return Tokens(folder)


# ---- the formats as text


def parts_of(c: Candidate) -> list[str]:
    """Thinking and response without the tags; what is never closed is thinking."""
    before, closed, after = c.text.partition("</think>")
    opened = closed or before.lstrip().startswith("<think>")
    return [before.replace("<think>", "", 1) if opened else before, after]


def steps_of(c: Candidate) -> list[str]:
    """Blank lines divide the steps of each part."""
    pieces = [piece for part in parts_of(c) for piece in re.split(r"\r?\n(?:[ \t]*\r?\n)+", part)]
    return [piece.strip("\r\n") for piece in pieces if piece.strip()]


def lines_of(c: Candidate) -> list[str]:
    """The lines of each part that hold anything."""
    return [line for part in parts_of(c) for line in part.split("\n") if line.strip()]


def chatml(c: Candidate, answer: str, system: str | None = None) -> str:
    """A conversation in ChatML."""
    first = "" if system is None else f"<|im_start|>system\n{system}<|im_end|>\n"
    turns = (("user", c.problem.prompt), ("assistant", answer))
    return first + "".join(f"<|im_start|>{role}\n{text}<|im_end|>\n" for role, text in turns)


def header(role: str, text: str) -> str:
    """A turn of Llama 3."""
    return f"<|start_header_id|>{role}<|end_header_id|>\n\n{text.strip()}<|eot_id|>"


def llama_chat(c: Candidate) -> str:
    """Problem and response as Llama 3 has them."""
    return BOS + header("user", c.problem.prompt) + header("assistant", c.text)


def rlhflow(c: Candidate, answers: Sequence[str]) -> str:
    """One user turn per answer, each answered +; Llama 3.1's system turn before."""
    users = [f"{c.problem.prompt} {answers[0]}", *answers[1:]]
    dates = "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"
    system = f"<|start_header_id|>system<|end_header_id|>\n\n{dates}<|eot_id|>"
    return BOS + system + "".join(header("user", user) + header("assistant", "+") for user in users)


def tagged(c: Candidate, head: str, ending: str, joint: str, numbered: bool) -> str:
    """The problem and the steps, a tag after each."""
    written = []
    for number, step in enumerate(map(str.strip, steps_of(c)), 1):
        own = re.match(r"\s*step\s+\d+\b", step, re.IGNORECASE) or not numbered
        written.append(step + ending if own else f"Step {number}: {step}{ending}")
    return c.problem.prompt.strip() + head + joint.join(written)


def eurus(c: Candidate) -> str:
    """Numbered steps in the policy's template."""
    steps = [f"Step {number}: {step}" for number, step in enumerate(steps_of(c), 1)]
    return chatml(c, "\n\n".join(steps).rstrip(), "Default of the template.")


def policy(c: Candidate) -> str:
    """The policy's template up to where it would write."""
    return chatml(c, "", "Default of the template.").removesuffix("<|im_end|>\n")


def skywork(count: Count, c: Candidate) -> int:
    """BOS, problem and newline, then every line and the newline."""
    return 1 + count(c.problem.prompt + "\n") + sum(count(line.strip("\r")) + 1 for line in lines_of(c))


def separated(count: Count, c: Candidate, bos: int) -> int:
    """The problem, then every step and a separator."""
    return bos + count(c.problem.prompt) + sum(count(step) + 1 for step in steps_of(c))


def reasoneval(count: Count, c: Candidate) -> int:
    """BOS, the question, the steps."""
    question = f"Question:\n{c.problem.prompt}\nAnswer:\nLet's think step by step.\n"
    return 1 + count(question) + sum(map(count, steps_of(c)))


@dataclass(frozen=True)
class Layout:
    """A family on a new folder, and the length of its input in tokens."""

    make: Callable[[Path, Merges], Family]
    length: Callable[[Count, Candidate], int]


def marked(c: Candidate) -> str:
    """The steps with Qwen's separator after each."""
    return "".join(f"{step}<extra_0>" for step in steps_of(c))


LAYOUTS = {
    "qwen prm": Layout(lambda f, m: StepHead(qwen(f, m), "q", SYSTEM), lambda n, c: n(chatml(c, marked(c), SYSTEM))),
    "qwen rm": Layout(lambda f, m: WholeHead(qwen(f, m), "q", SYSTEM), lambda n, c: n(chatml(c, c.text, SYSTEM))),
    "reasonflux steps": Layout(lambda f, m: Steps(qwen(f, m)), lambda n, c: n(chatml(c, marked(c)))),
    "reasonflux trajectory": Layout(lambda f, m: Whole(qwen(f, m)), lambda n, c: n(chatml(c, c.text + "<extra_0>"))),
    "reasonflux 1.5b": Layout(lambda f, m: WholeText(qwen(f, m)), lambda n, c: n(c.problem.prompt + c.text)),
    "skywork o1": Layout(lambda f, m: ValueHead(qwen(f, m)), skywork),
    "trl": Layout(lambda f, m: SeparatedSteps(qwen(f, m), "trl", "\n\n", bos=True), lambda n, c: separated(n, c, 1)),
    "pure": Layout(lambda f, m: Pure(qwen(f, m), "pure", "\n\n", bos=False), lambda n, c: separated(n, c, 0)),
    "reasoneval 7b": Layout(lambda f, m: ReasonEval(mistral(f, m), 1, "use_bias", "validity"), reasoneval),
    "classifier, chatml": Layout(lambda f, m: ChatScalar(qwen(f, m), "rm"), lambda n, c: n(chatml(c, c.text))),
    "acemath": Layout(lambda f, m: ChatScalar(qwen(f, m), "rm", system=ACEMATH_SYSTEM),
                      lambda n, c: n(chatml(c, c.text, ACEMATH_SYSTEM))),
    "internlm2": Layout(lambda f, m: internlm2(qwen(f, m)), lambda n, c: n(chatml(c, c.text)) + 1),
    "classifier, llama": Layout(lambda f, m: ChatScalar(llama3(f, m), "rm", VALUE), lambda n, c: n(llama_chat(c))),
    "nemotron 70b": Layout(lambda f, m: ChatScalar(llama3(f, m), "rm", FIRST_LOGIT), lambda n, c: n(llama_chat(c))),
    "athene": Layout(lambda f, m: athene(llama3(f, m)), lambda n, c: n(llama_chat(c)) + 1),
    "armorm": Layout(lambda f, m: ArmoRM(llama3(f, m)), lambda n, c: n(llama_chat(c))),
    "math-shepherd": Layout(lambda f, m: TaggedText(mistral(f, m), SHEPHERD),
                            lambda n, c: 1 + n(tagged(c, " ", " ки", "\n", True))),
    "math-psa": Layout(lambda f, m: TaggedText(qwen_policy(f, m), PSA),
                       lambda n, c: n(tagged(c, " ", " \n\n\n\n\n", " ", True))),
    "versaprm": Layout(lambda f, m: TaggedText(llama31(f, m), VERSA),
                       lambda n, c: 1 + n(tagged(c, " \n\n", " \n\n\n\n", "", False))),
    "rlhflow": Layout(lambda f, m: Turns(llama31(f, m), whole=False), lambda n, c: n(rlhflow(c, steps_of(c)))),
    "rlhflow orm": Layout(lambda f, m: Turns(llama31(f, m), whole=True), lambda n, c: n(rlhflow(c, [c.text]))),
    "eurus": Layout(lambda f, m: ImplicitSteps(qwen_policy(f, m), 0.001, cumulative=True), lambda n, c: n(eurus(c))),
    "mean-logprob": Layout(lambda f, m: SelfScore(qwen_policy(f, m), "logprob", None),
                           lambda n, c: n(policy(c)) + n(c.text)),
    "self-certainty": Layout(lambda f, m: SelfScore(llama31(f, m), "uniform_kl", None),
                             lambda n, c: n(rlhflow(c, [""])[: -len(header("assistant", "+"))]
                                            .replace(f"{c.problem.prompt} ", c.problem.prompt)
                                            + "<|start_header_id|>assistant<|end_header_id|>\n\n") + n(c.text)),
}  # fmt: skip


def counter(folder: Path) -> Count:
    """How many tokens a text has, special tokens in it as such, BOS only where it is written."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()

    def count(text: str) -> int:
        return len(tokenizer.encode_batch_fast([text], add_special_tokens=False)[0])

    return count
