"""The whole job on vLLM: a policy that generates through lm-eval's back end, a reward model beside it.

Needs vLLM and lm-eval in one environment: `make test-engines`.
"""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from heads import Report
from prm_eval_demo import POLICY, PRM

pytestmark = pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed: make test-engines")


def test_best_of_n_on_vllm(tmp_path: Path, report: Report) -> None:
    """`best-of-n --model vllm` with `engine=vllm`: N different responses, and the torch engine's scores."""
    other = f"qwen-prm:path={PRM},engine=vllm,max_tokens=1024"
    command = [
        Path(sys.executable).parent / "prm-eval", "best-of-n", "--task", "demo", "--model", "vllm",
        "--model-args", f"pretrained={POLICY},dtype=float32,enforce_eager=True,max_model_len=512",
        "--n", "4", "--limit", "16", "--reward-model", "demo-prm", "--reward-model", other,
        "--out", tmp_path / "run", "--json",
    ]  # fmt: skip
    environment = os.environ | {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_KVCACHE_SPACE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=400)
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads(done.stdout)  # standard output is the results and nothing else
    assert results["provenance"][other]["engine"] == "vllm"
    rows = [json.loads(line) for line in (tmp_path / "run" / "scores.jsonl").read_text().splitlines()]
    by_model = {name: {(r["problem_id"], r["index"]): r for r in rows if r["model"] == name}
                for name in ("demo-prm", other)}  # fmt: skip
    assert len(by_model["demo-prm"]) == 16 * 4
    assert by_model["demo-prm"].keys() == by_model[other].keys()
    pairs = [(row, by_model[other][key]) for key, row in by_model["demo-prm"].items()]
    scored = [(one["steps"], two["steps"]) for one, two in pairs if one["steps"] is not None]
    assert len(scored) > 50
    assert [one["unscored"] for one, _ in pairs] == [two["unscored"] for _, two in pairs]
    largest = max(abs(a - b) for one, two in scored for a, b in zip(one, two, strict=True))
    report("qwen prm, trained (P(good))", "vllm, best-of-n", largest)
    assert largest < 1e-4
    candidates = [
        json.loads(line) for line in (tmp_path / "run" / "candidates.jsonl").read_text().splitlines()
    ]
    texts: dict[str, set[str]] = {}
    for row in candidates:
        texts.setdefault(row["problem_id"], set()).add(row["response"])
    assert sum(len(found) > 1 for found in texts.values()) > 8
    best = {
        m["reward_model"]: m["value"]
        for m in results["metrics"]
        if m["metric"] == "best_of_n" and m["k"] == 4
    }
    assert best["demo-prm"] == best[other]
