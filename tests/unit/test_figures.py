"""Figures: what they say, that nothing covers anything, and that the same content gives the same bytes."""

import json
import re
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prm_eval.errors import DataError, UnknownName, UsageError
from prm_eval.figures import NAMES, Asked, save_all, save_curves, style
from prm_eval.figures.frontier import frontier
from prm_eval.figures.runs import read_runs, short, size_of
from prm_eval.spending import cost_units

pytest.importorskip("matplotlib")

THREE = "three-set mean (MMLU-Pro, MATH, GPQA)"


def row(metric: str, value: float, **fields: Any) -> dict[str, Any]:
    spread = [round(value - 0.02, 6), round(value + 0.02, 6)]
    return {
        "metric": metric,
        "value": value,
        "ci": spread,
        "n_problems": 500,
        "coverage": 1.0,
        "exact": True,
        **fields,
    }


def run_folder(folder: Path, rows: list[dict[str, Any]], **sections: Any) -> Path:
    folder.mkdir(parents=True)
    results = {"schema": "prm-eval/results/1", "task": "math500", "metrics": rows, "cost": {}, **sections}
    (folder / "results.json").write_text(json.dumps(results))
    return folder


def best_of_n(folder: Path, *, models: int = 2, **sections: Any) -> Path:
    rows = [row("mean", 0.5), *(row("pass_at_k", 0.5 + 0.1 * i, k=2**i) for i in range(4))]
    for m in range(models):
        rows += [
            row("best_of_n", 0.5 + (0.05 + 0.01 * m) * i, k=2**i, reward_model=f"prm-{m}", aggregation="min")
            for i in range(4)
        ]
    return run_folder(folder, rows, **sections)


def sft_rows(policy: str = "Qwen/Qwen2.5-14B-Instruct") -> list[dict[str, Any]]:
    cells = [("reasonflux-prm-7b", "reasonflux-prm-7b", 1000, 0.83), ("reasonflux-prm-7b", "reasonflux-prm-7b", 5000, 0.88),
             ("skywork-prm-7b", "skywork-prm-7b", 1000, 0.71), ("random", None, 1000, 0.70),
             ("all", None, 59_000, 0.80), ("qwen2.5-math-prm-72b", "qwen2.5-math-prm-72b", 1000, 0.80)]  # fmt: skip
    return [
        row(
            "accuracy",
            value,
            task="math500",
            policy=policy,
            selector=name,
            reward_model=model,
            train_samples=n,
        )
        for name, model, n, value in cells
    ]


def texts(path: Path) -> list[str]:
    """The text elements of an SVG file, in their order."""
    root = ElementTree.fromstring(path.read_text(encoding="utf-8"))
    return ["".join(element.itertext()).strip() for element in root.iter("{http://www.w3.org/2000/svg}text")]


def svg(tmp_path: Path, name: str, *runs: Path, **asked: Any) -> list[str]:
    paths = save_all(runs, tmp_path / "out", Asked([name], ["svg"], **asked))
    return [text for path in paths for text in texts(path)]


def test_published_figures_need_no_run(tmp_path: Path) -> None:
    """Without a run the four figures of published numbers come out, in all three formats."""
    names = ["training-samples", "reward-model-size", "frontier", "rl"]
    paths = save_all([], tmp_path)
    assert [path.name for path in paths] == [
        f"{name}.{kind}" for name in names for kind in ("svg", "pdf", "png")
    ]
    starts = {".svg": b"<?xml", ".pdf": b"%PDF", ".png": b"\x89PNG"}
    assert all(path.read_bytes().startswith(starts[path.suffix]) for path in paths)


def test_training_samples(tmp_path: Path) -> None:
    """Raw pool and human-selected set are points, the pool at 59k, and all are called published."""
    found = svg(tmp_path, "training-samples")
    assert {"selected by ReasonFlux-PRM-7B, published", "human-selected (s1k), published",
            "raw pool (59k rows), published"} <= set(found)  # fmt: skip
    assert {"1k", "5k", "10k", "59k"} <= set(found)
    assert {"SFT of Qwen2.5-14B-Instruct", "accuracy on MATH-500 (%)", "training samples"} <= set(found)
    assert any("read off the figure, ±0.4" in text for text in found)
    assert not any("590" in text or "measured here" in text for text in found)


def test_reward_model_size(tmp_path: Path) -> None:
    """Every reward model of the published figure is named, and the axis has its three sizes."""
    found = set(svg(tmp_path, "reward-model-size"))
    assert {"ReasonFlux-PRM-1.5B", "ReasonFlux-PRM-7B", "Qwen2.5-Math-PRM-7B", "Qwen2.5-Math-PRM-72B",
            "Skywork-PRM-7B", "1.5B", "7B", "72B"} <= found  # fmt: skip


def test_frontier(tmp_path: Path) -> None:
    """The eleven systems, the sets that are averaged, and which means are second-hand."""
    found = svg(tmp_path, "frontier")
    assert {"RRM-7B*", "RRM-32B*", "J1-Llama-70B", "J1-Llama-8B", "Athene-RM-70B", "Llama-3.1-70B judge",
            "Llama-3.1-8B judge", "InternLM2-20B", "Nemotron-4-340B", "ArmoRM-8B", "DeepSeek-GRM-27B"} <= set(found)  # fmt: skip
    assert any("MMLU-Pro, MATH and GPQA" in text for text in found)
    assert {"RRM, published", "others, published", "beyond the published frontier", "32B", "340B"} <= set(
        found
    )
    assert any(text.startswith("* the mean itself, second-hand") for text in found)
    assert not {"320B", "measured here"} & set(found)


def test_rl(tmp_path: Path) -> None:
    """The published pair with its values, hollow, and the word that nobody confirmed them."""
    found = svg(tmp_path, "rl")
    assert {"26.8", "40.9", "before RL, published", "after RL, published"} <= set(found)
    assert any("unverified" in text for text in found)


def test_ours_beside_published(tmp_path: Path) -> None:
    """Runs of the same policy and task stand beside the published points, under their own names."""
    run = run_folder(tmp_path / "sweep", sft_rows())
    found = set(svg(tmp_path, "training-samples", run))
    assert {"reasonflux-prm-7b", "random", "all", "raw pool (59k rows), published"} <= found
    assert any("Filled: measured here. Bars: 95% intervals." in text for text in found)
    sizes = set(svg(tmp_path, "reward-model-size", run))
    assert {"skywork-prm-7b", "qwen2.5-math-prm-72b", "Skywork-PRM-7B"} <= sizes
    assert not {"random", "all"} & sizes


def test_another_policy_stands_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Points of another policy are drawn without the published ones, and a notice says so."""
    run = run_folder(tmp_path / "sweep", sft_rows(policy="tiny"))
    found = svg(tmp_path, "training-samples", run)
    assert "SFT of tiny" in found
    assert not any("published" in text for text in found)
    assert "drawn without them" in caplog.text


def test_judges_on_the_frontier(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A judge's three-set mean is drawn at its size; five-set means never; no size, no point, and a notice."""
    rows = [
        row("accuracy", 0.66, judge="skywork-reward-8b", section=THREE),
        row("accuracy", 0.71, judge="my-judge:path=x", section=THREE),
        row("accuracy", 0.72, judge="unsized", section=THREE),
        row("accuracy", 0.11, judge="other-7b", section="five-set mean"),
    ]
    run = run_folder(tmp_path / "ppe", rows)
    found = set(svg(tmp_path, "frontier", run, sizes={"my-judge": 7.0}))
    assert {"skywork-reward-8b", "my-judge", "measured here"} <= found
    assert not {"unsized", "other-7b"} & found
    assert "--size unsized=BILLIONS" in caplog.text


def test_judge_run_of_other_pairs_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A judge run without the three PPE sets is left out with its name, and not by guess averaged."""
    run = run_folder(tmp_path / "mine", [row("accuracy", 0.9, judge="j-7b")])
    assert "j-7b" not in svg(tmp_path, "frontier", run)
    assert "mine is not on the frontier" in caplog.text


def test_before_and_after(tmp_path: Path) -> None:
    """Two runs of one GPQA task stand beside the published pair; of another task, alone; of two, refused."""
    sides = [run_folder(tmp_path / name, [row("mean", value)], task="gpqa_diamond") for name, value in
             (("before", 0.30), ("after", 0.38))]  # fmt: skip
    found = set(svg(tmp_path, "rl", before=sides[0], after=sides[1]))
    assert {"26.8", "40.9", "30.0", "38.0", "before RL, measured here", "before RL, published"} <= found
    aime = [run_folder(tmp_path / f"a{i}", [row("mean", 0.2)], task="aime24") for i in range(2)]
    assert not any("published" in text for text in svg(tmp_path, "rl", before=aime[0], after=aime[1]))
    with pytest.raises(UsageError, match="give two runs of one task"):
        svg(tmp_path, "rl", before=sides[0], after=aime[0])
    with pytest.raises(UsageError, match="needs both"):
        svg(tmp_path, "rl", before=sides[0])


def test_curves(tmp_path: Path) -> None:
    """Every selector is in the legend, the oracle says that it is one, and k is on the axis."""
    found = set(svg(tmp_path, "curves", best_of_n(tmp_path / "run")))
    assert {"best_of_n [prm-0, min]", "best_of_n [prm-1, min]", "pass@k (oracle)", "mean of all responses",
            "1", "2", "4", "8", "responses per problem, k"} <= found  # fmt: skip
    assert "math500, 500 problems (bands: 95% intervals)" in found


def test_many_selectors_look_different() -> None:
    """No two of the first forty-nine looks share colour and marker, and hollow is never filled."""
    looks = [style.marker(i, ours=True) for i in range(49)]
    assert len({(look["color"], look["marker"]) for look in looks}) == 49
    assert style.marker(0, ours=False)["markerfacecolor"] == "white" != looks[0]["markerfacecolor"]


def test_cost(tmp_path: Path) -> None:
    """Accuracy against each cost that all models recorded, and the word that generation is not in it."""
    cost = {
        "prm-0": {"tokens": 900, "padded_tokens": 1000, "seconds": 2.0, "flops": 1e9, "candidates": 8},
        "prm-1": {"tokens": 900, "seconds": 1.0, "candidates": 8},
    }
    run = best_of_n(tmp_path / "run", cost=cost)
    assert cost_units(read_runs([run])[0].results) == ["tokens", "seconds"]
    found = svg(tmp_path, "cost", run)
    assert sum("generation is not recorded" in text for text in found) == 2
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"cost-tokens.svg", "cost-seconds.svg"}


def test_cost_of_k_responses_is_k_shares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """1,000 tokens over 8 candidates: 125 for one response, 1,000 for eight."""
    cost = {"prm-0": {"padded_tokens": 1000, "candidates": 8}}
    run = best_of_n(tmp_path / "run", models=1, cost=cost)
    figure = drawn(monkeypatch, tmp_path, "cost", run)[0]
    assert list(figure.axes[0].lines[0].get_xdata()) == [125.0, 250.0, 500.0, 1000.0]


def test_cost_of_generating_and_scoring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """1,000 tokens of scoring and 600 of generating over 8: 200 for one response; a vote costs 75."""
    cost = {
        "generation": {"tokens": 200, "generated_tokens": 400, "candidates": 8},
        "prm-0": {"padded_tokens": 1000, "candidates": 8},
    }
    run = best_of_n(tmp_path / "run", models=1, cost=cost)
    results = json.loads((run / "results.json").read_text())
    results["metrics"] += [row("majority", 0.6, k=2**i) for i in range(4)]
    (run / "results.json").write_text(json.dumps(results))
    figure = drawn(monkeypatch, tmp_path, "cost", run)[0]
    lines = {line.get_label(): list(line.get_xdata()) for line in figure.axes[0].lines}
    assert lines == {
        "best_of_n [prm-0, min]": [200.0, 400.0, 800.0, 1600.0], "majority": [75.0, 150.0, 300.0, 600.0]}  # fmt: skip
    assert figure.axes[0].get_xlabel() == "generation and scoring per problem: tokens computed"


def drawn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, *runs: Path, **asked: Any) -> list[Any]:
    """The figures themselves, as they were saved."""
    kept: list[Any] = []
    real = style.save

    def save(figure: Any, stem: Path, formats: Any = style.FORMATS) -> list[Path]:
        kept.append(figure)
        return real(figure, stem, formats)

    monkeypatch.setattr(style, "save", save)
    save_all(runs, tmp_path / "drawn", Asked([name], ["png"], **asked))
    return kept


def boxes(figure: Any) -> list[tuple[str, Any]]:
    """Every visible text of a figure with its extent in pixels, slightly shrunk."""
    from matplotlib.text import Text

    renderer = figure.canvas.get_renderer()
    figure.draw_without_rendering()
    hidden = {
        tick  # matplotlib keeps ticks beyond the limits and does not draw them
        for axis in (figure.axes[0].xaxis, figure.axes[0].yaxis)
        for place, tick in zip(axis.get_ticklocs(), axis.get_ticklabels(), strict=True)
        if not axis.get_view_interval()[0] <= place <= axis.get_view_interval()[1]
    }
    shown = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip() and t not in hidden]
    return [(t.get_text(), Text.get_window_extent(t, renderer).padded(-0.6)) for t in shown]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("ours", [False, True])
def test_nothing_is_cut_and_no_words_overlap(
    name: str, ours: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every text lies within the picture and on no other text, with published values alone and with ours."""
    if name in ("curves", "cost") and not ours:
        pytest.skip("needs a run")
    cost = {f"prm-{m}": {"tokens": 1000, "candidates": 8} for m in range(9)}
    runs = [best_of_n(tmp_path / "bon", models=9, cost=cost), run_folder(tmp_path / "sft", sft_rows()),
            run_folder(tmp_path / "ppe", [row("accuracy", 0.60 + 0.012 * i, judge=f"judge-{i}-{size}b", section=THREE)
                                          for i, size in enumerate((7, 8, 8, 27, 70, 340))])]  # fmt: skip
    sides = [
        run_folder(tmp_path / f"gpqa{i}", [row("mean", 0.3 + i / 10)], task="gpqa_diamond") for i in range(2)
    ]
    asked = {"before": sides[0], "after": sides[1]} if ours and name == "rl" else {}
    figures = drawn(monkeypatch, tmp_path, name, *(runs if ours else []), **asked)
    assert figures
    for figure in figures:
        frame = figure.bbox
        words = boxes(figure)
        for text, box in words:
            assert frame.x0 <= box.x0 and box.x1 <= frame.x1, f"'{text}' is cut"
            assert frame.y0 <= box.y0 and box.y1 <= frame.y1, f"'{text}' is cut"
        for (a, first), (b, second) in combinations(words, 2):
            assert not first.overlaps(second), f"'{a}' and '{b}' overlap"


def test_sizes_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every figure is one column wide, and no text is smaller than six points."""
    from matplotlib.text import Text

    for name in ("training-samples", "reward-model-size", "frontier", "rl"):
        (figure,) = drawn(monkeypatch, tmp_path, name)
        assert figure.get_size_inches()[0] == 3.4
        assert min(t.get_fontsize() for t in figure.findobj(Text) if t.get_text()) >= 6
        monkeypatch.undo()


def test_same_content_same_bytes(tmp_path: Path) -> None:
    """Drawn twice, in processes with other hash seeds, SVG and PDF are equal to the byte and hold no date."""
    run = best_of_n(tmp_path / "run", cost={f"prm-{m}": {"tokens": 9, "candidates": 8} for m in range(2)})
    code = "import sys; from pathlib import Path; from prm_eval.figures import Asked, save_all; save_all([Path(sys.argv[1])], Path(sys.argv[2]), Asked(formats=['svg', 'pdf']))"
    for seed in ("1", "2"):
        subprocess.run([sys.executable, "-c", code, str(run), str(tmp_path / seed)], check=True,
                       env={"PYTHONHASHSEED": seed, "OMP_NUM_THREADS": "1", "MPLCONFIGDIR": str(tmp_path)})  # fmt: skip
    first = sorted(path for path in (tmp_path / "1").iterdir())
    assert len(first) == 6 * 2
    for path in first:
        assert path.read_bytes() == (tmp_path / "2" / path.name).read_bytes(), path.name
        if path.suffix == ".svg":
            assert "<dc:date>" not in path.read_text(encoding="utf-8")


def test_demo_curves_have_a_pdf(tmp_path: Path) -> None:
    """`save_curves`, which the demo calls, writes all three formats under the stem that it is given."""
    (run,) = read_runs([best_of_n(tmp_path / "run")])
    paths = save_curves(run.results, tmp_path / "v1.2-curves")
    assert [path.name for path in paths] == ["v1.2-curves.svg", "v1.2-curves.pdf", "v1.2-curves.png"]


def test_two_runs_two_pictures(tmp_path: Path) -> None:
    """Curves of several runs carry the runs' names, and runs of one name their parents' too."""
    runs = [best_of_n(tmp_path / "a" / "run"), best_of_n(tmp_path / "b" / "run")]
    paths = save_all(runs, tmp_path / "out", Asked(["curves"], ["svg"]))
    assert [path.name for path in paths] == ["curves-a-run.svg", "curves-b-run.svg"]


def test_refusals(tmp_path: Path) -> None:
    """Unknown figure or format, a folder that is no run, an older schema, nothing measured: one line each."""
    empty = tmp_path / "empty"
    empty.mkdir()
    old = run_folder(tmp_path / "old", [row("mean", 0.5)], schema="prm-eval/results/0")
    bare = run_folder(tmp_path / "bare", [])
    torn = run_folder(tmp_path / "torn", [])
    (torn / "results.json").write_text('{"schema": "prm-eval/res')
    judged = run_folder(tmp_path / "judged", [row("accuracy", 0.5, judge="j-7b")])
    cases: list[tuple[list[Path], Asked, type[Exception], str]] = [
        ([], Asked(["frontiers"]), UnknownName, "did you mean frontier"),
        ([], Asked(formats=["gif"]), UsageError, "no figures of format 'gif'"),
        ([empty], Asked(), UsageError, "no run folder"),
        ([old], Asked(), DataError, "expected 'prm-eval/results/1'"),
        ([bare], Asked(), DataError, "nothing was measured"),
        ([torn], Asked(), DataError, "no results of a run"),
        ([judged], Asked(["curves"]), UsageError, "folder of a best-of-n run"),
        ([], Asked(["cost"]), UsageError, "recorded what scoring cost"),
    ]
    for runs, asked, kind, words in cases:
        with pytest.raises(kind, match=re.escape(words)) as refused:
            save_all(runs, tmp_path / "out", asked)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "size"),
    [("qwen2.5-math-prm-7b", 7), ("Skywork-o1-Open-PRM-Qwen-2.5-1.5B", 1.5), ("rrm:path=/x/rrm-32b", 32),
     ("length", None), ("rlhflow-8b-from-70b", None), ("a7bc", None)],
)  # fmt: skip
def test_size_of_a_name(name: str, size: float | None) -> None:
    """The size is what the name says with a B; two sizes, or none, are not guessed."""
    assert size_of(name, {}) == size
    assert size_of(name, {name.partition(":")[0]: 3.0}) == 3.0


def test_short_names() -> None:
    """Options are left away where the name alone is enough; two of one name keep what tells them apart."""
    names = ["skywork-prm-7b:path=/m/sky,dtype=bfloat16", "rrm:path=/m/rrm-7b", "rrm:path=/m/rrm-32b,votes=5"]
    assert list(short(names).values()) == ["skywork-prm-7b", "rrm:path=rrm-7b", "rrm:path=rrm-32b,votes=5"]


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(0, 6)), min_size=1, max_size=8))
def test_frontier_is_what_nothing_dominates(points: list[tuple[int, int]]) -> None:
    """A point is on the frontier exactly when no other is as small and at least as good."""
    expected = {
        (x, y) for x, y in points
        if not any((a, b) != (x, y) and a <= x and b >= y for a, b in points)
    }  # fmt: skip
    assert set(frontier([(float(x), float(y)) for x, y in points])) == expected


def test_no_heavy_imports() -> None:
    """Drawing loads neither torch nor transformers nor lm-eval."""
    code = (
        "import sys, tempfile; from pathlib import Path; from prm_eval.figures import save_all;"
        "save_all([], Path(tempfile.mkdtemp()));"
        "print([m for m in ('torch', 'transformers', 'lm_eval', 'datasets') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_sizes_that_nobody_knows(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Of another policy, with names that say no size, nothing is left to draw: refused, and told how to help."""
    rows = [
        {**one, "reward_model": "mine", "policy": "tiny"} for one in sft_rows() if one.get("reward_model")
    ]
    run = run_folder(tmp_path / "mine", rows)
    with pytest.raises(UsageError, match=r"no 'reward-model-size' in these runs: give .*--size"):
        save_all([run], tmp_path / "out", Asked(["reward-model-size"], ["svg"]))
    assert "how large is 'mine'?" in caplog.text
    found = svg(tmp_path, "reward-model-size", run, sizes={"mine": 0.0012})
    assert "1.2M" in found and "accuracy on math500 (%)" in found


def test_words_of_ticks() -> None:
    """Sizes in billions and counts of rows, in as few characters as tell them apart."""
    assert [style.billions(size) for size in (70, 1.5, 0.5, 0.0012, 0.000051)] == [
        "70B",
        "1.5B",
        "0.5B",
        "1.2M",
        "51k",
    ]
    assert [style.thousands(count) for count in (500, 1000, 1500, 17_014, 59_000)] == [
        "500",
        "1k",
        "1.5k",
        "17k",
        "59k",
    ]
