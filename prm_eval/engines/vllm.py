"""The vLLM engine, in process: marked rows from a pooling model.

Invariant: vLLM gets our token ids, whole, and gives raw outputs of every token; rows are picked by
position. One row too few or too many makes that input Unscored.
"""

import os
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from prm_eval.engines.convert import weights_identity
from prm_eval.engines.picking import pick
from prm_eval.engines.route import TASK, Route, route
from prm_eval.errors import BadOption, CheckpointError, MissingExtra
from prm_eval.readout.checkpoint import Checkpoint
from prm_eval.readout.flops import Arithmetic
from prm_eval.readout.rendering import Head, Rendered, Rows
from prm_eval.types import Unscored

# vLLM writes its notices to standard output, which is the results' place.
SURROUNDINGS = {
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_NO_USAGE_STATS": "1",
}


class VllmEngine:
    """One checkpoint in one vLLM engine, on `tensor_parallel` GPUs or on the CPU."""

    def __init__(
        self, checkpoint: Checkpoint, head: Head, dtype: str, tensor_parallel: int, max_tokens: int | None
    ) -> None:
        vllm = _vllm()
        self._outputs = head.outputs
        self._checkpoint, self._vllm = checkpoint, vllm
        config = checkpoint.config()
        on_cpu = vllm.platforms.current_platform.is_cpu()
        self._dtype = _dtype(dtype, on_cpu, config)
        self.max_tokens = max_tokens or int(config["max_position_embeddings"])
        self.vocabulary = int(config["vocab_size"])
        chosen = route(checkpoint, head)
        self._llm = _start(vllm, chosen, self._dtype, tensor_parallel, self.max_tokens, on_cpu)
        _check_tokens(checkpoint, chosen, self._llm)
        self._device = "cpu" if on_cpu else f"{tensor_parallel} GPU"
        self._params = vllm.PoolingParams(use_activation=False)
        self._arithmetic = Arithmetic.of(config)
        self._tokens, self._flops, self._seconds = 0, 0, 0.0
        self.identity = f"vllm {weights_identity(checkpoint, head)} {self._dtype}"

    def rows(self, inputs: Sequence[Rendered]) -> list[Rows | Unscored]:
        """One float32 array [n_marks, outputs] per input, in order."""
        if not inputs:
            return []
        started = time.perf_counter()
        prompts = [self._vllm.TokensPrompt(prompt_token_ids=item.ids.tolist()) for item in inputs]
        outputs = self._llm.encode(prompts, pooling_params=self._params, pooling_task=TASK, use_tqdm=False)
        found = [self._pick(item, output) for item, output in zip(inputs, outputs, strict=True)]
        self._seconds += time.perf_counter() - started
        self._tokens += sum(len(item) for item in inputs)
        if self._arithmetic is not None:
            self._flops += sum(self._arithmetic.flops(1, len(item)) for item in inputs)
        return found

    def provenance(self) -> dict[str, str]:
        """What ran: path or hub id, revision, dtype, device, library versions."""
        import torch
        import transformers

        return {
            "path": self._checkpoint.name,
            "revision": self._checkpoint.revision or "",
            "engine": "vllm",
            "dtype": self._dtype,
            "device": self._device,
            "vllm": str(self._vllm.__version__),
            "torch": str(torch.__version__),
            "transformers": str(transformers.__version__),
        }

    def cost(self) -> dict[str, float]:
        """So far: tokens read, the same as padded_tokens (vLLM pads nothing), seconds, flops.

        No peak of memory: vLLM takes a fixed share of the device, in processes of its own.
        """
        cost = {"tokens": self._tokens, "padded_tokens": self._tokens, "seconds": self._seconds}
        return cost if self._arithmetic is None else cost | {"flops": self._flops}

    def _pick(self, item: Rendered, output: Any) -> Rows | Unscored:
        if list(output.prompt_token_ids) != item.ids.tolist():
            return Unscored(
                f"engine failure: vLLM read {len(output.prompt_token_ids)} tokens of {len(item.ids)}"
            )
        return pick(np.asarray(output.outputs.data.float().cpu().numpy()), item, self._outputs)


def _vllm() -> Any:
    """The vllm module. Raises MissingExtra without it, BadOption when it is there and broken."""
    for name, value in SURROUNDINGS.items():
        os.environ.setdefault(name, value)
    try:
        import vllm
        import vllm.inputs
        import vllm.platforms
        from vllm import LLM, PoolingParams, TokensPrompt  # noqa: F401
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "vllm":
            raise MissingExtra("vllm", "vllm") from error
        raise BadOption(f"engine=vllm: vllm lacks {error.name}: install it again") from error
    except (ImportError, RuntimeError) as error:
        raise BadOption(
            f"engine=vllm: it cannot be imported ({_line(error)}): see docs/engines.md"
        ) from error
    return vllm


def _start(vllm: Any, chosen: Route, dtype: str, tensor_parallel: int, limit: int, on_cpu: bool) -> Any:
    from vllm.config import PoolerConfig

    try:
        return vllm.LLM(
            model=str(chosen.folder),
            runner="pooling",
            convert=chosen.convert,
            hf_overrides=chosen.overrides,
            pooler_config=PoolerConfig(task=TASK, pooling_type="ALL"),
            dtype=dtype,
            max_model_len=limit,
            tensor_parallel_size=tensor_parallel,
            enforce_eager=on_cpu,  # compiling takes longer than most jobs on a CPU
        )
    except (ValueError, RuntimeError, KeyError, AssertionError) as error:
        raise CheckpointError(
            f"vLLM cannot load {chosen.folder} ({_line(error)}): correct that, or use engine=torch"
        ) from error


def _check_tokens(checkpoint: Checkpoint, chosen: Route, llm: Any) -> None:
    """vLLM finds rows of the LM head by name, with a tokenizer of its own: the numbers must be ours."""
    for name, number in chosen.tokens.items():
        theirs = llm.get_tokenizer().convert_tokens_to_ids(name)
        if theirs != number:
            raise CheckpointError(
                f"{checkpoint.name}: {name!r} is token {number} in tokenizer.json and {theirs} for vLLM: "
                "use engine=torch"
            )


def _dtype(dtype: str, on_cpu: bool, config: dict[str, Any]) -> str:
    """`auto` is float32 on a CPU, and elsewhere the checkpoint's own: vLLM's auto would take float16."""
    if dtype != "auto":
        return dtype
    return "float32" if on_cpu else str(config.get("dtype") or config.get("torch_dtype") or "float32")


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
