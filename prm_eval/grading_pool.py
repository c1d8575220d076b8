"""Grading workers from the caller's side: lent to one thread at a time, killed when they take too long.

Invariant: every job ends within its limit with a result or with `Unscored`; a kill loses one job.
"""

import atexit
import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prm_eval.errors import PrmEvalError
from prm_eval.types import Unscored

_PROGRAM = Path(__file__).with_name("grading_worker.py")
_START_LIMIT = 120.0
_KEEP = 4


class Worker:
    """One child process, started at its first job and again after it was killed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._replies: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.jobs = 0

    def run(self, operation: str, *args: str, limit: float) -> Any:
        """The result of `operation(*args)`, or `Unscored` when it fails or takes over `limit` seconds.

        Raises PrmEvalError when math-verify is missing or does not work here.
        """
        process = self._running()
        self.jobs += 1
        job = json.dumps({"op": operation, "args": args, "limit": limit})
        try:
            assert process.stdin is not None
            process.stdin.write(job.encode("ascii") + b"\n")
            process.stdin.flush()
            reply = self._replies.get(timeout=limit)
        except queue.Empty:
            self.close()
            return Unscored(f"math-verify took longer than {limit:g} s")
        except OSError:
            reply = b""
        except BaseException:
            self.close()  # its reply would be taken for the next job's
            raise
        if not reply:
            code = process.wait()
            self.close()
            return Unscored(f"the grading worker died (exit code {code})")
        answer = json.loads(reply)
        return Unscored(answer["error"]) if "error" in answer else answer["result"]

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.close()
        # Own session: Ctrl-C reaches the caller alone, which then closes the pipe and so ends this.
        process = subprocess.Popen(
            [sys.executable, "-P", str(_PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._process, self._replies = process, queue.SimpleQueue()
        threading.Thread(target=_forward, args=(process, self._replies), daemon=True).start()
        try:
            hello = json.loads(self._replies.get(timeout=_START_LIMIT) or b"{}")
        except queue.Empty:
            hello = {"broken": f"no sign of life for {_START_LIMIT:g} s"}
        except BaseException:
            self.close()
            raise
        if not hello.get("ready"):
            self.close()
            reason = hello.get("broken", "its process ended at once")
            raise PrmEvalError(
                f"math-verify does not work here ({reason}), nothing can be graded: "
                "pip install 'math-verify[antlr4_11_0]>=0.9'"
            )
        return process

    def close(self) -> None:
        """End the process, whatever it is doing."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            if process.stdin is not None:
                with contextlib.suppress(OSError):  # a job was still buffered
                    process.stdin.close()


def _forward(process: "subprocess.Popen[bytes]", replies: "queue.SimpleQueue[bytes]") -> None:
    assert process.stdout is not None
    with process.stdout as lines:
        for line in lines:
            replies.put(line)
    replies.put(b"")


_idle: list[Worker] = []
_lock = threading.Lock()
_owner = os.getpid()


@contextlib.contextmanager
def lend() -> Iterator[Worker]:
    """A worker for the caller alone, warm when one is idle."""
    global _owner
    with _lock:
        if _owner != os.getpid():  # after a fork the pipes still belong to the parent
            _idle.clear()
            _owner = os.getpid()
        worker = _idle.pop() if _idle else Worker()
    try:
        yield worker
    finally:
        with _lock:
            kept = len(_idle) < _KEEP
            if kept:
                _idle.append(worker)
        if not kept:
            worker.close()


@atexit.register
def close_idle() -> None:
    """End every idle worker; the next job starts a new one."""
    with _lock:
        workers = _idle[:]
        _idle.clear()
    if _owner == os.getpid():
        for worker in workers:
            worker.close()
