"""Best-of-N inside plain lm_eval: one filter that scores everything, one function that hands out numbers.

Invariant: the responses are on the disk before anything that can fail, and the numbers are those of
`selection.evaluate`. lm-eval itself saves nothing until the very end.
"""

import json
import logging
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import lm_eval.api.metrics  # noqa: F401 - registers `mean`, which a metric must find registered
from lm_eval.api.filter import Filter
from lm_eval.api.registry import register_filter, register_metric

from prm_eval.errors import UsageError
from prm_eval.harness import replay  # noqa: F401 - a task loaded by its path makes `prm-replay` known
from prm_eval.harness.docs import candidate_of, doc_meta, mend, problem_of
from prm_eval.harness.measure import Outcome, measure, refuse_doubles
from prm_eval.harness.options import Options, read_options
from prm_eval.plugins import Loaded, installed
from prm_eval.records import write_rows
from prm_eval.runs import RunFolder
from prm_eval.types import Candidate

__all__ = ["BestOfN", "Outcome", "every_number", "process_results"]

log = logging.getLogger("prm_eval")
NAME = "prm_eval_best_of_n"
METRIC = "prm_eval"
RUNS = Path("prm_eval_runs")
RAW = "responses.jsonl"


@register_filter(NAME)
class BestOfN(Filter):  # type: ignore[misc]
    """Scores and grades all N responses of every problem; `options.Options` lists what it takes.

    It may be given any option: lm-eval makes it after the generation, when a refusal would cost
    every sample, so the options are read once the samples are saved.
    """

    def __init__(self, **given: Any) -> None:
        self._given = given

    def apply(self, resps: Iterable[Any], docs: Sequence[Mapping[str, Any]]) -> list[list[Outcome]]:
        """One list of one `Outcome` per document, in their order.

        resps: documents x repeats (or more, where lm-eval padded a short rank). Raises UsageError
        when a document has fewer than n responses; whatever is raised, the samples were saved.
        """
        groups = _texts(resps)
        folder = new_folder(self._given)
        _save_raw(folder, groups, docs)
        try:
            return [[outcome] for outcome in self._outcomes(folder, groups, docs)]
        except BaseException:
            log.error(
                "the responses are safe: prm-eval best-of-n --candidates %s goes on from them", _saved(folder)
            )
            raise

    def _outcomes(
        self, folder: RunFolder, groups: list[list[str]], docs: Sequence[Mapping[str, Any]]
    ) -> list[Outcome]:
        options = read_options(self._given)
        kept = _take_n(groups, options.n)
        pools = [_candidates(doc, texts, options) for doc, texts in zip(docs, kept, strict=True)]
        refuse_doubles(pools)
        folder.keep_candidates([candidate for pool in pools for candidate in pool])
        (folder.path / RAW).unlink()
        log.warning("%s: candidates, scores and results are in %s", options.task, folder.path)
        if not options.reward_models:
            log.warning(
                "%s: no reward model is named (PRM_EVAL_REWARD_MODELS, or prm-eval tasks make), so only"
                " mean@1, pass@k and strategies without scores are computed",
                options.task,
            )
        models = [_model(reference) for reference in options.reward_models]
        return measure(pools, models, options, folder, installed())


def process_results(doc: Mapping[str, Any], results: Any) -> dict[str, float]:  # noqa: ARG001 - lm-eval's signature
    """The numbers of one document, which lm-eval averages; none when it could not be graded.

    Raises UsageError when the task has no BestOfN filter.
    """
    # released and coming versions of lm-eval wrap the filtered result in one or two lists
    while isinstance(results, list | tuple) and results:
        results = results[0]
    if not isinstance(results, Outcome):
        raise UsageError(
            "process_results needs the filter prm_eval.harness.door.BestOfN in the task's filter_list"
        )
    return dict(results.metrics)


@register_metric(metric=METRIC, higher_is_better=True, aggregation="mean")  # type: ignore[untyped-decorator]
def every_number(references: Sequence[Any], predictions: Sequence[Any]) -> dict[str, float]:  # noqa: ARG001
    """All numbers of one document as one metric, for `metric_list` in place of `process_results`."""
    return process_results({}, predictions)


@cache
def _model(reference: str) -> Loaded:
    """lm-eval makes every filter anew, so a reward model is kept for the life of the process."""
    return installed().reward_model(reference)


def _texts(resps: Iterable[Any]) -> list[list[str]]:
    """The responses by document; surrogates are mended in lm-eval's own lists.

    lm-eval's log of samples ends, with exit status 0, at the first text that UTF-8 cannot hold.
    """
    groups, mended = [], 0
    for responses in resps:
        for place, response in enumerate(responses):
            clean = mend(response)
            if clean is not response:
                responses[place] = clean
                mended += 1
        groups.append(list(responses))
    if mended:
        log.warning("%d responses hold surrogates: pairs were joined, lone ones became U+FFFD", mended)
    return groups


def new_folder(given: Mapping[str, Any]) -> RunFolder:
    """A folder of its own for this run and rank."""
    task = str(given.get("task") or "task")
    base = Path(str(given["out"])).expanduser() if given.get("out") else RUNS / task
    ranks = int(os.environ.get("WORLD_SIZE") or 1)
    rank = f"-rank{os.environ.get('LOCAL_RANK', '0')}" if ranks > 1 else ""
    stamp = time.strftime("%Y%m%d-%H%M%S") + rank
    for number in range(1, 1000):
        path = base / (stamp if number == 1 else f"{stamp}-{number}")
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        return RunFolder(path)
    raise UsageError(f"{base} holds a thousand runs of this second: name another folder with out:")


def _save_raw(folder: RunFolder, groups: Sequence[Sequence[str]], docs: Sequence[Mapping[str, Any]]) -> None:
    """As lm-eval would log them: needs no template, no id and no option to be right."""
    rows = (
        {"doc_id": place, "doc": json.loads(json.dumps(doc, default=str)), "resps": [list(texts)]}
        for place, (doc, texts) in enumerate(zip(docs, groups, strict=True))
    )
    write_rows(folder.path / RAW, rows)


def _saved(folder: RunFolder) -> Path:
    return folder.candidates if folder.candidates.exists() else folder.path / RAW


def _take_n(groups: Sequence[list[str]], n: int | None) -> list[list[str]]:
    """The first n of every document: a padded rank's last document comes with N more."""
    wanted = n if n is not None else min(map(len, groups))
    short = [len(group) for group in groups if len(group) < wanted]
    if short:
        raise UsageError(
            f"n is {wanted}, but {len(short)} documents have fewer responses (the fewest {min(short)}): set"
            f" repeats: {wanted} in the task, or make one with prm-eval tasks make --n {min(short)}"
        )
    if any(len(group) > wanted for group in groups[:-1]):
        log.warning("n is %d: the task's repeats gave more responses, which are not used", wanted)
    return [group[:wanted] for group in groups]


def _candidates(doc: Mapping[str, Any], texts: Sequence[str], options: Options) -> list[Candidate]:
    problem, meta = problem_of(doc, options.fields), doc_meta(doc, options.answer_kind)
    return [candidate_of(problem, index, text, meta) for index, text in enumerate(texts)]
