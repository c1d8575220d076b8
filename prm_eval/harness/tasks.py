"""The task files: where they lie, what they are called, and how to write a stub over one.

Invariant: nothing here starts lm-eval. A YAML file that does not parse is an error, while lm-eval
would skip it and say only that the task was not found.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

import prm_eval
from prm_eval.errors import UnknownName, UsageError
from prm_eval.harness import repeats

FILTER = "prm_eval.harness.door.BestOfN"


@dataclass(frozen=True, slots=True)
class TaskFile:
    """One task: its name, its file, its line of help and whether it selects (loads reward models)."""

    name: str
    path: Path
    help: str
    selects: bool


class _Function(str):
    """The text of a `!function` tag, so that it is written back as one."""

    __slots__ = ()


class _Loader(yaml.SafeLoader):
    """YAML with `!function` kept as text: nothing is imported."""


class _Dumper(yaml.SafeDumper):
    """Writes what `_Loader` read."""


def _construct(_loader: yaml.SafeLoader, node: yaml.Node) -> _Function:
    return _Function(node.value)


_Loader.add_constructor("!function", _construct)
_Dumper.add_representer(_Function, lambda dumper, value: dumper.represent_scalar("!function", str(value)))


def tasks_path() -> Path:
    """The folder of our task files: in the package when installed, beside it in a source tree."""
    package = Path(prm_eval.__file__).parent
    for folder in (package / "tasks", package.parent / "tasks"):
        if folder.is_dir():
            return folder
    raise UsageError(f"the task files are missing beside {package}: install prm-eval again")


def list_tasks(folders: Sequence[Path] = ()) -> list[TaskFile]:
    """All tasks of our folder and the given ones, by name; a later folder's task replaces ours.

    Raises UsageError for a folder that does not exist or a file that does not parse.
    """
    found: dict[str, TaskFile] = {}
    for folder in (tasks_path(), *folders):
        if not folder.is_dir():
            raise UsageError(f"{folder}: no such folder of tasks")
        for path in sorted(folder.glob("**/*.yaml")):
            task = _task_file(path)
            if task is not None:
                found[task.name] = task
    return sorted(found.values(), key=lambda task: task.name)


def find_task(name: str, folders: Sequence[Path] = ()) -> TaskFile:
    """The task of that name, or of that YAML file. Raises UnknownName."""
    if name.endswith(".yaml"):
        path = Path(name).expanduser()
        task = _task_file(path) if path.is_file() else None
        if task is None:
            raise UsageError(f"{name}: no task file")
        return task
    known = {task.name: task for task in list_tasks(folders)}
    if name not in known:
        raise UnknownName("task", name, known, "(prm-eval tasks list shows all)")
    return known[name]


def task_file(name: str, folders: Sequence[Path] = ()) -> Path:
    """Where a task's YAML lies, for `lm_eval --tasks FILE`. Raises UnknownName."""
    return find_task(name, folders).path.resolve()


def generation_twin(name: str, folders: Sequence[Path] = ()) -> TaskFile:
    """The task that generates for `name`: `math500`, `math500_bon` and `math500_gen` are one.

    A task without twin generates itself, unless it selects. Raises UnknownName, or UsageError.
    """
    known = {task.name: task for task in list_tasks(folders)}
    twin = known.get(name.removesuffix("_gen").removesuffix("_bon") + "_gen")
    task = twin or find_task(name, folders)
    if task.selects:
        raise UsageError(f"task '{task.name}' has no generation twin: name the task that it includes")
    return task


def make_stub(
    task: str,
    n: int | None,
    reward_models: Sequence[str],
    strategies: Sequence[str] = (),
    aggregations: Sequence[str] = (),
    data: str | None = None,
    *,
    folders: Sequence[Path] = (),
) -> str:
    """YAML of a task over `task` with n samples and these reward models, for plain lm_eval.

    None and empty options keep what `task` has. Raises UsageError when `task` does not select.
    """
    base = find_task(task if task.endswith((".yaml", "_bon")) else f"{task}_bon", folders)
    if not base.selects:
        raise UsageError(f"task '{base.name}' selects nothing: name a task that ends in _bon")
    header = _read(base.path)
    n = n or _repeats(header.get("repeats", 1))
    name = f"{base.name}_{n}"
    given = {"reward_models": reward_models, "strategies": strategies, "aggregations": aggregations}
    options = _filters(header)[0] | {"task": name, "n": n}
    options |= {key: list(values) for key, values in given.items() if values}
    document: dict[str, Any] = {
        "include": str(base.path.resolve()),
        "task": name,
        "repeats": n,
        "filter_list": [{"name": "prm_eval", "filter": [options]}],
    }
    if data is not None:
        document["metadata"] = header.get("metadata", {}) | {"data": str(Path(data).expanduser().resolve())}
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def _task_file(path: Path) -> TaskFile | None:
    header = _read(path)
    if not isinstance(header.get("task"), str):
        return None  # a template or a group
    return TaskFile(header["task"], path, _first_comment(path), bool(_filters(header)))


def _first_comment(path: Path) -> str:
    """The help of a task is the comment on the first line of its file: lm-eval has no key for one."""
    line = path.read_text(encoding="utf-8").partition("\n")[0]
    return line.removeprefix("#").strip() if line.startswith("#") else ""


def _repeats(value: Any) -> int:
    """The number behind `repeats:`, written out or a constant of `repeats`."""
    return int(getattr(repeats, value.rpartition(".")[2])) if isinstance(value, _Function) else int(value)


def _filters(header: dict[str, Any]) -> list[dict[str, Any]]:
    """The steps of a task's filters that are ours."""
    steps = [step for entry in header.get("filter_list") or [] for step in entry.get("filter", [])]
    return [step for step in steps if str(step.get("function")) == FILTER]


def _read(path: Path) -> dict[str, Any]:
    """A task file with what it includes, its own keys winning as in lm-eval."""
    try:
        own = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - a SafeLoader
    except (OSError, yaml.YAMLError) as error:
        raise UsageError(f"{path} cannot be read as YAML: {' '.join(str(error).split())}") from error
    if not isinstance(own, dict):
        return {}
    includes = own.pop("include", [])
    merged: dict[str, Any] = {}
    for included in includes if isinstance(includes, list) else [includes]:
        merged |= _read(path.parent / included)
    return merged | own
