"""Stages run in their order, several at once; what is done stays done.

Invariant: a stage is done when its mark is written, after its command has ended well; a mark of another
command is never taken for this one's.
"""

import json
import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from prm_eval.errors import UsageError
from prm_eval.records import write_json
from prm_eval.sweep.cells import Stage

SCHEMA = "prm-eval/sweep-stage/1"


class Runner(Protocol):
    """What runs one stage: `slot` is a number below the count of stages that run at once."""

    def run(self, stage: Stage, log: Path, slot: int) -> int:
        """Run the command, its output into `log`; returns the exit status."""

    def stop(self) -> None:
        """End what is running: the user has interrupted."""


@dataclass(slots=True)
class Outcome:
    """Names of stages: done before, done now with seconds, failed with status, and not tried for these."""

    before: list[str] = field(default_factory=list)
    done: dict[str, float] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)
    blocked: dict[str, str] = field(default_factory=dict)

    @property
    def finished(self) -> set[str]:
        """Stages whose files are there."""
        return {*self.before, *self.done}


@dataclass(frozen=True, slots=True)
class Schedule:
    """Stages of one folder, by name, in an order in which they can run.

    `inputs` say, by stage, what else its outcome depends on (a recipe's content, sizes of files): a
    folder whose marks disagree with commands or inputs is refused.
    """

    stages: Mapping[str, Stage]
    out: Path
    inputs: Mapping[str, Mapping[str, Any]]

    def mark(self, name: str) -> Path:
        """The file that says that a stage is done."""
        return self.out / "stages" / f"{name}.json"

    def log(self, name: str) -> Path:
        """What a stage's command said."""
        return self.out / "logs" / f"{name.replace('/', '-')}.log"

    def finished(self) -> list[str]:
        """Stages that earlier runs have done. Raises UsageError when the folder holds another sweep."""
        found = []
        for name in self.stages:
            if not self.mark(name).is_file():
                continue
            known = json.loads(self.mark(name).read_text(encoding="utf-8"))
            asked = self._asked(name)
            other = sorted(key for key in asked if known.get(key) != asked[key])
            if other:
                raise UsageError(
                    f"{self.out}: {name} was done with other {' and '.join(other)}"
                    f" ({_short(known.get(other[0]))}; now {_short(asked[other[0]])}): choose another --out"
                )
            found.append(name)
        return found

    def run(self, runner: Runner, jobs: int, told: Callable[[Outcome, str], None]) -> Outcome:
        """Run what is not done, `jobs` at once; a failed stage stops only those that need it.

        `told` is called with the outcome so far and a stage's name whenever one ends.
        """
        outcome = Outcome(before=self.finished())
        slots = list(range(jobs))
        running: dict[Future[int], tuple[str, int, float]] = {}
        with ThreadPoolExecutor(jobs) as threads:
            try:
                while True:
                    self._block(outcome, told)
                    for name in self._ready(outcome, {name for name, _, _ in running.values()})[: len(slots)]:
                        slot = slots.pop(0)
                        future = threads.submit(runner.run, self.stages[name], self.log(name), slot)
                        running[future] = (name, slot, time.monotonic())
                    if not running:
                        return outcome
                    ended, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in ended:
                        name, slot, started = running.pop(future)
                        slots.append(slot)
                        self._end(name, future.result(), time.monotonic() - started, outcome)
                        told(outcome, name)
            except BaseException:
                runner.stop()
                raise

    def _asked(self, name: str) -> dict[str, Any]:
        return {"command": list(self.stages[name].command), "inputs": dict(self.inputs.get(name, {}))}

    def _ready(self, outcome: Outcome, running: set[str]) -> list[str]:
        over = {*outcome.finished, *outcome.failed, *outcome.blocked, *running}
        return [
            name for name, stage in self.stages.items()
            if name not in over and all(need in outcome.finished for need in stage.needs)
        ]  # fmt: skip

    def _block(self, outcome: Outcome, told: Callable[[Outcome, str], None]) -> None:
        """Stages whose need has failed are not tried; stages stand behind their needs, so once is enough."""
        for name, stage in self.stages.items():
            if name in outcome.blocked or name in outcome.finished:
                continue
            lost = next((n for n in stage.needs if n in outcome.failed or n in outcome.blocked), None)
            if lost is not None:
                outcome.blocked[name] = outcome.blocked.get(lost, lost)
                told(outcome, name)

    def _end(self, name: str, status: int, seconds: float, outcome: Outcome) -> None:
        if status:
            outcome.failed[name] = status
            return
        outcome.done[name] = seconds
        write_json(self.mark(name), {"schema": SCHEMA, **self._asked(name), "seconds": round(seconds, 1)})


def _short(value: Any) -> str:
    text = " ".join(value) if isinstance(value, list) else str(value)
    return text if len(text) <= 160 else text[:157] + "..."
