"""Per-token numbers of a language model, out of hidden states and the LM head.

Invariant: full-vocabulary logits exist only for `CHUNK` numbers at a time and in float32, so the
memory does not grow with the length of the text.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from prm_eval.readout.rendering import Rendered, Rows, Statistic

CHUNK = 1 << 25  # logits at a time: 128 MiB


def token_statistics(
    hidden: Tensor, targets: Tensor, weight: Tensor, names: Sequence[Statistic], chunk: int = CHUNK
) -> Tensor:
    """Float32 [n_tokens, n_names] for tokens `targets` [n], predicted from `hidden` [n, width].

    `weight` [vocabulary, width] is the LM head in float32. With z the logits and V the size of the
    vocabulary: logprob = z[token] - logsumexp(z); uniform_kl = KL(U || p) = logsumexp(z) - mean(z)
    - log V, which is self-certainty per token, - 1/V sum_j log(V p_j) (Kang et al. 2025,
    arXiv 2502.18581).
    """
    rows = max(1, chunk // len(weight))
    found = [
        _of_logits(functional.linear(hidden[n : n + rows].float(), weight), targets[n : n + rows], names)
        for n in range(0, len(targets), rows)
    ]
    return torch.cat(found)


def _of_logits(logits: Tensor, targets: Tensor, names: Sequence[Statistic]) -> Tensor:
    total = logits.logsumexp(-1)
    columns: dict[Statistic, Tensor] = {"tokens": torch.ones_like(total)}
    if "logprob" in names:
        columns["logprob"] = logits.gather(-1, targets[:, None])[:, 0] - total
    if "uniform_kl" in names:
        columns["uniform_kl"] = total - logits.mean(-1) - math.log(logits.shape[-1])
    return torch.stack([columns[name] for name in names], -1)


def span_rows(
    hidden: Tensor, batch: Sequence[Rendered], weight: Tensor, names: Sequence[Statistic]
) -> list[Rows]:
    """Sums over each span of each input: one float32 array [n_marks, n_names] per input.

    `hidden` is [n_inputs, n_positions, width]; the sums are taken in float64.
    """
    found: list[Rows] = []
    for row, item in enumerate(batch):
        last = int(item.marks[-1])
        targets = torch.from_numpy(item.ids[item.start : last + 1]).long().to(hidden.device)
        values = token_statistics(hidden[row, item.start - 1 : last], targets, weight, names)
        starts = np.concatenate([[0], item.marks[:-1] + 1 - item.start])
        sums = np.add.reduceat(values.cpu().numpy().astype(np.float64), starts, axis=0)
        found.append(sums.astype(np.float32))
    return found
