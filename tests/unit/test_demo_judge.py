"""The embedded judge: what it is taught is right, what it reads is what it was taught, and what it is worth."""

from __future__ import annotations

import json
import operator
from collections import Counter
from functools import cache
from itertools import islice
from pathlib import Path

import prm_eval_demo
import pytest
from prm_eval_demo import problems as demo
from prm_eval_demo.train.games import CONFLICT_SHARE, Lesson, game_prompt, lessons, perfect_output

from prm_eval.errors import BadOption
from prm_eval.testing import JudgeContract
from prm_eval.types import Judge, Pair, PreparedJudge, Verdict, Work

QUESTION = (
    "Start with 38. Then subtract 4. Then add 5. Then multiply by 2. Then subtract 9. What is the result?"
)
RIGHT = "38 - 4 = 34\n\n34 + 5 = 39\n\n39 * 2 = 78\n\n78 - 9 = 69\n\n\\boxed{69}"
WRONG = "38 - 4 = 34\n\n34 + 5 = 29\n\n29 * 2 = 58\n\n58 - 9 = 49\n\n\\boxed{49}"
LATE = "38 - 4 = 34\n\n34 + 5 = 39\n\n39 * 2 = 78\n\n78 - 9 = 70\n\n\\boxed{70}"
LUCKY = "38 - 4 = 32\n\n32 + 5 = 39\n\n39 * 2 = 78\n\n78 - 9 = 69\n\n\\boxed{69}"
SHORT = "38 - 4 = 34\n\n\\boxed{34}"
ROUNDS = 60
BOUND = 0.85
"""Below what was measured, .96: another CPU rounds otherwise."""


@cache
def judge() -> Judge:
    """The judge as `--judge demo-judge` makes it."""
    return prm_eval_demo.demo_judge()


@cache
def held_out_games() -> list[tuple[Pair, Pair]]:
    """Fixed pairs of a right and a wrong answer to held-out problems, each in both orders."""
    rng, games = demo.seeded(7), []
    for row in demo.held_out(ROUNDS):
        chain = demo.parse(row["problem"])
        wrong = right = "\n\n".join(demo.right_solution(chain))
        while wrong.endswith(f"{{{row['answer']}}}"):
            wrong = "\n\n".join(demo.write_solution(chain, demo.POLICY_NOISE, rng))
        name, text = row["problem_id"], row["problem"]
        games.append((Pair(name, text, right, wrong), Pair(name, text, wrong, right)))
    return games


@cache
def verdicts() -> list[tuple[Verdict, Verdict]]:
    """What the judge says of the held-out games."""
    results = judge().compare([game for both in held_out_games() for game in both])
    given = [result for result in results if isinstance(result, Verdict)]
    assert len(given) == 2 * ROUNDS, [result for result in results if not isinstance(result, Verdict)]
    return list(zip(given[::2], given[1::2], strict=True))


class TestLessons:
    """What the judge is taught."""

    @pytest.mark.parametrize(
        ("first", "second", "marks", "winner"),
        [
            (RIGHT, WRONG, "~>>>", 1),
            (WRONG, RIGHT, "~<<<", 2),
            (WRONG, LATE, "~<<<", 2),
            (LUCKY, WRONG, "<>>>", 1),
            (RIGHT, LUCKY, ">>>>", 1),
            (SHORT, WRONG, "~~~~", None),
            (SHORT, LATE, "~<<<", 2),
        ],
    )
    def test_the_lead_is_with_the_last_one_that_alone_was_right(
        self, first: str, second: str, marks: str, winner: int | None
    ) -> None:
        """The mark of every line and the verdict of pairs that were worked out by hand."""
        *lines, box = perfect_output(QUESTION, first, second, demo.seeded(0)).split("\n\n")
        assert "".join(line[-1] for line in lines) == marks
        assert box in {rf"\boxed{{Assistant {side}}}" for side in ((winner,) if winner else (1, 2))}

    def test_a_line_holds_the_true_result_and_both_that_were_written(self) -> None:
        """The whole output of one game, letter by letter; a line that an answer lacks is a question mark."""
        assert perfect_output(QUESTION, SHORT, LATE, demo.seeded(0)) == (
            "38 - 4 = 34 34 34~\n\n34 + 5 = 39 ? 39<\n\n39 * 2 = 78 ? 78<\n\n78 - 9 = 69 ? 70<\n\n"
            "\\boxed{Assistant 2}"
        )

    def test_the_right_answer_wins_every_lesson(self) -> None:
        """Where one final answer is right and one wrong, recomputed from the words, the right one wins."""
        counts: Counter[str] = Counter()
        for lesson in islice(lessons(demo.seeded(4)), 600):
            assert not demo.is_held_out(lesson.chain.text)
            assert lesson.first != lesson.second
            first, second = (text.endswith(f"{{{answer(lesson)}}}") for text in (lesson.first, lesson.second))
            winner = lesson.output[-2]
            if first != second:
                assert winner == ("1" if first else "2")
                counts["conflict"] += 1
            counts[winner] += 1
        assert counts["conflict"] / 600 > CONFLICT_SHARE
        assert 0.42 < counts["1"] / 600 < 0.58


def answer(lesson: Lesson) -> int:
    """The answer of a lesson's problem, read off its words without the demo's parser."""
    words = lesson.chain.text.replace(".", "").replace("multiply by", "multiply").split()
    verbs = {"add": operator.add, "subtract": operator.sub, "multiply": operator.mul}
    value = int(words[2])
    for place, word in enumerate(words):
        value = verbs[word](value, int(words[place + 1])) if word in verbs else value
    return value


class TestInput:
    """What the judge reads."""

    def test_the_prompt_letter_by_letter(self) -> None:
        """The user turn that it was trained with: any change of the prompt file makes another judge."""
        assert game_prompt(QUESTION, SHORT, RIGHT) == (
            f"{QUESTION}\n\nassistant 1:\n{SHORT}\n\nassistant 2:\n{RIGHT}"
        )

    def test_the_judge_is_asked_what_it_was_taught(self) -> None:
        """Prompt file, chat template and tokenizer give the very tokens of the training."""
        from prm_eval_demo.judge import PROMPT
        from prm_eval_demo.train.tokenizer import build_tokenizer, prompt
        from transformers import AutoTokenizer

        from prm_eval.harness.prompts import judge_prompt

        pair, taught = Pair("p", QUESTION, RIGHT, WRONG), prompt(game_prompt(QUESTION, RIGHT, WRONG))
        tokenizer = AutoTokenizer.from_pretrained(prm_eval_demo.JUDGE)
        turns = judge_prompt(PROMPT).ask(pair)
        asked = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        assert asked == taught
        ids = build_tokenizer().encode(taught).ids
        assert tokenizer(taught)["input_ids"] == ids
        made = judge()
        assert isinstance(made, PreparedJudge)
        (work,) = made.prepare([pair])
        assert isinstance(work, Work)
        assert work.size == len(ids)

    def test_votes_need_a_temperature(self) -> None:
        """Several greedy votes would be copies of one another, and are refused."""
        with pytest.raises(BadOption, match="all alike"):
            prm_eval_demo.demo_judge(votes=3)


class TestCheckpoint:
    """What the committed files promise."""

    def test_layout(self) -> None:
        """Float16 on disk, float32 at load, the policy's tokenizer, greedy by default."""
        folder = prm_eval_demo.JUDGE
        content = (folder / "model.safetensors").read_bytes()
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        assert {entry["dtype"] for key, entry in header.items() if key != "__metadata__"} == {"F16"}
        config, generation = read(folder / "config.json"), read(folder / "generation_config.json")
        assert (config["architectures"], config["torch_dtype"]) == (["Qwen2ForCausalLM"], "float32")
        assert generation["do_sample"] is False
        for name in ("tokenizer.json", "tokenizer_config.json"):
            assert (folder / name).read_bytes() == (prm_eval_demo.POLICY / name).read_bytes()


def read(path: Path) -> dict[str, object]:
    """One JSON file."""
    found: dict[str, object] = json.loads(path.read_text(encoding="utf-8"))
    return found


class TestWorth:
    """What the judge is worth on problems that it never saw."""

    def test_it_finds_the_right_answer_wherever_it_stands(self) -> None:
        """Of 60 held-out pairs most are judged right in either order, with no bias for a position."""
        first = sum(one.winner == "first" for one, _ in verdicts()) / ROUNDS
        second = sum(other.winner == "second" for _, other in verdicts()) / ROUNDS
        assert first > BOUND
        assert second > BOUND

    def test_what_it_writes_is_the_true_sum(self) -> None:
        """It judges by checking: nearly every line that it writes begins with the right solution's own."""
        lines = [
            (wrote, own)
            for (game, _), (verdict, _) in zip(held_out_games(), verdicts(), strict=True)
            for wrote, own in zip(verdict.text.split("\n\n"), game.first.split("\n\n")[:-1], strict=False)
        ]
        assert len(lines) > 4 * ROUNDS
        assert sum(wrote.startswith(f"{own} ") for wrote, own in lines) > BOUND * len(lines)

    def test_plain_transformers_say_the_same(self) -> None:
        """The texts through lm-eval are those of transformers alone."""
        from prm_eval_demo.train.evaluate_judge import Game, play

        games = [
            Game(game.prompt, game.first, game.second, "first") for both in held_out_games() for game in both
        ]
        plain = play(prm_eval_demo.JUDGE, games[:32])
        own = [verdict for both in verdicts() for verdict in both][:32]
        assert [one.text for one in plain] == [one.text for one in own]
        assert [one.verdict for one in plain] == [one.winner for one in own]


class TestContract(JudgeContract):
    """The contract of every judge."""

    def make(self) -> Judge:
        """The one judge, made once."""
        return judge()


def test_the_example_is_of_its_world() -> None:
    """The judge brings a problem of the generator, right answer first, on which its contract is checked."""
    example = judge().example  # type: ignore[attr-defined]
    answer = demo.parse(example.prompt).answer
    assert example.first.endswith(f"\\boxed{{{answer}}}")
    assert not example.second.endswith(f"\\boxed{{{answer}}}")
