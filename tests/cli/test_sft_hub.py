"""`--pool hub:OWNER/NAME` against a hub on this machine: streamed, pinned, gone on with, failing in one line."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .fake_hub import FakeHub, serving

pyarrow = pytest.importorskip("pyarrow")
SHARDS = [f"data/train-{shard:05d}-of-00003.parquet" for shard in range(3)]
ROWS = 2500  # of a shard


def rows() -> list[dict[str, Any]]:
    return [
        {"question": f"Q{n}?", "thinking_trajectories": [f"t{n}"], "attempt": f"A{n}", "source_type": "x"}
        for n in range(3 * ROWS)
    ]


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FakeHub]:
    """Three Parquet files of 2,500 rows, as the hub holds s1's pool."""
    import pyarrow.parquet

    (tmp_path / "repo" / "data").mkdir(parents=True)
    for shard, name in enumerate(SHARDS):
        table = pyarrow.Table.from_pylist(rows()[shard * ROWS : (shard + 1) * ROWS])
        pyarrow.parquet.write_table(table, tmp_path / "repo" / name, row_group_size=500)
    with serving(FakeHub("owner/name", tmp_path / "repo", "a" * 40)) as found:
        yield found


def select(
    folder: Path, url: str, *more: str, pool: str = "hub:owner/name"
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HF_ENDPOINT": url, "HF_HUB_OFFLINE": "0", "HF_HOME": str(folder / "hf")}
    command = [str(Path(sys.executable).parent / "prm-eval"), "sft", "select", "--pool", pool, "--preset", "s1-59k",
               "--no-decontaminate", "--by", "random", "--top", "20", *more]  # fmt: skip
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


def files_asked(hub: FakeHub) -> set[str]:
    return {name for name in SHARDS if any(line.endswith(name) for line in hub.asked)}


def test_a_dry_run_asks_for_one_row(hub: FakeHub, tmp_path: Path) -> None:
    """Preset and revision are checked against the first file; nothing is written, and no other file is asked for."""
    done = select(tmp_path, hub.url, "--out", "run", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert f"hub:owner/name@{'a' * 40}#train: not counted" in done.stdout
    assert "thinking from 'thinking_trajectories'" in done.stdout
    assert files_asked(hub) == {SHARDS[0]} and not (tmp_path / "run").exists()
    wrong = select(tmp_path, hub.url, "--preset", "limo", "--dry-run")
    assert wrong.returncode == 2
    assert "the preset 'limo' wants the column 'solution'; there are attempt, question" in wrong.stderr


@pytest.mark.slow
def test_a_stream_that_breaks_goes_on_at_the_same_revision(hub: FakeHub, tmp_path: Path) -> None:
    """A file that fails ends the run in one line; the next run asks neither for earlier files nor for a newer commit."""
    whole = select(tmp_path, hub.url, "--out", "whole")
    assert whole.returncode == 0, whole.stderr
    hub.broken = {SHARDS[2]}
    torn = select(tmp_path, hub.url, "--out", "torn")
    assert torn.returncode == 2 and "Traceback" not in torn.stderr
    (line,) = [text for text in torn.stderr.splitlines() if "error" in text]
    assert line.startswith("prm-eval: error: --pool hub:owner/name: the hub gave RemoteEntryNotFoundError")
    assert line.endswith("which goes on where it was, or download its files and name them with --pool")
    hub.broken, hub.main = set(), "b" * 40
    hub.asked.clear()
    again = select(tmp_path, hub.url, "--out", "torn")
    assert again.returncode == 0, again.stderr
    assert SHARDS[2] in files_asked(hub)
    assert sum(line.endswith(SHARDS[0]) for line in hub.asked) <= 1, "its columns are looked at once, no more"
    for name in ("selected.jsonl", "selection.jsonl", "card.json"):
        assert (tmp_path / "torn" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    card = json.loads((tmp_path / "torn" / "card.json").read_text())
    assert card["pool"][0]["file"] == f"hub:owner/name@{'a' * 40}#train"
    assert card["stages"][0]["left"] == 3 * ROWS
    spooled = next((tmp_path / "torn" / "work").glob("hub-*.jsonl"))
    assert [json.loads(text) for text in spooled.read_text().splitlines()] == rows()
    assert not list((tmp_path / "torn" / "work").glob("*.state.json"))


def test_a_hub_that_does_not_answer(tmp_path: Path) -> None:
    """Nobody at that address: one line, status 2."""
    done = select(tmp_path, "http://127.0.0.1:9", "--out", "run")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert done.stderr.count("error") == 1
    assert "prm-eval: error: --pool hub:owner/name: the hub gave Connect" in done.stderr


def test_what_the_hub_does_not_have(hub: FakeHub, tmp_path: Path) -> None:
    """Another data set, another split: one line each, with the name that was given."""
    missing = select(tmp_path, hub.url, "--out", "a", pool="hub:owner/other")
    assert (missing.returncode, "--pool hub:owner/other: the hub gave" in missing.stderr) == (2, True)
    split = select(tmp_path, hub.url, "--out", "b", "--split", "test")
    assert split.returncode == 2 and "Traceback" not in split.stderr
    assert "--pool hub:owner/name: the hub gave ValueError" in split.stderr and "test" in split.stderr
