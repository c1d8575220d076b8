"""The budgets of the house: size of files and functions, annotations, imports, mocks, start-up.

They serve beauty: where one forces an ugly split, change it here with a reason.
"""

import ast
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted([*(ROOT / "prm_eval").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")])
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions() -> Iterator[tuple[Path, Function]]:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, Function):
                yield path, node


def length(node: Function) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def test_files() -> None:
    """No file above 300 lines, half of them at most 120."""
    sizes = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert {str(path.relative_to(ROOT)): size for path, size in sizes.items() if size > 300} == {}
    assert statistics.median(sizes.values()) <= 120


def test_functions() -> None:
    """No function above 50 lines, nine of ten at most 30."""
    sizes = [(length(node), f"{path.relative_to(ROOT)}:{node.name}") for path, node in functions()]
    assert [item for item in sizes if item[0] > 50] == []
    assert sum(size <= 30 for size, _ in sizes) >= 0.9 * len(sizes)


def test_annotations() -> None:
    """Every parameter and every return carries a type."""
    bare = []
    for path, node in functions():
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        missing = [a.arg for a in arguments if a.annotation is None and a.arg not in ("self", "cls")]
        if missing or node.returns is None:
            bare.append(f"{path.relative_to(ROOT)}:{node.name} {missing}")
    assert bare == []


def test_module_docstrings() -> None:
    """Every module says what it is for, in at most six lines."""
    for path in SOURCES:
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        assert text, f"{path.relative_to(ROOT)} has no docstring"
        assert len(text.splitlines()) <= 13, (
            f"{path.relative_to(ROOT)}: a docstring of {len(text.splitlines())} lines"
        )


def test_tests_have_docstrings() -> None:
    """Every test says in a docstring what it proves."""
    for path in TESTS:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, Function) and node.name.startswith("test_"):
                assert ast.get_docstring(node), f"{path.relative_to(ROOT)}:{node.name}"


def test_few_mocks() -> None:
    """At most one mock in a hundred tests; fakes and tiny real models do the work."""
    texts = [path.read_text(encoding="utf-8") for path in TESTS if path.name != Path(__file__).name]
    mocks = sum(
        len(re.findall(r"\b(?:Magic|Async)?Mock\(|\bpatch(?:\.object)?\(|\bmocker\.", text)) for text in texts
    )
    tests = sum(len(re.findall(r"def test_", text)) for text in texts)
    assert mocks <= tests / 100


# torch.load is a pickle too, unless it reads weights only.
TRUST = re.compile(
    r"trust_remote_code\s*=\s*True|pickle\.load|torch\.load\((?![^()]*\bweights_only=True\))|(?<![\w.])(?:eval|exec)\("
)


def test_no_trust() -> None:
    """No remote code, no pickle, no eval in the source."""
    assert [str(path) for path in SOURCES if TRUST.search(path.read_text(encoding="utf-8"))] == []


def test_trust_knows_weights_only() -> None:
    """Exactly one way to call torch.load passes: weights only."""
    assert not TRUST.search("torch.load(path, map_location='cpu', weights_only=True)")
    for wrong in ("torch.load(path)", "torch.load(path, weights_only=False)", "torch.load(f(x), 1)"):
        assert TRUST.search(wrong), wrong


@pytest.mark.parametrize("statement", ["import prm_eval", "from prm_eval.cli import run; run(['--help'])"])
def test_light_start(statement: str) -> None:
    """Importing the package and asking for help load neither torch nor the harness nor numpy."""
    heavy = ("torch", "transformers", "lm_eval", "datasets", "numpy", "sympy", "matplotlib")
    code = f"{statement}\nimport sys\nprint('LOADED', [m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "LOADED []"


def test_layers() -> None:
    """The import contracts hold: layers, no cycles, the heavy and the host behind their doors."""
    command = [str(Path(sys.executable).parent / "lint-imports")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]


def test_prompts_have_no_control_characters() -> None:
    r"""No prompt in a task or a plugin lost a backslash: `\b` of \boxed is not a backspace."""
    for path in [*SOURCES, *(ROOT / "tasks").rglob("*.yaml")]:
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)) if path.suffix == ".py" else []:
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert "\x08oxed" not in node.value, path
                assert "\x0crac" not in node.value, path
        assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", text), path
