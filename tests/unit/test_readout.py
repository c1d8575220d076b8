"""The readout against an independent forward pass, one input at a time."""

import json
import logging
import random
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_checkpoint import SYSTEM, Reference, save_checkpoint

from prm_eval.errors import BadOption
from prm_eval.readout import ReadoutModel, Rendered, Tokens, load, rendered, shortest
from prm_eval.readout.families import StepHead, WholeHead, softmax
from prm_eval.readout.model import own_limit, too_long
from prm_eval.types import Candidate, PreparedRewardModel, Problem, Score, Step, Unscored, Work

FAMILY = partial(StepHead, name="test", system=SYSTEM)
PROBLEM = Problem("p", "What is the sum of two and 3?")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint with two classes."""
    path = tmp_path_factory.mktemp("checkpoint")
    save_checkpoint(path, seed=1)
    return path


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """The plain scorer with the same weights."""
    path = tmp_path_factory.mktemp("reference")
    return Reference(path, save_checkpoint(path, seed=1))


@pytest.fixture(scope="module")
def model(folder: Path) -> ReadoutModel:
    """The same checkpoint through the readout."""
    return load(FAMILY, str(folder))


def candidate(steps: Sequence[str], index: int = 0, problem: Problem = PROBLEM) -> Candidate:
    """A candidate with given steps."""
    return Candidate(problem, index, "\n\n".join(steps), tuple(map(Step, steps)))


def works(model: ReadoutModel, candidates: Sequence[Candidate]) -> list[Work]:
    """Prepared candidates, all of which must be readable."""
    prepared = model.prepare(candidates)
    assert all(isinstance(item, Work) for item in prepared)
    return [item for item in prepared if isinstance(item, Work)]


words = st.text(alphabet="ab 12+=x.\n\\é", min_size=1, max_size=60).filter(str.strip)
pool = st.lists(st.tuples(words, st.lists(words, min_size=1, max_size=6)), min_size=1, max_size=8)


@pytest.fixture(scope="module")
def by_budget(folder: Path) -> dict[int, ReadoutModel]:
    """The same checkpoint with batches of one up to batches of everything."""
    return {budget: load(FAMILY, str(folder), batch_tokens=budget) for budget in (1, 200, 400, 900, 9000)}


@settings(max_examples=60, deadline=None)
@given(
    pool=pool,
    budget=st.sampled_from([1, 200, 400, 900, 9000]),
    rng=st.randoms(use_true_random=False),
)
def test_every_batching_gives_the_plain_scores(
    by_budget: dict[int, ReadoutModel],
    reference: Reference,
    pool: list[tuple[str, list[str]]],
    budget: int,
    rng: random.Random,
) -> None:
    """Scores do not depend on batch size, order or padding: 1e-5 from one-by-one forward passes."""
    rng.shuffle(pool)
    found = by_budget[budget].score([candidate(steps, 0, Problem("p", problem)) for problem, steps in pool])
    for (problem, steps), score in zip(pool, found, strict=True):
        assert isinstance(score, Score)
        expected = reference.steps(problem, steps)
        assert score.steps == pytest.approx(expected, abs=1e-5)
        assert score.value == pytest.approx(float(np.prod(expected)), abs=1e-5)


def test_shards_and_one_file_are_one_model(folder: Path, model: ReadoutModel, tmp_path: Path) -> None:
    """A checkpoint in three shards with an index gives the same scores as in one file."""
    save_checkpoint(tmp_path, seed=1, shards=3)
    sharded = load(FAMILY, str(tmp_path))
    item = candidate(["a = 1", "b = 2"])
    assert sharded.score([item]) == model.score([item])


def test_protocol_and_order(model: ReadoutModel) -> None:
    """The model is a PreparedRewardModel: one result each, in order, equal content computed once."""
    assert isinstance(model, PreparedRewardModel)
    before = model.cost()["tokens"]
    one, two = candidate(["a"]), candidate(["b", "c"], 1)
    first, empty, second, again = model.score([one, candidate([], 2), two, candidate(["a"], 3)])
    assert first == again != second
    assert isinstance(empty, Unscored)
    sizes = [work.size for work in works(model, [one, two])]
    assert model.cost()["tokens"] - before == sum(sizes)


def test_same_chunk_same_bytes(folder: Path) -> None:
    """Two loads and two calls give the same JSON, and scores have at most nine digits."""
    items = [candidate([f"{n} + 1", "x" * n]) for n in range(1, 9)]
    texts = set()
    for _ in range(2):
        model = load(FAMILY, str(folder), batch_tokens=300)
        for _ in range(2):
            texts.add(json.dumps([score.steps for score in model.score(items) if isinstance(score, Score)]))
    assert len(texts) == 1
    assert all(len(number) <= 14 for number in texts.pop().strip("[]").split(", "))


def test_one_by_one_is_exact(folder: Path) -> None:
    """With batch_tokens=1 a score has the same bytes in any order and company, and in larger batches nearly."""
    items = [candidate([f"{n} + {k}" for k in range(n)] + ["x" * 7 * n]) for n in range(1, 13)]
    model = load(FAMILY, str(folder), batch_tokens=1)
    whole = model.score(items)
    assert model.score(items[::-1])[::-1] == whole
    assert [model.score([item])[0] for item in items] == whole
    together = load(FAMILY, str(folder), batch_tokens=9000).score(items)
    pairs = [(one, two) for one, two in zip(whole, together, strict=True) if isinstance(one, Score)]
    assert len(pairs) == 12
    assert all(
        isinstance(two, Score) and two.steps == pytest.approx(one.steps, abs=1e-6) for one, two in pairs
    )


def test_keys_name_the_content(folder: Path, model: ReadoutModel, tmp_path: Path) -> None:
    """Equal content has equal keys; other text, marks, weights or dtype have other ones."""
    a, b, c = works(model, [candidate(["a", "b"]), candidate(["a", "b"], 5), candidate(["ab"])])
    assert a.key == b.key != c.key
    half = load(FAMILY, str(folder), dtype="bfloat16")
    save_checkpoint(tmp_path, seed=2)
    others = [half, load(FAMILY, str(tmp_path)), load(partial(FAMILY, name="other"), str(folder))]
    keys = {works(m, [candidate(["a", "b"])])[0].key for m in [model, *others]}
    assert len(keys) == len({m.fingerprint for m in [model, *others]}) == 4
    assert load(FAMILY, str(folder), batch_tokens=99, max_tokens=50).fingerprint == model.fingerprint


def test_marks_are_part_of_the_key(folder: Path) -> None:
    """The same tokens read at another position are other work: a step's score is never reused."""

    class Anywhere(StepHead):
        def render(self, candidate: Candidate) -> Rendered:
            item = super().render(candidate)
            assert isinstance(item, Rendered)
            return rendered(item.ids.tolist(), (item.marks - candidate.index).tolist())

    shifted = load(partial(Anywhere, name="any", system=SYSTEM), str(folder))
    first, second = shifted.prepare([candidate(["a"], 0), candidate(["a"], 2)])
    assert isinstance(first, Work)
    assert isinstance(second, Work)
    assert first.key != second.key


def test_too_long_is_unscored(folder: Path, model: ReadoutModel) -> None:
    """Over-length input is Unscored with its numbers, never truncated; the longest fit is scored."""
    item = candidate(["a = 1", "b = 2", "c = 3"])
    work = works(model, [item])[0]
    exact = load(FAMILY, str(folder), max_tokens=work.size)
    assert exact.score([item]) == model.score([item])
    marks = [int(mark) for mark in work.payload.marks]
    cut = load(FAMILY, str(folder), max_tokens=marks[1])
    reason = f"too long: {work.size} tokens, the model reads {marks[1]}; 2 of 3 step marks lie past it"
    assert cut.score([item]) == [Unscored(reason)]
    assert too_long(rendered([1, 2, 3], [2]), 2, stepwise=False) == Unscored(
        "too long: 3 tokens, the model reads 2"
    )


def test_configured_length_is_the_limit(tmp_path: Path) -> None:
    """`max_position_embeddings` bounds the input when no option does."""
    save_checkpoint(tmp_path, limit=90)
    (result,) = load(FAMILY, str(tmp_path)).score([candidate(["1 2 3 4 5 6 7 8 9"] * 9)])
    assert isinstance(result, Unscored)
    assert "the model reads 90;" in result.reason


def test_longer_than_the_positions_is_refused(folder: Path) -> None:
    """A limit above the position range is refused: past it a model scores plausible nonsense."""
    with pytest.raises(BadOption, match="max_tokens=4000: the model was built for 2048 positions"):
        load(FAMILY, str(folder), max_tokens=4000)


def test_lone_surrogates(model: ReadoutModel, caplog: pytest.LogCaptureFixture) -> None:
    """Lone surrogates are read as U+FFFD, with one counted notice."""
    caplog.set_level(logging.WARNING)
    broken = [candidate(["a \ud800 b"]), Candidate(Problem("q", "\udfff?"), 0, "c"), candidate(["fine"])]
    clean = [candidate(["a \ufffd b"]), Candidate(Problem("q", "\ufffd?"), 0, "c"), candidate(["fine"])]
    assert model.score(broken) == model.score(clean)
    assert [r.getMessage() for r in caplog.records] == [
        "lone surrogates replaced by U+FFFD in 2 of 3 candidates"
    ]


def test_steps_are_read_by_position() -> None:
    """A probability that underflows to zero keeps its place: scores are never picked by value."""
    family = StepHead.__new__(StepHead)
    rows = np.array([[0, 200], [200, 0], [-200, -200]], dtype=np.float32)
    assert family.read(rows) == Score(0.0, (1.0, 0.0, 0.5))


def test_softmax_is_float32_and_stable() -> None:
    """Softmax agrees with torch's in float64 for large logits."""
    rows = np.random.default_rng(0).normal(0, 60, (200, 2)).astype(np.float32)
    expected = torch.softmax(torch.from_numpy(rows).double(), -1).numpy()
    assert softmax(rows).dtype == np.float32
    np.testing.assert_allclose(softmax(rows), expected, rtol=1e-5, atol=1e-30)


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_shortest_round_trips(value: float) -> None:
    """The short float is the same float32."""
    assert np.float32(shortest(np.float32(value))) == np.float32(value)


def test_non_finite_rows_are_unscored(folder: Path) -> None:
    """An engine that gives NaN, or too few rows, makes that one candidate Unscored."""

    class Sick:
        identity, max_tokens = "sick", 10_000

        def rows(self, inputs: Sequence[object]) -> list[np.ndarray]:
            return [
                np.array([[0.0, np.nan]], np.float32),
                np.zeros((0, 2), np.float32),
                np.zeros((1, 2), np.float32),
            ]

        def provenance(self) -> dict[str, str]:
            return {}

        def cost(self) -> dict[str, float]:
            return {}

    sick = ReadoutModel(FAMILY(Tokens(folder)), Sick())
    bad, few, good = sick.score([candidate(["a"]), candidate(["b"]), candidate(["c"])])
    assert isinstance(bad, Unscored)
    assert isinstance(few, Unscored)
    assert good == Score(0.5, (0.5,))


def test_provenance_and_cost(folder: Path) -> None:
    """Results can say what ran; computed tokens are at least the tokens read."""
    model = load(FAMILY, str(folder), dtype="bfloat16", proven="by a test")
    found = model.provenance()
    assert found["path"] == str(folder)
    assert (found["dtype"], found["device"], found["proven"]) == ("bfloat16", "cpu", "by a test")
    assert found["torch"] == torch.__version__
    assert found["fingerprint"] == model.fingerprint
    model.score([candidate(["a"]), candidate(["b c d e f g"])])
    cost = model.cost()
    assert cost["padded_tokens"] > cost["tokens"] > 0 < cost["seconds"]
    assert cost["peak_memory_bytes"] > 50e6


def test_flops_of_tokens_computed(folder: Path) -> None:
    """A batch of two counts the longer twice; the head, 32 x 32 and 2 x 32, its marks only."""
    model = load(FAMILY, str(folder), batch_tokens=9000)
    short, long = candidate(["a"]), candidate(["b c d", "e f g"])
    length = max(work.size for work in works(model, [short, long]))
    before = model.cost()
    model.score([short, long])
    cost = model.cost()
    assert cost["padded_tokens"] - before["padded_tokens"] == 2 * length
    backbone = 2 * (2 * 18_432 * length + 2 * 2 * 32 * length**2)  # 18,432: see test_costs.py
    assert cost["flops"] - before["flops"] == backbone + 2 * (32 * 32 + 2 * 32) * 3


def test_bad_options(folder: Path) -> None:
    """Values that cannot be are refused with the option's name."""
    for wrong in ({"batch_tokens": 0}, {"max_tokens": 0}, {"dtype": "int8"}, {"device": "abacus"}):
        with pytest.raises(BadOption, match=next(iter(wrong))):
            load(FAMILY, str(folder), **wrong)  # type: ignore[arg-type]


def test_outcome_head(tmp_path: Path) -> None:
    """One label: the raw scalar at the last token of the conversation, no steps."""
    reference = Reference(tmp_path, save_checkpoint(tmp_path, labels=1, seed=3))
    model = load(partial(WholeHead, name="whole", system=SYSTEM), str(tmp_path), batch_tokens=150)
    answers = ["So 5.", "First a.\n\nThen b, which is far longer than the other one.", "\\boxed{7}"]
    found = model.score([Candidate(PROBLEM, n, text) for n, text in enumerate(answers)])
    for text, score in zip(answers, found, strict=True):
        assert isinstance(score, Score)
        assert score.steps is None
        expected = reference.logits(reference.ids(PROBLEM.prompt, text))[-1, 0]
        assert score.value == pytest.approx(float(expected), abs=1e-5)
    assert model.score([Candidate(PROBLEM, 0, " \n")]) == [Unscored("empty response")]


@pytest.mark.parametrize(("positions", "limit"), [(2048, 2048), (131072, 8192)])
def test_a_family_may_read_less_than_the_positions(positions: int, limit: int) -> None:
    """What a family was trained for bounds the input, and never stretches the position range."""
    assert own_limit(SimpleNamespace(longest=8192), positions) == limit  # type: ignore[arg-type]
    assert own_limit(SimpleNamespace(), positions) == positions  # type: ignore[arg-type]
