"""How each kind of lm-eval back end is told the seed of one pass.

Invariant: two passes never share a seed. lm-eval itself sends one seed with every repeat to an API
server, which then answers N times the same.
"""

import copy
import hashlib
import sys
from collections.abc import Sequence

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.utils import set_torch_seed

from prm_eval.harness.replay import Replay

_SEEDS = 2**31


def seed_of(seed: int, repeat: int) -> int:
    """The seed of one repeat, in [0, 2^31): different for different repeats of one run."""
    base = int.from_bytes(hashlib.sha256(f"prm-eval {seed}".encode()).digest()[:4], "big")
    return (base + repeat) % _SEEDS


def way_of(lm: LM) -> str:
    """How this model takes a seed: with every `request` (vLLM), in the `payload` (API), from `torch`.

    `stored` for a replay, which takes none.
    """
    if isinstance(lm, Replay):
        return "stored"
    # a model can only be of a class whose module is loaded, and importing these is dear
    vllm = sys.modules.get("lm_eval.models.vllm_causallms")
    if vllm is not None and isinstance(lm, vllm.VLLM):
        return "request"
    api = sys.modules.get("lm_eval.models.api_models")
    if api is not None and isinstance(lm, api.TemplateAPI):
        return "payload"
    return "torch"


def generate(lm: LM, requests: Sequence[Instance], repeat: int, seed: int, quiet: bool) -> list[str]:
    """One pass over different requests, the repeat-th, under its seed."""
    if isinstance(lm, Replay):
        return [lm.stored(request, repeat) for request in requests]
    way = way_of(lm)
    batch = [with_seed(request, seed) for request in requests] if way == "request" else list(requests)
    # each back end gets its own bar switched off, where it has that switch
    switch = "disable_tqdm" in getattr(lm.generate_until, "__annotations__", {})
    options = {"disable_tqdm": True} if quiet and switch else {}
    if way != "payload":
        set_torch_seed(seed)
        return list(lm.generate_until(batch, **options))
    before, lm._seed = lm._seed, seed
    try:
        return list(lm.generate_until(batch, **options))
    finally:
        lm._seed = before


def with_seed(request: Instance, seed: int) -> Instance:
    """A copy of the request that carries the seed in its sampling parameters."""
    context, sampling, *rest = request.arguments
    seeded = copy.copy(request)
    seeded.arguments = (context, {**sampling, "seed": seed}, *rest)
    return seeded
