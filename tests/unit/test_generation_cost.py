"""What generating cost: counted by hand, kept pass by pass, and put together with what scoring cost."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from harness_support import Scripted, problems, tiny_model, write_jsonl
from lm_eval.api.instance import Instance

from prm_eval.harness.generation_cost import FILE, Meter, generation_cost
from prm_eval.harness.runner import generate
from prm_eval.harness.seeds import RepeatSeeds
from prm_eval.spending import cost_units, costed, counts_generation, per_response, together

SAMPLING = {"max_gen_toks": 5, "until": []}


class Letters(Scripted):
    """Answers 'ab' and then one more letter each time; a token is a letter, and a prompt has one more."""

    def __init__(self) -> None:
        super().__init__(lambda _doc, count: "ab" + "c" * count)

    def tok_encode(self, text: str, add_special_tokens: bool | None = None) -> list[int]:
        return [0] * (len(text) + (add_special_tokens is not False))


class Config:
    """What a back end keeps of config.json: 1 layer, 2 heads of 16, 7,168 weights in its matrices, 10 words."""

    def to_dict(self) -> Mapping[str, Any]:
        return {"model_type": "qwen2", "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1,
                "num_attention_heads": 2, "num_key_value_heads": 2, "vocab_size": 10}  # fmt: skip


def requests(n: int) -> list[Instance]:
    """Two problems, of 4 and of 6 letters, n times each."""
    found: list[Instance] = []
    for place, doc in enumerate(problems(2)):
        prompt = "x" * (4 + 2 * place)
        found += [Instance("generate_until", doc, (prompt, dict(SAMPLING)), 0, ("t", place, n))] * n
    return found


def run(lm: Scripted, folder: Path, n: int) -> None:
    model = RepeatSeeds(lm, seed=0, path=folder / "g.jsonl", meter=Meter(lm, folder / FILE))
    model.generate_until(requests(n))


def passes(folder: Path) -> Sequence[Mapping[str, Any]]:
    return [json.loads(line) for line in (folder / FILE).read_text().splitlines()]


def test_counted_by_hand(tmp_path: Path) -> None:
    """Prompts of 5 and 7 tokens, responses of 2, 3 and 4; FLOPs of the whole sequences, each token once, and of
    the LM head (32 x 10 weights) for each written one."""
    lm = Letters()
    lm._config = Config()  # type: ignore[attr-defined]
    run(lm, tmp_path, 3)
    found = generation_cost(tmp_path, 3)
    assert {name: found[name] for name in ("candidates", "tokens", "generated_tokens")} == {
        "candidates": 6, "tokens": 3 * (5 + 7), "generated_tokens": 2 * (2 + 3 + 4)}  # fmt: skip
    lengths = [5 + 2, 7 + 2, 5 + 3, 7 + 3, 5 + 4, 7 + 4]
    backbone = sum(2 * 7168 * length + 2 * 32 * length**2 for length in lengths)
    assert found["flops"] == backbone + 2 * 32 * 10 * 2 * (2 + 3 + 4)
    assert found["seconds"] >= 0
    assert generation_cost(tmp_path, 2)["generated_tokens"] == 2 * (2 + 3)


def test_later_passes_add_their_own(tmp_path: Path) -> None:
    """More samples are paid for by the run that makes them; a finished run pays nothing."""
    run(Letters(), tmp_path, 2)
    first = passes(tmp_path)
    run(Letters(), tmp_path, 2)
    assert passes(tmp_path) == first
    run(Letters(), tmp_path, 3)
    assert [row["repeat"] for row in passes(tmp_path)] == [0, 1, 2]
    assert generation_cost(tmp_path, 3)["candidates"] == 6


def test_a_pass_that_was_made_again_counts_once(tmp_path: Path) -> None:
    """After a crash between a pass's cost and its responses the pass is made anew, and counts as made last."""
    run(Letters(), tmp_path, 1)
    (tmp_path / "g.jsonl").unlink()
    run(Letters(), tmp_path, 1)
    assert len(passes(tmp_path)) == 2
    assert generation_cost(tmp_path, 1)["tokens"] == 12


def test_what_is_not_told_is_absent(tmp_path: Path) -> None:
    """No tokenizer: seconds alone. A pass without a line: nothing at all, and not less."""
    run(Scripted(lambda _doc, count: f"answer {count}"), tmp_path, 2)
    assert set(generation_cost(tmp_path, 2)) == {"candidates", "seconds"}
    assert generation_cost(tmp_path, 3) == {}
    assert generation_cost(tmp_path / "none", 1) == {}


def test_a_server_without_a_tokenizer_counts_no_tokens(tmp_path: Path) -> None:
    """lm-eval's API models answer with the text itself where they have no tokenizer: one is not one token."""
    lm = Letters()
    lm.tokenizer_backend = None  # type: ignore[attr-defined]
    run(lm, tmp_path, 1)
    assert set(generation_cost(tmp_path, 1)) == {"candidates", "seconds"}


def test_a_tokenizer_that_fails_costs_no_response(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The pass is kept whole, its seconds too, and it is said that its tokens are not counted."""

    class Broken(Letters):
        def tok_encode(self, text: str, add_special_tokens: bool | None = None) -> list[int]:
            raise ValueError("no such letter")

    run(Broken(), tmp_path, 2)
    assert len((tmp_path / "g.jsonl").read_text().splitlines()) == 4
    assert set(generation_cost(tmp_path, 2)) == {"candidates", "seconds"}
    assert "the tokens of generation are not counted: ValueError: no such letter" in caplog.text


def test_a_real_model(tmp_path: Path) -> None:
    """The tiny model has a token per byte: those of the responses, and FLOPs from its own config."""
    folder = tiny_model(tmp_path / "tiny")
    data = str(write_jsonl(tmp_path / "data.jsonl", problems(3)))
    found = generate("math500", "hf", f"pretrained={folder},device=cpu", 2, out=tmp_path / "run", data=data,
                     gen_kwargs={"max_gen_toks": 5, "temperature": 1.0})  # fmt: skip
    cost = generation_cost(tmp_path / "run", 2)
    assert cost["candidates"] == 6
    assert cost["generated_tokens"] == sum(len(candidate.text.encode()) for candidate in found)
    assert cost["tokens"] > cost["generated_tokens"] and cost["flops"] > 2 * 7168 * cost["tokens"]


RESULTS: dict[str, Any] = {
    "metrics": [{"metric": "best_of_n", "k": 8, "reward_model": "prm"}],
    "cost": {
        "generation": {"candidates": 8, "tokens": 400, "generated_tokens": 800, "seconds": 4.0, "flops": 8000},
        "prm": {"candidates": 8, "tokens": 900, "padded_tokens": 1000, "seconds": 2.0, "peak_memory_bytes": 5},
    },
}  # fmt: skip


def test_generator_and_verifier_together() -> None:
    """(400 + 800 + 1,000) / 8 tokens, (4 + 2) / 8 seconds; the vote pays for generating alone."""
    assert cost_units(RESULTS) == ["tokens", "seconds"]
    assert per_response(RESULTS, "prm", "tokens") == 275
    assert per_response(RESULTS, "prm", "seconds") == 0.75
    assert per_response(RESULTS, None, "tokens") == 150
    assert per_response(RESULTS, "prm", "flops") is None  # the PRM's are not known
    # FLOPs of one of the two are no sum
    assert together(RESULTS)["prm"] == {"tokens": 1300, "generated_tokens": 800, "seconds": 6.0}


def test_scoring_alone_is_not_called_the_whole() -> None:
    """Without the generator's cost only scoring is counted, and a vote has no cost to be drawn at."""
    alone = {**RESULTS, "cost": {"prm": RESULTS["cost"]["prm"]}}
    assert not counts_generation(alone, "tokens") and counts_generation(RESULTS, "tokens")
    assert per_response(alone, "prm", "tokens") == 125
    assert per_response(alone, None, "tokens") is None
    assert together(alone) == {}


@pytest.mark.parametrize(("aggregation", "ks"), [("min", [1, 4]), ("tournament", [4]), ("listwise", [4])])
def test_scores_that_compare_have_a_cost_at_all_responses_only(aggregation: str, ks: list[int]) -> None:
    """A tournament among all N does not cost the k/N-th part among k."""
    assert costed({k: {"aggregation": aggregation} for k in (1, 4)}) == ks
