"""Facility location against plain greedy, against all subsets, and through a whole selection."""

import itertools
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sft_support import PLAN, chosen, read, removed, row, selection, silent

from prm_eval.errors import DataError, UsageError
from prm_eval.sft import vectors
from prm_eval.sft.coverage import FacilityLocation
from prm_eval.sft.intake import lot
from prm_eval.sft.vectors import write_vectors

FACILITY = replace(PLAN, by="facility-location", embedding="e", top=12)


def cosines(points: Any) -> Any:
    """Similarity of all pairs, a negative cosine as 0; of the vectors as float32 holds them."""
    units = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32).astype(np.float64)
    return np.maximum(units @ units.T, 0.0)


def value(similar: Any, quality: Any, weight: float, top: int, chosen: Any) -> float:
    """The objective as it is written down."""
    places = list(chosen)
    diverse = similar[:, places].max(axis=1).mean() if places else 0.0
    return float((1 - weight) * diverse + weight / top * quality[places].sum())


def plain_greedy(similar: Any, quality: Any, weight: float, top: int, lots: Any) -> list[int]:
    """Every gain of every row, computed anew for every choice."""
    kept: list[int] = []
    for _ in range(top):
        now = value(similar, quality, weight, top, kept)
        left = [n for n in range(len(similar)) if n not in kept]
        gains = {n: round(value(similar, quality, weight, top, [*kept, n]) - now, 12) for n in left}
        kept.append(min(left, key=lambda n: (-gains[n], lots[n])))
    return kept


def unit(points: Any) -> Any:
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def location(
    folder: Path, points: Any, lots: Any, quality: Any, weight: float, top: int, groups: Any = None
) -> FacilityLocation:
    count = len(points)
    held = write_vectors(folder / f"{count}-{weight}-{top}.f32", count, iter(unit(points)))
    groups = np.zeros(count, dtype=np.int8) if groups is None else groups
    found = FacilityLocation(held, lots, groups, quality, weight, top)
    found.prepare(folder / f"{count}-{weight}-{top}.gains")
    return found


def take(found: FacilityLocation, top: int) -> list[int]:
    kept = []
    for place in found.offers():
        found.keep(place)
        kept.append(place)
        if len(kept) == top:
            break
    return kept


@pytest.mark.parametrize("weight", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("seed", range(4))
def test_corrected_gains_are_those_of_plain_greedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, weight: float
) -> None:
    """The same rows in the same order, with ties of twins broken by lot, however small the blocks are."""
    draw = np.random.default_rng(seed)
    points = draw.normal(size=(70, 4))
    points[50:] = points[:20]  # twins
    lots, quality = draw.permutation(70), draw.integers(0, 4, size=70) / 3
    expected = plain_greedy(cosines(points), quality, weight, 15, lots)
    for block in (512, 7, 1):
        monkeypatch.setattr(vectors, "_BLOCK_ROWS", block)
        folder = tmp_path / str(block)
        folder.mkdir()
        found = location(folder, points, lots, quality, weight, 15)
        assert take(found, 15) == expected
        assert found.coverage == pytest.approx(cosines(points)[:, expected].max(axis=1).mean(), abs=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_greedy_reaches_its_share_of_the_best(tmp_path: Path, seed: int) -> None:
    """At least 1 - 1/e of the best of all subsets, and never more than that best."""
    draw = np.random.default_rng(seed)
    points, quality, weight = draw.normal(size=(11, 3)), draw.random(11), (0.0, 0.4)[seed % 2]
    similar = cosines(points)
    best = max(value(similar, quality, weight, 4, subset) for subset in itertools.combinations(range(11), 4))
    found = take(location(tmp_path, points, np.arange(11), quality, weight, 4), 4)
    assert (1 - 1 / np.e) * best <= value(similar, quality, weight, 4, found) <= best + 1e-12


def test_one_centre_by_hand(tmp_path: Path) -> None:
    """Five rows in a fan, one apart: the middle of the fan is first, then the one apart."""
    angles = np.radians([0, 10, 20, 30, 40, 200])
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    found = location(tmp_path, points, np.arange(6), np.zeros(6), 0.0, 2)
    assert take(found, 2) == [2, 5]
    near = [np.cos(np.radians(d)) for d in (20, 10, 0, 10, 20, 0)]
    assert found.coverage == pytest.approx(np.mean(near), abs=1e-7)


def test_groups_come_one_after_the_other(tmp_path: Path) -> None:
    """All rows of the first group before any of the second, which goes on from what the first covers."""
    draw = np.random.default_rng(0)
    points, lots = draw.normal(size=(30, 3)), np.arange(30)
    groups = (np.arange(30) >= 6).astype(np.int8)
    order = take(location(tmp_path, points, lots, np.zeros(30), 0.0, 10, groups), 10)
    assert sorted(order[:6]) == list(range(6))
    similar = cosines(points)
    for place in range(6, 10):
        gains = {n: value(similar, np.zeros(30), 0, 10, [*order[:place], n]) for n in range(30)}
        assert gains[order[place]] == pytest.approx(max(gains.values()), abs=1e-12)


def test_a_killed_comparison_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole blocks of gains that are on the disk are not computed again; a torn one is."""
    monkeypatch.setattr(vectors, "_BLOCK_ROWS", 8)
    points = np.random.default_rng(2).normal(size=(40, 3))
    held = write_vectors(tmp_path / "e.f32", 40, iter(unit(points)))

    def fresh() -> FacilityLocation:
        return FacilityLocation(held, np.arange(40), np.zeros(40, dtype=np.int8), np.zeros(40), 0.0, 10)

    whole = fresh()
    whole.prepare(tmp_path / "whole")
    data = (tmp_path / "whole").read_bytes()
    (tmp_path / "torn").write_bytes(data[: 8 * 20 + 3])
    told: list[int] = []
    resumed = fresh()
    resumed.prepare(tmp_path / "torn", lambda done, total: told.append(done))
    assert told == [24, 32, 40]
    assert (tmp_path / "torn").read_bytes() == data
    assert take(resumed, 10) == take(whole, 10)


def pool(count: int = 40) -> tuple[list[dict[str, Any]], Any]:
    draw = np.random.default_rng(5)
    points, scores = draw.normal(size=(count, 3)), draw.integers(0, 30, size=count)
    rows = [row(f"p{n}", score=int(scores[n]) - 7, e=[float(x) for x in points[n]]) for n in range(count)]
    return rows, points


@pytest.mark.parametrize("weight", [None, 0.5])
def test_a_whole_selection(tmp_path: Path, weight: float | None) -> None:
    """What is chosen out of a pool is what plain greedy takes; scores count from their lowest to their highest."""
    rows, points = pool()
    selection(tmp_path, rows, replace(FACILITY, score_weight=weight)).run(silent)
    scores = np.array([one["meta"]["score"] for one in rows], dtype=float)
    quality = (scores - scores.min()) / (scores.max() - scores.min())
    lots = [lot(0, n + 1) for n in range(40)]
    expected = plain_greedy(cosines(points), quality, weight or 0.0, 12, lots)
    assert chosen(tmp_path) == [(f"p{n}", 0) for n in expected]
    card = json.loads((tmp_path / "card.json").read_text())
    near = cosines(points)[:, expected].max(axis=1).mean()
    assert card["selected"]["coverage"] == pytest.approx(near, rel=1e-5)
    assert "nearest chosen one 0." in (tmp_path / "CARD.md").read_text()


def test_weight_one_is_the_order_of_the_scores(tmp_path: Path) -> None:
    """With all weight on the scores the choice is that of --by best."""
    rows, _ = pool()
    for name, plan in (("a", replace(FACILITY, score_weight=1.0)), ("b", replace(PLAN, by="best", top=12))):
        (tmp_path / name).mkdir()
        selection(tmp_path / name, rows, plan).run(silent)
    assert chosen(tmp_path / "a") == chosen(tmp_path / "b")


def test_rules_hold_and_refused_rows_are_covered(tmp_path: Path) -> None:
    """A row that a rule leaves out is not chosen, is told, and stays among those that are to be covered."""
    rows, points = pool()
    for n, one in enumerate(rows):
        one["problem"] = f"Problem {n % 8}?"
    selection(tmp_path, rows, replace(FACILITY, per_problem=1, top=8)).run(silent)
    similar, kept = cosines(points), list[int]()
    for _ in range(8):
        left = [n for n in range(40) if n % 8 not in {k % 8 for k in kept}]
        kept.append(max(left, key=lambda n: value(similar, np.zeros(40), 0, 8, [*kept, n])))
    assert chosen(tmp_path) == [(f"p{n}", 0) for n in kept]
    assert set(removed(tmp_path).values()) == {"per problem"}


def test_verified_rows_come_first(tmp_path: Path) -> None:
    """`--verified first`: right answers before all others, each part by facility location."""
    rows, _ = pool()
    for n, one in enumerate(rows):
        one["correct"] = n % 7 == 0
    selection(tmp_path, rows, replace(FACILITY, verified="first")).run(silent)
    right = [line["verified"] for line in read(tmp_path / "selection.jsonl")]
    assert right == [True] * 6 + [False] * 6


def test_same_bytes_twice(tmp_path: Path) -> None:
    """A second run in the folder, and one in another folder with other chunks, give the same files."""
    rows, _ = pool()
    names = ("selected.jsonl", "selection.jsonl", "removed.jsonl", "card.json", "CARD.md")
    for name, chunk in (("a", 3), ("b", 1000)):
        (tmp_path / name).mkdir(exist_ok=True)
        selection(tmp_path / name, rows, replace(FACILITY, score_weight=0.5), chunk=chunk).run(silent)
    first = [(tmp_path / "a" / name).read_bytes() for name in names[:3]]
    assert first == [(tmp_path / "b" / name).read_bytes() for name in names[:3]]
    before = [(tmp_path / "a" / name).read_bytes() for name in names]
    selection(tmp_path / "a", None, replace(FACILITY, score_weight=0.5)).run(silent)
    assert before == [(tmp_path / "a" / name).read_bytes() for name in names]


def test_a_row_without_an_embedding(tmp_path: Path) -> None:
    """It ends the command with its file, line and column."""
    rows, _ = pool()
    del rows[5]["e"]
    with pytest.raises(DataError, match=r"pool.jsonl:6: field 'e': expected an embedding"):
        selection(tmp_path, rows, FACILITY).run(silent)


def test_a_disk_that_is_too_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the embeddings need is compared with what is free before the first is written."""
    monkeypatch.setattr(vectors.shutil, "disk_usage", lambda path: SimpleNamespace(free=100))
    rows, _ = pool()
    with pytest.raises(UsageError, match=r"40 embeddings need .* GB of disk, .* are free: let fewer rows"):
        selection(tmp_path, rows, FACILITY).run(silent)
    assert not list((tmp_path / "work").glob("embeddings-*"))
