"""The page in a real browser: it renders, filters and unfolds, runs nothing that a run says, loads nothing.

Skipped where there is no Chromium.
"""

import json
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.unit.chromium import Chromium, find

from .conftest import Done, candidate_rows, write_candidates

Shell = Callable[..., Done]
DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"

HOSTILE = [
    "<script>window.pwned = 1</script>",
    "</script><script>window.pwned = 2</script>",
    '<img src=x onerror="window.pwned = 3">',
    "<svg onload='window.pwned = 4'></svg><!-- <script>",
    '<a href="javascript:window.pwned=5">click</a>',
    "<iframe srcdoc='<script>parent.pwned = 6</script>'></iframe>",
    "\u2028window.pwned = 7\u2029 \\u003cscript\\u003e {{ 7*7 }} {% raw %}",
    "$\\href{javascript:window.pwned=8}{x}$ $\\url{javascript:window.pwned=9}$",
    "$\\includegraphics{https://example.invalid/x.png}$ $\\htmlClass{row}{y}$ $\\htmlData{a=b}{z}$",
    "$\\def\\a{\\a\\a}\\a$ $\\newcommand{\\b}{\\b}\\b$ $\\undefined{$ $$\\frac{1}{$$",
    "<style>body{display:none}</style><base href='https://example.invalid/'><meta http-equiv=refresh content='0;url=https://example.invalid/'>",
    "<form action='https://example.invalid/'><input autofocus onfocus='window.pwned=10'></form>",
]


def page_of(
    shell: Shell, rows: list[dict[str, Any]], model: str, title: str = "page", folder: str = "run"
) -> Path:
    """The page of candidates scored, recorded, by their index; steps get scores where they are given."""
    write_candidates(Path("c.jsonl"), rows)
    lines = [
        {"problem_id": row["problem_id"], "index": row["index"], "model": model,
         "score": row["index"] / 4, "steps": [0.1, 0.9] if row.get("steps") else None}
        for row in rows
    ]  # fmt: skip
    Path("s.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines))
    done = shell(
        "select", "--candidates", "c.jsonl", "--scores", "s.jsonl", "--bootstrap", "100", "--save", folder
    )
    assert done.status == 0, done.err
    assert shell("report", folder, "--out", "page.html", "--title", title).status == 0
    return Path("page.html")


def hostile_rows() -> list[dict[str, Any]]:
    """Every hostile text as a problem id, a problem, a subset, an answer, a response, a step and thinking."""
    rows = []
    for place, text in enumerate(HOSTILE):
        for index in range(2):
            steps: Any = [{"text": text, "part": "thinking"}, f"{text} \\boxed{{{index}}}"]
            rows.append({"problem_id": f"{place} {text}", "problem": text, "answer": text, "index": index,
                         "subset": text, "response": f"<think>{text}</think>\n\n{text}", "prediction": text,
                         "correct": bool(index), "steps": steps})  # fmt: skip
    return rows


def quiet(browser: Chromium, page: Path) -> None:
    """Nothing was logged, thrown or blocked, and nothing asked for but the page and its own fonts."""
    assert browser.problems == []
    assert [url for url in browser.asked if not url.startswith("data:font/woff2")] == [
        page.resolve().as_uri()
    ]


def unfold_all(browser: Chromium) -> None:
    """Open every response in the list, and the thinking in it."""
    browser.value("document.querySelectorAll('#rows .row').forEach((one) => { one.open = true; })")
    browser.wait(
        "document.querySelectorAll('#rows .row').length === document.querySelectorAll('#rows .row .problem').length"
    )
    browser.value("document.querySelectorAll('#rows .thinking').forEach((one) => { one.open = true; })")


def test_nothing_that_a_run_says_is_executed(shell: Shell) -> None:
    """Scripts, handlers, links and markup in texts and names are text: nothing runs, loads or leaves the page."""
    find()
    page = page_of(
        shell, hostile_rows(), HOSTILE[1] + HOSTILE[2], HOSTILE[1], folder="<img src=x onerror='pwned=11'>"
    )
    with Chromium() as browser:
        browser.open(page)
        unfold_all(browser)
        browser.value(
            "document.querySelectorAll('#rows *').forEach((one) => { if (!one.closest('summary')) one.dispatchEvent(new MouseEvent('click', {bubbles: true, cancelable: true})); })"
        )
        assert browser.value("typeof window.pwned") == "undefined"
        quiet(browser, page)
        assert (
            browser.value(
                "[...document.querySelectorAll('*')].flatMap((one) => [...one.attributes]).filter((one) => one.name.startsWith('on')).length"
            )
            == 0
        )
        assert (
            browser.value(
                "document.querySelectorAll('iframe, img, base, object, embed, svg script, form[action]').length"
            )
            == 0
        )
        assert browser.value("document.querySelectorAll('a:not([href^=\"#\"])').length") == 0
        assert browser.value("document.querySelectorAll('script:not([type])').length") == 3
        assert browser.value("document.title") == f"{HOSTILE[1]} · prm-eval"
        shown = browser.value("[...document.querySelectorAll('.step .words')].map((one) => one.textContent)")
        for text in HOSTILE[:6]:
            assert text in shown


def test_the_hostile_texts_would_run_elsewhere(tmp_path: Path) -> None:
    """The same texts in a page that does not escape them do run: the test above can fail."""
    (tmp_path / "bad.html").write_text("<!doctype html><body>" + HOSTILE[0] + HOSTILE[2], encoding="utf-8")
    with Chromium() as browser:
        browser.open(tmp_path / "bad.html", ready=False)
        browser.wait("window.pwned === 3")


def test_filters_find_what_they_name(shell: Shell) -> None:
    """Each filter leaves the responses that the data say, and clearing brings all back."""
    find()
    rows = candidate_rows(problems=24)
    page = page_of(shell, rows, "by-index")
    found = "document.querySelector('#found').textContent"

    def set_to(name: str, value: str) -> str:
        return f"{{ const one = document.getElementById('{name}'); one.value = {json.dumps(value)}; one.dispatchEvent(new Event('input', {{bubbles: true}})); }}"

    def right(row: dict[str, Any]) -> bool:
        return f"boxed{{{row['answer']}}}" in row["response"]

    with Chromium() as browser:
        browser.open(page)
        assert browser.value(found) == "96 of 96 responses, to 24 problems"
        browser.value(set_to("outcome", "1"))
        browser.wait(f"{found}.startsWith('{sum(map(right, rows))} of 96')")
        browser.value(set_to("search", "p7"))
        browser.wait(f"{found} === '2 of 96 responses, to 1 problems'")
        browser.value("document.querySelector('#filters button').click()")
        browser.wait(f"{found}.startsWith('96 of 96')")
        # the highest index has the highest score: best of N picks it, and is right where p + 3 is even
        place = browser.value(
            "[...document.getElementById('right').options].find((one) => one.text.startsWith('best_of_n')).value"
        )
        browser.value(set_to("right", place))
        browser.wait(f"{found} === '48 of 96 responses, to 12 problems'")
        browser.value(set_to("picked", place))
        browser.wait(f"{found} === '12 of 96 responses, to 12 problems'")
        assert browser.value(
            "[...document.querySelectorAll('#rows .tag')].every((one) => one.textContent === '✓ right')"
        )
        browser.value(set_to("order", "low"))
        quiet(browser, page)


def test_responses_unfold_with_scores_and_folded_thinking(shell: Shell) -> None:
    """Steps carry their score as a number and a colour, thinking is folded, mathematics is typeset."""
    find()
    rows = candidate_rows(problems=12)
    for row in rows:
        row["steps"] = [
            {"text": "First I think $x^2$.", "part": "thinking"},
            f"So it is \\boxed{{{row['answer']}}}.",
        ]
    page = page_of(shell, rows, "steps")
    with Chromium() as browser:
        browser.open(page)
        browser.value("document.querySelector('#rows .row').open = true")
        browser.wait("document.querySelectorAll('.step').length === 2")
        assert browser.value("document.querySelector('.thinking').open") is False
        assert browser.value(
            "[...document.querySelectorAll('.step .given')].map((one) => one.textContent)"
        ) == ["0.1", "0.9"]
        assert browser.value("[...document.querySelectorAll('.step')].map((one) => one.className)") == [
            "step q0",
            "step q5",
        ]
        assert browser.value("document.querySelectorAll('.thinking .katex').length") == 1
        quiet(browser, page)


def test_without_javascript(shell: Shell) -> None:
    """All tables and figures stand there, the controls that need scripts do not, and it is said."""
    find()
    page = page_of(shell, candidate_rows(problems=12), "plain")
    with Chromium(scripts=False) as browser:
        browser.open(page, ready=False)
        seen = "[...document.querySelectorAll('{}')].filter((one) => one.getBoundingClientRect().height > 0).length"
        assert browser.value(seen.format("table")) >= 4
        assert browser.value(seen.format("svg.chart")) >= 2
        assert browser.value(seen.format("#theme, #filters")) == 0
        assert "needs JavaScript" in browser.value("document.body.innerText")


def test_light_dark_and_phone(shell: Shell) -> None:
    """The scheme of the system is followed, the button changes it, and a phone needs no sideways scrolling."""
    find()
    page = page_of(shell, candidate_rows(problems=12), "a-model-with-a-long-name/" + "x" * 60)
    paper = "getComputedStyle(document.body).backgroundColor"
    with Chromium(390, 844, dark=True) as browser:
        browser.open(page)
        dark = browser.value(paper)
        browser.value("document.getElementById('theme').click()")
        assert browser.value(paper) == "rgb(255, 255, 255)" != dark
        assert browser.value("document.documentElement.scrollWidth") <= 390
        browser.value("document.querySelector('#rows .row').open = true")
        browser.wait("document.querySelector('.step')")
        assert browser.value("document.documentElement.scrollWidth") <= 390


@pytest.mark.slow
def test_math500_with_recorded_scores(shell: Shell) -> None:
    """1,500 recorded responses: under 15 MB, rows load as one scrolls, mathematics shows, all quiet."""
    find()
    if not DATA.exists():
        pytest.skip("../shared/data is not there")
    done = shell("select", "--candidates", str(DATA / "math500-candidates.jsonl"), "--aggregation", "min",
                 "--scores", str(DATA / "math500-gemma-scores.jsonl"), "--bootstrap", "200", "--save", "math")  # fmt: skip
    assert done.status == 0, done.err
    page = Path("math.html")
    assert shell("report", "math", "--out", str(page)).status == 0
    assert page.stat().st_size < 15e6
    with Chromium() as browser:
        browser.open(page)
        assert "No verdict" in browser.value("document.querySelector('.verdict').textContent")
        first = browser.value("document.querySelectorAll('#rows .row').length")
        assert first < 200
        browser.value("window.scrollTo(0, document.body.scrollHeight)")
        browser.wait(f"document.querySelectorAll('#rows .row').length > {first}")
        unfold_all(browser)
        assert browser.value("document.querySelectorAll('.katex').length") > 100
        browser.value(set_to("outcome", "0"))
        browser.wait(f"!{FOUND}.startsWith('1,500 of')")
        assert browser.value("document.querySelectorAll('#rows .tag.right').length") == 0
        quiet(browser, page)


def write(path: str, rows: list[dict[str, Any]]) -> str:
    """A file of these lines."""
    Path(path).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def judged(shell: Shell, word: str = "right") -> None:
    """A run `j`: twelve pairs, whose judge names the better side, the worse one, or another in each order."""
    pairs = [{"id": f"q{i}", "subset": "s", "prompt": f"Which {i}? {word}", "chosen": f"better {i} {word}",
              "rejected": f"worse {i} {word}"} for i in range(12)]  # fmt: skip
    verdicts = []
    for i in range(12):
        for order in ("ab", "ba"):
            right = i % 3 == 0 or (i % 3 == 2 and order == "ab")
            first = right is (order == "ab")
            verdicts.append({"id": f"q{i}", "judge": "some", "order": order, "preference": 0.9 if first else 0.1,
                             "winner": "first" if first else "second", "text": f"I think {word}", "votes": ["first"]})  # fmt: skip
    done = shell("judge", "--pairs", write("p.jsonl", pairs), "--verdicts", write("v.jsonl", verdicts),
                 "--bootstrap", "100", "--out", "j")  # fmt: skip
    assert done.status == 0, done.err


def stepped(shell: Shell, word: str = "step") -> None:
    """A run `s`: nine solutions of three steps; of i % 3 == 0 every step is right, else the second is wrong."""
    labels = [{"id": f"l{i}", "problem": f"p {word}", "steps": [f"{word} a", f"{word} b", f"{word} c"],
               "label": 1 if i % 3 else -1} for i in range(9)]  # fmt: skip
    scores = [{"problem_id": f"l{i}", "index": 0, "model": "m", "score": 0.1, "steps": [0.9, 0.1 if i % 3 == 1 else 0.8, 0.7]}
              for i in range(9)]  # fmt: skip
    done = shell("stepwise", "--labels", write("l.jsonl", labels), "--scores", write("s.jsonl", scores),
                 "--bootstrap", "100", "--out", "s")  # fmt: skip
    assert done.status == 0, done.err


def set_to(name: str, value: str) -> str:
    """A control of the form, set as a user would set it."""
    return f"{{ const one = document.getElementById('{name}'); one.value = {json.dumps(value)}; one.dispatchEvent(new Event('input', {{bubbles: true}})); }}"


FOUND = "document.querySelector('#found').textContent"


def test_pairs_are_browsed(shell: Shell) -> None:
    """Right, wrong and between by both orders; both sides and every game's verdict unfold."""
    find()
    judged(shell)
    assert shell("report", "j", "--out", "page.html").status == 0
    with Chromium() as browser:
        browser.open(Path("page.html"))
        assert browser.value(FOUND) == "12 of 12 pairs"
        for value in ("1", "0", "0.5"):
            browser.value(set_to("outcome", value))
            browser.wait(f"{FOUND} === '4 of 12 pairs'")
        browser.value(set_to("outcome", ""))
        browser.value(set_to("wrong", "0"))
        browser.wait(f"{FOUND} === '4 of 12 pairs'")
        assert browser.value("document.querySelector('#rows .tag').textContent") == "✗ wrong"
        browser.value("document.querySelector('#rows .row').open = true")
        browser.wait("document.querySelectorAll('.game').length === 2")
        assert browser.value("[...document.querySelectorAll('.side .words')].map((one) => one.textContent)") == [
            "better 1 right", "worse 1 right"]  # fmt: skip
        assert browser.value("document.querySelector('.side .tag').textContent") == "the first ✓ better"
        assert browser.value("[...document.querySelectorAll('.game summary')].map((one) => one.textContent)") == [
            "✗ wrongsome the first side stood first: named the second; preference 0.1 for what stood first; votes first",
            "✗ wrongsome the second side stood first: named the second; preference 0.9 for what stood first; votes first",
        ]  # fmt: skip
        quiet(browser, Path("page.html"))


def test_labelled_steps_are_browsed(shell: Shell) -> None:
    """Solutions by label and by whether a model found the first wrong step; steps carry label and score."""
    find()
    stepped(shell)
    assert shell("report", "s", "--out", "page.html").status == 0
    with Chromium() as browser:
        browser.open(Path("page.html"))
        assert browser.value(FOUND) == "9 of 9 labelled steps"
        browser.value(set_to("outcome", "0"))
        browser.wait(f"{FOUND} === '6 of 9 labelled steps'")
        browser.value(set_to("wrong", "0"))  # of i % 3 == 2 the wrong step has 0.8
        browser.wait(f"{FOUND} === '3 of 9 labelled steps'")
        browser.value("document.querySelector('#rows .row').open = true")
        browser.wait("document.querySelectorAll('.step').length === 3")
        assert browser.value("[...document.querySelectorAll('.step .given')].map((one) => one.textContent)") == [
            "✓ 0.9", "✗ 0.8", "0.7"]  # fmt: skip
        quiet(browser, Path("page.html"))


def test_several_kinds_share_a_browser(shell: Shell) -> None:
    """Responses, pairs and solutions on one page: the controls follow the run that is chosen."""
    find()
    page_of(shell, candidate_rows(problems=12), "plain")
    judged(shell)
    stepped(shell)
    assert shell("report", "run", "j", "s", "--out", "page.html").status == 0
    with Chromium() as browser:
        browser.open(Path("page.html"))
        assert (
            browser.value("document.querySelector('#browser h2').textContent")
            == "Responses, pairs, labelled steps"
        )
        hidden = "document.getElementById('picked').parentElement.hidden"
        assert browser.value(hidden) is False
        for place, words in (("1", "12 of 12 pairs"), ("2", "9 of 9 labelled steps")):
            browser.value(set_to("run", place))
            browser.wait(f"{FOUND} === '{words}'")
            assert browser.value(hidden) is True
        browser.value(set_to("run", "0"))
        browser.wait(f"{FOUND}.startsWith('48 of 48 responses')")
        quiet(browser, Path("page.html"))


def test_nothing_that_a_pair_or_a_step_says_is_executed(shell: Shell) -> None:
    """Hostile texts as prompts, sides, verdicts, votes, problems and steps are text."""
    find()
    word = " ".join(HOSTILE)
    judged(shell, word)
    stepped(shell, word)
    assert shell("report", "j", "s", "--out", "page.html").status == 0
    with Chromium() as browser:
        browser.open(Path("page.html"))
        for place in ("0", "1"):
            browser.value(set_to("run", place))
            browser.wait(f"document.querySelectorAll('#rows .row').length === {12 - 3 * int(place)}")
            unfold_all(browser)
            browser.value("document.querySelectorAll('#rows details').forEach((one) => { one.open = true; })")
            assert browser.value("typeof window.pwned") == "undefined"
            assert (
                browser.value(
                    "document.querySelectorAll('iframe, img, base, object, embed, form[action]').length"
                )
                == 0
            )
        quiet(browser, Path("page.html"))


@pytest.mark.slow
def test_the_page_of_the_demo(shell: Shell, tmp_path: Path) -> None:
    """All of a demo run on one page: renders, filters, unfolds, quiet, small; the docs' pictures can be taken."""
    find()
    done = shell("demo", "--problems", "24", "--n", "4", "--judged", "4", "--out", "d")
    assert done.status == 0, done.err
    page = Path("demo.html")
    assert shell("report", "d", "d/judge", "d/tournaments", "--out", str(page)).status == 0
    assert page.stat().st_size < 15e6
    with Chromium() as browser:
        browser.open(page)
        titles = browser.value("[...document.querySelectorAll('h2')].map((one) => one.textContent)")
        assert titles == [
            "Summary", "Best of N: d", "Reward models: d", "Judges: judge", "Best of N: tournaments",
            "Reward models: tournaments", "Tournaments: tournaments", "Runs compared", "Cost", "Provenance",
            "Responses, pairs"]  # fmt: skip
        told = "[...document.querySelectorAll('figcaption')].map((one) => one.textContent)"
        assert "demo: accuracy against tokens computed, generation and scoring" in browser.value(told)
        assert "generation and demo-prm together" in browser.value("document.body.textContent")
        assert browser.value(FOUND) == "96 of 96 responses, to 24 problems"
        browser.value(set_to("outcome", "1"))
        browser.wait(f"!{FOUND}.startsWith('96 of')")
        unfold_all(browser)
        assert browser.value("document.querySelectorAll('#rows .tag.wrong').length") == 0
        quiet(browser, page)
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "docs"))
    try:
        import pictures
    finally:
        sys.path.pop(0)
    for picture in pictures.main(Path("d"), tmp_path):
        width, height = struct.unpack(">II", picture.read_bytes()[16:24])
        assert picture.stat().st_size > 20_000 and width >= 390 and height >= 700


def test_a_page_opens_where_it_is_asked_to(shell: Shell) -> None:
    """`#find=WORDS` searches and opens the first row; what it names is text, however it is written."""
    find()
    page = page_of(shell, candidate_rows(problems=12), "plain")
    for words, found in (("p7", 4), ("<img src=x onerror=pwned=1>", 0)):
        with Chromium() as browser:
            browser.call("Page.navigate", {"url": f"{page.resolve().as_uri()}#find={quote(words)}"})
            browser.wait("document.body && document.body.dataset.ready === 'yes'")
            assert browser.value(FOUND).startswith(f"{found} of 48")
            assert browser.value("document.querySelectorAll('#rows .row[open]').length") == min(found, 1)
            assert browser.problems == [] and browser.value("typeof pwned") == "undefined"
