"""vLLM in process and as a server against the torch engine, for every kind of head it has a class for.

Needs vLLM with a usable platform: `make test-engines` builds that environment for the CPU.
"""

import shlex
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from heads import KINDS, Report, candidates
from serving import serving

from prm_eval.engines.route import route
from prm_eval.engines.server import ServerEngine
from prm_eval.engines.vllm import VllmEngine
from prm_eval.readout import Family, Rendered, Tokens
from prm_eval.readout.checkpoint import Checkpoint
from prm_eval.readout.forward import TorchEngine
from prm_eval.types import Unscored

pytestmark = pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed: make test-engines")
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """A tiny checkpoint of each kind, and a cache of our own for the converted ones."""
    found = {kind: tmp_path_factory.mktemp(kind.replace(" ", "-").replace(",", "")) for kind in KINDS}
    for kind, folder in found.items():
        KINDS[kind].write(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRM_EVAL_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield found


def parts(kind: str, folder: Path) -> tuple[Checkpoint, Family, list[Rendered]]:
    family = KINDS[kind].family(Tokens(folder))
    items = [item for item in map(family.render, candidates(24)) if isinstance(item, Rendered)]
    assert len({len(item) for item in items}) > 5
    return Checkpoint(folder, str(folder), None), family, items


def difference(
    checkpoint: Checkpoint, family: Family, items: Sequence[Rendered], found: Sequence[object]
) -> float:
    """The largest one; every input must have a row per mark, and the rows must not be alike."""
    wanted = TorchEngine(checkpoint, family.head, "float32", "cpu", 4096).rows(items)
    assert np.concatenate(wanted).std() > 0.05
    for item, rows in zip(items, found, strict=True):
        assert isinstance(rows, np.ndarray), rows
        assert rows.shape == (len(item.marks), family.head.outputs)
    return max(float(np.abs(a - b).max()) for a, b in zip(wanted, found, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_in_process(kind: str, folders: dict[str, Path], report: Report) -> None:
    """vLLM fed our ids gives the torch engine's raw rows, one per mark; its limit is the model's own."""
    checkpoint, family, items = parts(kind, folders[kind])
    engine = VllmEngine(checkpoint, family.head, "auto", 1, 128)
    largest = difference(checkpoint, family, items, engine.rows(items))
    report(kind, "vllm, ALL", largest)
    assert largest < TOLERANCE
    alone = TorchEngine(checkpoint, family.head, "float32", "cpu", 1)  # batches of one: no padding either
    alone.rows(items)
    ours, theirs = alone.cost(), engine.cost()
    assert theirs["tokens"] == theirs["padded_tokens"] == ours["tokens"]
    assert 0.9 * ours["flops"] < theirs["flops"] <= ours["flops"]  # which counts the head's rows too
    ids = np.resize(items[0].ids, 128)
    (whole,) = engine.rows([Rendered(ids, np.arange(128, dtype=np.int32))])
    assert isinstance(whole, np.ndarray)
    assert len(whole) == 128
    assert engine.rows([]) == []
    assert engine.provenance()["dtype"] == "float32"


def test_server_all(folders: dict[str, Path], report: Report) -> None:
    """A server started with the command that prm-eval prints gives the same rows, over HTTP."""
    kind = "value head, converted"
    checkpoint, family, items = parts(kind, folders[kind])
    with serving(route(checkpoint, family.head).command()) as url:
        engine = ServerEngine(checkpoint, family.head, url)
        assert engine.max_tokens == 512
        largest = difference(checkpoint, family, items, engine.rows(items))
        long = Rendered(np.resize(items[0].ids, 513), np.asarray([512], np.int32))
        (refused,) = engine.rows([long])
    report(kind, "server, ALL", largest)
    assert largest < TOLERANCE
    assert isinstance(refused, Unscored)
    assert refused.reason.startswith("server refused: status 400")


def test_server_step(folders: dict[str, Path], report: Report) -> None:
    """A Qwen PRM served with STEP pooling gives the marks' rows; killed in the middle, it says so."""
    kind = "qwen prm"
    checkpoint, family, items = parts(kind, folders[kind])
    tag = int(items[0].ids[items[0].marks[0]])
    pooler = f'{{"task":"token_classify","pooling_type":"STEP","step_tag_id":{tag}}}'
    command = f"vllm serve {checkpoint.folder} --runner pooling --pooler-config {shlex.quote(pooler)}"
    with serving(command) as url:
        engine = ServerEngine(checkpoint, family.head, url, first_pause=0.01)
        largest = difference(checkpoint, family, items, engine.rows(items))
        report(kind, "server, STEP", largest)
        assert largest < TOLERANCE
    gone = engine.rows(items)
    assert all(isinstance(rows, Unscored) and rows.kind == "server failed" for rows in gone)
