"""A vLLM server for a test: started with the command line that prm-eval prints, stopped at the end."""

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

STARTING = 600.0  # seconds: a busy machine takes minutes


@contextmanager
def serving(command: str) -> Iterator[str]:
    """The server of a `vllm serve` command line, without its shell script; yields its url."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = shlex.split(command)
    assert words[:2] == ["vllm", "serve"]
    program = [str(Path(sys.executable).parent / "vllm"), "serve", *words[2:], "--port", str(port)]
    program += ["--host", "127.0.0.1", "--dtype", "float32", "--enforce-eager", "--max-model-len", "512"]
    environment = os.environ | {"VLLM_ENABLE_V1_MULTIPROCESSING": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}
    log = Path(os.environ["PRM_EVAL_CACHE"]) / f"server-{port}.log"
    with (
        log.open("wb") as out,
        subprocess.Popen(program, stdout=out, stderr=out, env=environment, start_new_session=True) as server,
    ):
        try:
            _wait(f"http://127.0.0.1:{port}/health", server, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            with suppress(subprocess.TimeoutExpired):
                server.wait(30)
            with suppress(ProcessLookupError):  # its engine would live on where it starts too slowly
                os.killpg(server.pid, signal.SIGKILL)


def _wait(url: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + STARTING
    while time.monotonic() < until:
        assert server.poll() is None, log.read_text(errors="replace")[-3000:]
        try:
            with urlopen(url, timeout=5):
                return
        except (URLError, OSError):
            time.sleep(1)
    pytest.fail(f"no server after {STARTING:.0f} s: {log.read_text(errors='replace')[-3000:]}")
