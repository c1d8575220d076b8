"""Token statistics: log-probabilities and self-certainty by spans, against transformers' own logits."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_checkpoint import byte_tokenizer, save_causal

from prm_eval.readout import Head, rendered
from prm_eval.readout.checkpoint import locate
from prm_eval.readout.forward import TorchEngine
from prm_eval.readout.statistics import token_statistics

NAMES = ("logprob", "uniform_kl", "tokens")
HEAD = Head(("lm_head",), outputs=3, bias=False, stray=(), statistics=NAMES)


@pytest.mark.parametrize("chunk", [1, 70, 10_000])
def test_formulas(chunk: int) -> None:
    """Chunks of any size give log p(token) and - 1/V sum log(V p), written out in float64."""
    generator = torch.Generator().manual_seed(0)
    hidden, weight = torch.randn(9, 8, generator=generator), torch.randn(31, 8, generator=generator)
    targets = torch.randint(0, 31, (9,), generator=generator)
    found = token_statistics(hidden, targets, weight, NAMES, chunk)
    for row, (h, token) in enumerate(zip(hidden.double(), targets.tolist(), strict=True)):
        p = torch.softmax(weight.double() @ h, 0)
        certainty = -sum(math.log(31 * float(q)) for q in p) / 31
        assert found[row].tolist() == pytest.approx([math.log(p[token]), certainty, 1.0], abs=1e-5)


def test_uniform_is_zero() -> None:
    """A model that knows nothing has self-certainty 0 and log-probability -log V."""
    found = token_statistics(torch.zeros(2, 4), torch.tensor([0, 3]), torch.ones(7, 4), NAMES)
    np.testing.assert_allclose(found.numpy(), [[-math.log(7), 0, 1]] * 2, atol=1e-6)


def test_spans(tmp_path: Path) -> None:
    """Sums over each span, in batches with padding, equal those of one plain forward pass each."""
    model = save_causal(tmp_path, "llama", byte_tokenizer([]), {}, seed=2)
    engine = TorchEngine(locate(str(tmp_path), None), HEAD, "float32", "cpu", 200)
    items = [rendered(list(range(5, 25)), [6, 7, 15, 19], 3), rendered([40, 41, 42], [2], 1)]
    for item, rows in zip(items, engine.rows(items), strict=True):
        ids = torch.from_numpy(item.ids).long()
        with torch.no_grad():
            logs = model(input_ids=ids[None]).logits[0].double().log_softmax(-1)
        expected, begin = [], item.start
        for mark in item.marks.tolist():
            span = range(begin, mark + 1)
            size = logs.shape[-1]
            certainty = [-(math.log(size) + float(logs[t - 1].mean())) for t in span]
            expected.append([sum(float(logs[t - 1, ids[t]]) for t in span), sum(certainty), len(span)])
            begin = mark + 1
        np.testing.assert_allclose(rows, expected, atol=1e-4, rtol=1e-6)
