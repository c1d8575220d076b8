"""Where the stages of a sweep run: in processes on this machine, or as tasks of a Ray cluster.

Invariant: a stage gets the very words of its command; what it prints lies in its log, in both places.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prm_eval.engines.workers import connect
from prm_eval.sweep.cells import Stage

# a command as it is typed, and the same in this very installation
_PROGRAMS = {
    "prm-eval": ("-m", "prm_eval.cli"),
    "accelerate": ("-m", "accelerate.commands.accelerate_cli"),
}


def words_of(stage: Stage) -> list[str]:
    """The command as a process of this interpreter."""
    program, *rest = stage.command
    return [sys.executable, *_PROGRAMS[program], *rest]


class LocalRunner:
    """Processes on this machine, `jobs` at once.

    With `gpus` per stage, slot i sees the i-th `gpus` devices of CUDA_VISIBLE_DEVICES (or of 0, 1, ...).
    CPU threads are shared out, unless OMP_NUM_THREADS says otherwise.
    """

    def __init__(self, jobs: int, gpus: int | None = None) -> None:
        self._jobs, self._gpus = jobs, gpus
        self.running: dict[int, subprocess.Popen[bytes]] = {}
        self._lock = threading.Lock()
        self._stopped = False

    def run(self, stage: Stage, log: Path, slot: int) -> int:
        """Run and wait; the exit status."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            output.write(f"$ {stage.line}\n".encode())
            output.flush()
            with self._lock:
                if self._stopped:
                    return 130
                process = subprocess.Popen(
                    words_of(stage), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                    env={**os.environ, **self.surroundings(slot)},
                )  # fmt: skip
                self.running[process.pid] = process
            try:
                return process.wait()
            finally:
                self.running.pop(process.pid, None)

    def surroundings(self, slot: int) -> dict[str, str]:
        """What of the environment is this slot's own."""
        own = {}
        if "OMP_NUM_THREADS" not in os.environ:
            own["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // self._jobs))
        if self._gpus is not None:
            visible = os.environ.get("CUDA_VISIBLE_DEVICES")
            given = visible.split(",") if visible else list(map(str, range(self._jobs * self._gpus)))
            own["CUDA_VISIBLE_DEVICES"] = ",".join(given[slot * self._gpus : (slot + 1) * self._gpus])
        return own

    def stop(self) -> None:
        """End what is running; every command can be killed and goes on when it is run again."""
        with self._lock:
            self._stopped = True
            for process in list(self.running.values()):
                process.terminate()


class RayRunner:
    """Tasks of a Ray cluster, whose machines share the sweep's folder and have prm-eval installed."""

    def __init__(self, workers: int, address: str | None, gpus: int | None = None) -> None:
        self._ray = connect(workers, address)
        task = self._ray.remote(_on_worker)
        self._task = task.options(num_cpus=1, num_gpus=gpus or 0, max_retries=2)
        self._running: list[Any] = []

    def run(self, stage: Stage, log: Path, slot: int) -> int:  # noqa: ARG002 - Ray places it
        """Run and wait; the exit status. A task whose machine was lost is done again, twice at most."""
        reference = self._task.remote(words_of(stage)[1:], str(Path.cwd()))
        self._running.append(reference)
        try:
            status, said = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            status, said = 1, f"the task was lost: {error}"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(f"$ {stage.line}\n{said}", encoding="utf-8")
        return int(status)

    def stop(self) -> None:
        """Cancel what is running."""
        for reference in self._running:
            self._ray.cancel(reference, force=True)


def _on_worker(words: Sequence[str], folder: str) -> tuple[int, str]:
    """In the worker: the command in the sweep's folder; its status and what it printed."""
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, check=False, env=_environment(),
    )  # fmt: skip
    return done.returncode, done.stdout.decode("utf-8", "replace")


def _environment() -> Mapping[str, str]:
    """One thread for each CPU of the task, as Ray counts them."""
    return {"OMP_NUM_THREADS": "1", **os.environ}
