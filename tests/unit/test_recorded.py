"""Every family on recorded MATH-500 responses: all render, one mark per step, the over-length counted."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from prm_eval_generative_prms.formats import FORMATS
from prm_eval_outcome.nemotron_server import conversation_text
from recorded_families import DATA, LAYOUTS, counter, lines_of, recorded, steps_of

from prm_eval.readout import ReadoutModel, Rendered, Rows
from prm_eval.types import Candidate, Unscored, Work

POSITIONS = 4096  # Qwen2.5-Math's; the tiny tokenizers have about one token per character

pytestmark = pytest.mark.skipif(not DATA.is_file(), reason="the recorded candidates are not here")


class NoBackbone:
    """An engine without weights: rendering needs its number of positions alone."""

    identity, max_tokens = "none", POSITIONS

    def rows(self, inputs: Sequence[Rendered]) -> list[Rows]:
        raise AssertionError("nothing is scored here")

    def provenance(self) -> dict[str, str]:
        return {}

    def cost(self) -> dict[str, float]:
        return {}


@pytest.fixture(scope="module")
def sixth() -> list[Candidate]:
    """One response of every other problem, and the empty ones."""
    return recorded(sixth=True)


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_response_renders(name: str, sixth: list[Candidate], tmp_path: Path) -> None:
    """Lengths are those of the published format; exactly what is longer than the positions is too long."""
    layout = LAYOUTS[name]
    family = layout.make(tmp_path, ())
    count = counter(tmp_path)
    prepared = ReadoutModel(family, NoBackbone()).prepare(sixth)
    expected = Counter[str]()
    assert len(sixth) >= 250
    for candidate, found in zip(sixth, prepared, strict=True):
        if not candidate.text.strip():
            assert found == Unscored("empty response")
            continue
        length = layout.length(count, candidate)
        expected["too long" if length > POSITIONS else "fits"] += 1
        if length > POSITIONS:
            assert isinstance(found, Unscored)
            assert found.reason.startswith(f"too long: {length} tokens, the model reads {POSITIONS}")
            assert ("step marks lie past it" in found.reason) is family.stepwise
        else:
            assert isinstance(found, Work)
            assert found.size == len(found.payload) == length
            check_marks(family.stepwise, name, candidate, found.payload)
    kinds = Counter(found.kind if isinstance(found, Unscored) else "fits" for found in prepared)
    assert {kind: kinds[kind] for kind in ("too long", "fits")} == dict(expected)
    assert min(expected["too long"], expected["fits"]) > 20


def check_marks(stepwise: bool, name: str, candidate: Candidate, item: Rendered) -> None:
    """Rising, inside the input, one per step; ArmoRM reads at two places."""
    marks = item.marks.tolist()
    steps = lines_of(candidate) if name == "skywork o1" else steps_of(candidate)
    assert len(marks) == (len(steps) if stepwise else 2 if name == "armorm" else 1)
    assert marks == sorted(set(marks))
    assert item.start <= marks[0]
    assert marks[-1] < len(item)


def test_every_response_has_a_text_for_the_server() -> None:
    """No recorded response holds a marker of the Nemotron turns, and each text has four."""
    texts = (conversation_text(c.problem.prompt, c.text) for c in recorded())
    assert {text.count("<extra_id_") for text in texts} == {4}


@pytest.mark.parametrize("name", FORMATS)
def test_every_response_can_be_asked_about(name: str) -> None:
    """The generative PRMs' questions about the last step hold the problem and every step."""
    form = FORMATS[name](None)
    for candidate in recorded():
        if not (steps := steps_of(candidate)):
            continue
        asked = form.ask(candidate.problem.prompt, steps, len(steps) - 1, ["seen"] * len(steps))
        text = "\n".join(turn["content"] for turn in asked.turns)
        assert candidate.problem.prompt in text
        assert all(step.rstrip() in text for step in steps)
