"""Generative PRMs through lm-eval: what they are asked, how a decision is read, what fails and how."""

import hashlib
import logging
import math
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from harness_support import tiny_model
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from prm_eval_generative_prms import Drawn, prm_eval_reward_models
from prm_eval_generative_prms.critic import Critic
from prm_eval_generative_prms.formats import RPRM, Asked, Format, GenPRM, ThinkPRM, fill

from prm_eval.cards import RECALLED, card_of
from prm_eval.errors import BadOption, CheckpointError
from prm_eval.harness.models import load_model
from prm_eval.testing import RewardModelContract
from prm_eval.types import Candidate, PreparedRewardModel, Problem, RewardModel, Score, Step, Unscored

FACTORIES = prm_eval_reward_models()
PROBLEM = Problem("p", "What is {2} + 3?")
STEPS = ("2 + 3 = 5", "So \\boxed{5}.")
ONE = Drawn(samples=1, temperature=0.0, top_p=1.0, top_k=0, max_new_tokens=8)


class Scripted(LM):
    """An lm-eval model whose texts are what `write` says, and whose likelihoods are a hash of the words."""

    def __init__(self, write: Callable[[str, int], str], max_length: int = 10_000) -> None:
        super().__init__()
        self._write, self.max_length = write, max_length
        self.prompts: list[str] = []
        self.options: list[dict[str, Any]] = []
        self.read: list[tuple[str, str]] = []

    def apply_chat_template(
        self, chat_history: Sequence[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        text = "".join(f"<{turn['role']}>{turn['content']}</>" for turn in chat_history)
        return f"{text}<assistant><think>\n" if add_generation_prompt else text

    def tok_encode(self, text: str) -> list[int]:
        return list(text.encode())

    def generate_until(self, requests: Sequence[Instance]) -> list[str]:
        self.prompts += [request.args[0] for request in requests]
        self.options += [request.args[1] for request in requests]
        first = len(self.prompts) - len(requests)
        return [self._write(request.args[0], first + n) for n, request in enumerate(requests)]

    def loglikelihood(self, requests: Sequence[Instance]) -> list[tuple[float, bool]]:
        self.read += [request.args for request in requests]
        return [(likelihood(*request.args), False) for request in requests]

    def loglikelihood_rolling(self, requests: Sequence[Instance]) -> list[float]:
        raise NotImplementedError


def likelihood(context: str, continuation: str) -> float:
    """A number in (-10, 0) out of the words."""
    return -10 * int(hashlib.sha256((context + continuation).encode()).hexdigest()[:8], 16) / 2**32


def p_good(context: str, good: str, bad: str) -> float:
    """exp(good) / (exp(good) + exp(bad))."""
    a, b = math.exp(likelihood(context, good)), math.exp(likelihood(context, bad))
    return a / (a + b)


def critic(lm: LM, form: Format, drawn: Drawn = ONE, stepwise: bool = True) -> Critic:
    """A critic on that model."""
    return Critic(lm, form, drawn, stepwise, {"model": "scripted", "proven": "x"})


def candidate(steps: Sequence[str] = STEPS, index: int = 0) -> Candidate:
    """A candidate with given steps."""
    return Candidate(PROBLEM, index, "\n\n".join(steps), tuple(map(Step, steps)))


def test_thinkprm() -> None:
    """One critique of all steps; P(Yes) after the authors' question; no steps in the score."""
    critique = " Step 1: fine. The step is \\boxed{correct}\nIs the solution correct? Yes, it is."
    lm = Scripted(lambda prompt, number: critique)
    (found,) = critic(lm, ThinkPRM(None), stepwise=False).score([candidate()])
    (prompt,) = lm.prompts
    assert (
        "[Math Problem]\n\nWhat is {2} + 3?\n\n[Solution]\n\nStep 1: 2 + 3 = 5\nStep 2: So \\boxed{5}.\n\n"
        in prompt
    )
    assert prompt.endswith("<assistant><think>\n\nLet's verify step by step:")
    context = prompt + " Step 1: fine. The step is \\boxed{correct}\nIs the solution correct?"
    assert lm.read == [(context, " Yes"), (context, " No")]
    assert isinstance(found, Score)
    assert found == Score(pytest.approx(p_good(context, " Yes", " No"), abs=1e-12))
    assert found.steps is None
    assert lm.options[0]["until"] == ["</think>"]


def test_thinkprm_per_step() -> None:
    """Asked per step, each prefix of the steps is a question of its own."""
    lm = Scripted(lambda prompt, number: " \\boxed{incorrect}")
    (found,) = critic(lm, ThinkPRM(None)).score([candidate()])
    assert "Step 2" not in lm.prompts[0]
    assert "Step 1: 2 + 3 = 5\nStep 2: So" in lm.prompts[1]
    ends = [f"{prompt} \\boxed{{incorrect}}\nIs the solution correct?" for prompt in lm.prompts]
    assert isinstance(found, Score)
    expected = [p_good(end, " Yes", " No") for end in ends]
    assert found.steps == pytest.approx(expected)
    assert found.value == pytest.approx(min(expected))


def test_genprm() -> None:
    """A turn per step that sees the judgements before it; stopped where code would begin."""
    lm = Scripted(lambda prompt, number: f"fine {number}\n</analyze>\n")
    (found,) = critic(lm, GenPRM(None)).score([candidate()])
    first, second = lm.prompts
    system = GenPRM(None).text.strip()
    opening = f"<system>{system}</><user>Question: What is {{2}} + 3?\n\n2 + 3 = 5</><assistant>"
    assert first == f"{opening}<analyze>\n"
    contexts = [
        f"{p}fine {n}\n</analyze>\n<output>\n**Judgement**: $\\boxed" for n, p in enumerate(lm.prompts)
    ]
    good = [p_good(context, "{Yes", "{No") for context in contexts]
    said = "Yes" if good[0] >= 0.5 else "No"
    answer = f"<analyze>\nfine 0\n</analyze>\n<output>\n**Judgement**: $\\boxed{{{said}}}$\n</output>"
    assert second == f"{opening}{answer}</><user>So \\boxed{{5}}.</><assistant><analyze>\n"
    assert isinstance(found, Score)
    assert found.steps == pytest.approx(good)
    assert lm.options[0]["until"] == ["<verify>", "<output>"]


def test_rprm() -> None:
    """A prompt per step with the steps before it; P(Yes) at the last time the question stands there."""
    text = "Is the step correct (Yes/No)? asks the rule.\nVerification: Is the step correct (Yes/No)? No"
    lm = Scripted(lambda prompt, number: text)
    (found,) = critic(lm, RPRM(None)).score([candidate()])
    assert "Previous Steps: \n\nNow Step: Step 1: 2 + 3 = 5" in lm.prompts[0]
    assert "Previous Steps: Step 1: 2 + 3 = 5\n\nNow Step: Step 2: So \\boxed{5}." in lm.prompts[1]
    contexts = [prompt + text.removesuffix(" No") for prompt in lm.prompts]
    assert isinstance(found, Score)
    assert found.steps == pytest.approx([p_good(context, " Yes", " No") for context in contexts])


@pytest.mark.parametrize(
    ("form", "text"),
    [
        (ThinkPRM(None), "Hm, let me think. Is the solution correct?"),
        (GenPRM(None), "an analysis that never ends"),
        (RPRM(None), "Verification: it is right"),
    ],
)
def test_no_decision(form: Format, text: str) -> None:
    """A text without a decision is Unscored with its tail, and no likelihood is asked for."""
    lm = Scripted(lambda prompt, number: "x" * 200 + text)
    (found,) = critic(lm, form).score([candidate(("a",))])
    assert isinstance(found, Unscored)
    assert found.kind == "no decision"
    assert text[-40:] in found.reason
    assert "x" * 81 not in found.reason
    assert lm.read == []


def test_one_of_many(caplog: pytest.LogCaptureFixture) -> None:
    """Chains average; those without a decision are left out with a notice, and alone the guilty suffer."""
    caplog.set_level(logging.WARNING)

    def write(prompt: str, number: int) -> str:
        return (
            "nothing" if "bad" in prompt or number % 3 == 2 else f"{number} Is the step correct (Yes/No)? Yes"
        )

    lm = Scripted(write)
    drawn = Drawn(samples=3, temperature=0.7, top_p=1.0, top_k=0, max_new_tokens=8)
    good, bad = critic(lm, RPRM(None), drawn).score([candidate(("a",)), candidate(("bad",), 1)])
    assert isinstance(bad, Unscored)
    contexts = list(dict.fromkeys(context for context, _ in lm.read))
    assert len(contexts) == 2
    expected = sum(p_good(context, " Yes", " No") for context in contexts) / 2
    assert good == Score(pytest.approx(expected), (pytest.approx(expected),))
    assert "1 of 3 chains gave no decision" in caplog.text


def test_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each chain, and each turn of a chain, is drawn under a seed of its own that `seed` decides."""
    import torch

    for seed, expected in ((0, 6), (1, 6)):
        seen: list[int] = []
        lm = Scripted(lambda prompt, number, s=seen: s.append(torch.initial_seed()) or "fine</analyze>")
        drawn = Drawn(samples=3, temperature=0.7, top_p=1.0, top_k=0, max_new_tokens=8, seed=seed)
        critic(lm, GenPRM(None), drawn).score([candidate()])
        assert len(seen) == len(set(seen)) == expected


def test_too_long() -> None:
    """A prompt that the back end would cut on its left is Unscored with the numbers."""
    lm = Scripted(lambda prompt, number: "fine</analyze>", max_length=300)
    short, long = critic(lm, GenPRM(None)).score([candidate(("a",)), candidate(("a" * 300,), 1)])
    assert isinstance(short, Score)
    assert isinstance(long, Unscored)
    assert long.reason.endswith("tokens and 8 to be written, the model reads 300")


def test_keys_and_provenance(tmp_path: Path) -> None:
    """Equal contents are criticised once; prompt, seed and chains change the fingerprint."""
    lm = Scripted(lambda prompt, number: "fine</analyze>")
    model = critic(lm, GenPRM(None))
    assert isinstance(model, PreparedRewardModel)
    one, two, empty = model.score([candidate(), candidate(index=1), candidate((), 2)])
    assert one == two
    assert empty == Unscored("empty response")
    assert len(lm.prompts) == 2
    file = tmp_path / "system.txt"
    file.write_text("Look closely.")
    others = [critic(lm, GenPRM(file)), critic(lm, GenPRM(None), Drawn(1, 0.0, 1.0, 0, 8, seed=4))]
    assert len({m.fingerprint for m in [model, *others]}) == 3
    assert model.provenance()["seeded_by"] == "torch"
    assert {name: model.cost()[name] for name in ("generations", "decisions")} == {
        "generations": 2,
        "decisions": 2,
    }


def test_prompts(tmp_path: Path) -> None:
    """The card's own file is taken; one without its places is refused; braces in a problem stay."""
    file = tmp_path / "card.txt"
    file.write_text("P {problem} S {solution} {other}")
    asked = ThinkPRM(file).ask("{solution}", ["a", "b"], 1, [])
    assert asked.turns[0]["content"] == "P {solution} S Step 1: a\nStep 2: b {other}"
    file.write_text("P {problem}")
    with pytest.raises(BadOption, match=r"has no \{solution\}"):
        ThinkPRM(file)
    with pytest.raises(BadOption, match="cannot be read"):
        RPRM(tmp_path / "nowhere")
    assert fill("{a}{b}", a="{b}", b="2") == "{b}2"


class AnyText:
    """A format for which any text is a decision: what a random model can take part in."""

    name, text, labels, until, in_turn = "any/1", "", (" Yes", " No"), (), False

    def ask(self, problem: str, steps: Sequence[str], number: int, answers: Sequence[str]) -> Asked:
        return Asked([{"role": "user", "content": problem + "".join(steps[: number + 1])}], "")

    def decision(self, text: str) -> str:
        return text + " Right?"


def test_real_model(tmp_path: Path) -> None:
    """On lm-eval's own hf class, P(Yes) is what one plain transformers pass gives for its own text."""
    import torch
    from prm_eval_generative_prms import Runs
    from prm_eval_generative_prms.models import critic as build
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = tiny_model(tmp_path)
    card = card_of(FACTORIES["r-prm-7b-dpo"])
    assert card is not None
    runs = Runs("hf", f"pretrained={folder},device=cpu,dtype=float32", "4", None)
    model = build("r-prm", card, runs, ONE, True)
    (failed,) = model.score([candidate(("a",))])
    assert isinstance(failed, Unscored)
    read = Critic(load_model(runs.model, runs.model_args), AnyText(), ONE, True, {})
    (found,) = read.score([candidate()])
    tokenizer, plain = (
        AutoTokenizer.from_pretrained(folder),
        AutoModelForCausalLM.from_pretrained(folder).eval(),
    )
    expected = []
    counts = {"tokens": 0, "generated_tokens": 0, "flops": 0}
    width, between, layers, vocabulary = (
        int(plain.config.to_dict()[key])
        for key in ("hidden_size", "intermediate_size", "num_hidden_layers", "vocab_size")
    )
    heads, groups = plain.config.num_attention_heads, plain.config.num_key_value_heads
    weights = layers * width * (2 * width + 2 * width * groups // heads + 3 * between)

    def passes(length: int, read_out: int) -> None:
        attention = sum(4 * layers * width * place for place in range(length)) + 2 * layers * width * length
        counts["flops"] += 2 * weights * length + attention + 2 * width * vocabulary * read_out

    for number in range(2):
        user = PROBLEM.prompt + "".join(STEPS[: number + 1])
        prompt = tokenizer.apply_chat_template(
            [{"role": "user", "content": user}], tokenize=False, add_generation_prompt=True
        )
        ids = tokenizer(prompt, return_tensors="pt", add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            out = plain.generate(ids, max_new_tokens=8, do_sample=False, top_k=None, top_p=None)
        text = tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)
        written = len(tokenizer(prompt + text)["input_ids"]) - ids.shape[1]
        counts["tokens"] += ids.shape[1]
        counts["generated_tokens"] += written
        passes(ids.shape[1] + written, written)
        logs = []
        for label in (" Yes", " No"):
            whole = tokenizer(prompt + text + " Right?" + label, return_tensors="pt")["input_ids"]
            start = len(tokenizer(prompt + text + " Right?")["input_ids"])
            with torch.no_grad():
                steps = plain(whole).logits[0, :-1].log_softmax(-1)
            counts["tokens"] += whole.shape[1]
            passes(whole.shape[1], whole.shape[1] - start)
            logs.append(sum(float(steps[t - 1, whole[0, t]]) for t in range(start, whole.shape[1])))
        expected.append(math.exp(logs[0]) / (math.exp(logs[0]) + math.exp(logs[1])))
    assert isinstance(found, Score)
    assert found.steps == pytest.approx(expected, abs=1e-5)
    cost = dict(read.cost())
    assert cost.pop("peak_memory_bytes") > 50e6
    assert cost == {"generations": 2, "decisions": 2, **counts}


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"model": "local-chat-completions"}, "chat servers give no log-likelihoods"),
        ({"samples": 0}, "begin at 1"),
        ({"samples": 2, "temperature": 0.0}, "would be all alike"),
    ],
)
def test_bad_options(options: dict[str, Any], match: str) -> None:
    """What cannot work is refused before any model is loaded."""
    with pytest.raises(BadOption, match=match):
        FACTORIES["genprm-7b"](**options)


def test_no_template(tmp_path: Path) -> None:
    """A tokenizer without a chat template is refused at load, not candidate by candidate."""
    folder = tiny_model(tmp_path)
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(CheckpointError, match="no conversation can be written"):
        FACTORIES["thinkprm-1.5b"](path=str(folder), model_args=f"pretrained={folder},device=cpu")


def test_names() -> None:
    """Three families in eight sizes; every help says that the wording was recalled."""
    assert len(FACTORIES) == 8
    for name, factory in FACTORIES.items():
        card = card_of(factory)
        assert card is not None, name
        assert card.proven.startswith(RECALLED), name
        assert "(recalled)." in (factory.__doc__ or "").partition("\n")[0], name
    assert "Nothing that a model wrote is run" in (FACTORIES["genprm-7b"].__doc__ or "")


def test_import_light() -> None:
    """Finding the plugin imports neither lm_eval nor torch."""
    code = (
        "import sys, prm_eval_generative_prms as p; p.prm_eval_reward_models()\n"
        "print(sorted({'torch', 'transformers', 'numpy', 'lm_eval'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


class TestContract(RewardModelContract):
    """A generative PRM keeps what every reward model promises."""

    def make(self) -> RewardModel:
        """The model under test."""
        return critic(Scripted(lambda prompt, number: "fine</analyze>", 200_000), GenPRM(None))
