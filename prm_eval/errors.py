"""Every error that prm-eval raises on purpose.

    PrmEvalError
    ├── UsageError            the user asked for something that cannot be done (exit 2)
    │   ├── UnknownName       no plugin, task, option or strategy of that name
    │   ├── BadOption         an option that a factory does not take, or a value it refuses
    │   └── MissingExtra      an optional package is not installed; names the command
    ├── DataError             a line or file that does not follow the exchange format (exit 2)
    ├── CheckpointError       a model folder that cannot give right scores (exit 2)
    └── PluginError           a plugin broke its contract (exit 2)

A failure inside one item is no error: it is `types.Unscored`, a value.
"""

import difflib
from collections.abc import Iterable


class PrmEvalError(Exception):
    """Base of all: the message says what happened, with the value, and then what to do."""


class UsageError(PrmEvalError):
    """The user asked for something that cannot be done."""


class UnknownName(UsageError):
    """No such plugin, task, option or strategy; the message suggests near ones."""

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str = "") -> None:
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        advice = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names) or 'none'}"
        super().__init__(f"unknown {kind} '{name}': {advice}{' ' + hint if hint else ''}")


class BadOption(UsageError):
    """An option that a factory does not take, or a value that it refuses."""


class MissingExtra(UsageError):
    """An optional package is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} is not installed: pip install 'prm-eval[{extra}]'")


class DataError(PrmEvalError):
    """A file does not follow its exchange format."""

    def __init__(self, path: object, problem: str, line: int | None = None) -> None:
        where = f"{path}:{line}" if line is not None else f"{path}"
        super().__init__(f"{where}: {problem}")


class CheckpointError(PrmEvalError):
    """A model folder that cannot give right scores."""


class PluginError(PrmEvalError):
    """A plugin broke its contract: too few results, a wrong type."""
