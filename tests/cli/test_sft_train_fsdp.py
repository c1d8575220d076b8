"""`prm-eval sft train` with the shipped FSDP settings: two processes share weights, gradients and optimiser.

accelerate keeps FSDP for accelerators and trains unsharded on CPUs without a word. `SHARDED` switches its
FSDP on over gloo; everything else is what `accelerate launch` does on GPUs.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from prm_eval_demo import POLICY

from .test_sft_train_command import rows, write

pytest.importorskip("trl", reason="trl is not installed: pip install 'prm-eval[sft]'")

FSDP = Path(__file__).resolve().parents[2] / "prm_eval" / "recipes" / "accelerate" / "fsdp.yaml"
BIN = Path(sys.executable).parent
SHARDED = """
import os, signal
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType
from torch.distributed.fsdp import FSDPModule
from prm_eval.cli import main
from prm_eval.training import folder
from prm_eval.training.job import Training

start, log, save = AcceleratorState.__init__, folder.TrainFolder.log, Training._save


def sharded(self, *given, fsdp_plugin=None, **more):
    start(self, *given, fsdp_plugin=fsdp_plugin, **more)
    if fsdp_plugin is not None and self.distributed_type == DistributedType.MULTI_CPU:
        self.distributed_type = PartialState._shared_state["distributed_type"] = DistributedType.FSDP
        self.fsdp_plugin = fsdp_plugin


def deadly(self, row):
    log(self, row)
    if str(row["step"]) == os.environ.get("DIE_AT"):
        os.kill(os.getpid(), signal.SIGKILL)


def looked_at(self, trainer):
    wrapped = sum(isinstance(module, FSDPModule) for module in trainer.model_wrapped.modules())
    print(f"sharded modules: {wrapped}", flush=True)
    save(self, trainer)


AcceleratorState.__init__, folder.TrainFolder.log, Training._save = sharded, deadly, looked_at
main()
"""


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.numpy import load_file

    return load_file(folder / "model.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize("more", [(), ("--set", "lora.rank=4", "--set", "gradient_checkpointing=true")],
                         ids=["full", "lora"])  # fmt: skip
def test_sharded_training_is_the_training_of_one_process(tmp_path: Path, more: tuple[str, ...]) -> None:
    """Two sharded processes end with the weights of a single one; killed at step 3 they go on from step 2."""
    import numpy as np
    from transformers import AutoModelForCausalLM

    write(tmp_path / "rows.jsonl", rows())
    (tmp_path / "sharded.py").write_text(SHARDED)
    command = ["sft", "train", "--data", "rows.jsonl", "--model", str(POLICY), "--recipe", "demo",
               "--set", "max_steps=3", "--set", "save_steps=2", *more]  # fmt: skip
    launch = [
        str(BIN / "accelerate"),
        "launch",
        "--config_file",
        str(FSDP),
        "--num_processes",
        "2",
        "sharded.py",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}

    def run(line: list[str], **extra: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            line, cwd=tmp_path, env={**environment, **extra}, capture_output=True, text=True, timeout=400
        )

    alone = run([str(BIN / "prm-eval"), *command, "--out", "one"])
    assert alone.returncode == 0, alone.stderr[-2000:]
    if not more:
        assert run([*launch, *command, "--out", "two"], DIE_AT="3").returncode != 0
        assert not (tmp_path / "two" / "train_manifest.json").exists()
    done = run([*launch, *command, "--out", "two"])
    assert done.returncode == 0, done.stderr[-2000:]
    found = re.findall(r"sharded modules: (\d+)", done.stdout)
    assert len(found) == 2 and all(int(count) >= 5 for count in found), "four layers and the whole, on both"
    manifest = json.loads((tmp_path / "two" / "train_manifest.json").read_text())
    assert (manifest["resumed_from"], manifest["batch"]["processes"]) == (None if more else 2, 2)
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    # the trainer writes the tied head once more when it gathers the shards
    assert one.keys() <= two.keys() <= one.keys() | {"lm_head.weight"}
    for name, tensor in one.items():
        np.testing.assert_allclose(two[name], tensor, atol=2e-6, err_msg=name)
    start = weights(POLICY)
    assert max(float(np.abs(one[name] - start[name]).max()) for name in one) > 1e-4, "it learned"
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "two")
    head, words = model.lm_head.weight, model.get_input_embeddings().weight
    assert np.array_equal(head.detach().numpy(), words.detach().numpy())
