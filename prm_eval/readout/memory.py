"""How much memory scoring took at its worst.

Invariant: bytes, and a peak: on a GPU that of this process since the model began to load, elsewhere
the largest resident set of this process so far, with all that it held beside the model.
"""

import resource
import sys

import torch


def forget_peak(device: str) -> None:
    """Start anew where that can be done, on a GPU."""
    if torch.device(device).type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: str) -> int:
    """The peak in bytes: torch's allocations on a GPU, else the resident set."""
    if torch.device(device).type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage(2): bytes there, KiB on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
