"""The page: sections out of runs, put into the template together with the files that it carries.

Invariant: the same runs give the same bytes; whatever a run says goes through the template's escaping.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined

from prm_eval import __version__
from prm_eval.costs import in_words
from prm_eval.pages import models, selectors, sft
from prm_eval.pages.assets import assets
from prm_eval.pages.browser import Browser, browser
from prm_eval.pages.compared import compared
from prm_eval.pages.judged import judge_section
from prm_eval.pages.levels import level_tables
from prm_eval.pages.parts import Figure, Section, Table, count
from prm_eval.pages.runs import Run
from prm_eval.pages.stepped import step_section
from prm_eval.pages.tournaments import tournament_section
from prm_eval.pages.verdict import verdict
from prm_eval.pages.warned import warnings_of
from prm_eval.spending import GENERATION, together

_JOBS = {
    "best_of_n": "best of N", "judge": "pairs judged", "stepwise": "step scores",
    "sft_select": "training rows chosen", "sft_train": "SFT", "sft_collect": "trained models",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Page:
    """The HTML text, and how many of all responses its browser holds."""

    html: str
    shown: int
    total: int


def build_page(
    runs: Sequence[Run],
    title: str | None = None,
    max_candidates: int | None = None,
    sizes: Mapping[str, float] | None = None,
) -> Page:
    """One self-contained page of the runs, in their order; `sizes` are billions of parameters by model."""
    found = browser(runs, max_candidates)
    carried = assets(maths=found is not None and found.maths)
    template = Environment(
        loader=PackageLoader("prm_eval.pages"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    ).get_template("page.html")  # fmt: skip
    html = template.render(
        title=title or ", ".join(run.name for run in runs),
        version=__version__,
        warnings=[(run.name, told) for run in runs for told in warnings_of(run)],
        cut=_cut(found),
        verdicts=[(run.name, said) for run in runs if (said := verdict(run))],
        overview=_overview(runs),
        sections=_sections(runs, sizes or {}),
        folds=_folds(runs),
        browser=found,
        assets=carried,
    )
    return Page(html, found.shown if found else 0, found.total if found else 0)


def _cut(found: Browser | None) -> str:
    if found is None or found.shown == found.total:
        return ""
    return (
        f"Of {found.title.lower()} the first {found.shown:,} of {found.total:,} can be browsed"
        " (--max-candidates); every number, table and figure is of all of them."
    )


def _overview(runs: Sequence[Run]) -> Table:
    """What was run, on what, with what."""
    rows = []
    for run in runs:
        subjects = sorted({
            str(row.get("reward_model") or row.get("judge"))
            for row in run.results["metrics"] if row.get("reward_model") or row.get("judge")
        } | set(run.results.get("provenance", {})))  # fmt: skip
        generator = ""
        if run.kind == "best_of_n":
            generator = _generator(run)
        rows.append([
            run.name, _JOBS[run.kind], run.task, _how_much(run), generator,
            ", ".join(subjects) or "none", str(run.manifest.get("finished", "")),
        ])  # fmt: skip
    columns = ["run", "job", "on", "how much", "responses of", "reward models, judges", "finished"]
    return Table("What was run", columns, rows, names=7)


def _generator(run: Run) -> str:
    """The model and its arguments; of a folder on some disk its last part, the manifest has it whole."""
    given = str(run.option("model_args") or run.option("model") or "stored responses")
    return re.sub(r"=(?:[^,=]*/){2,}([^,/]+)", r"=\1", given).replace(",", ", ")


def _how_much(run: Run) -> str:
    """`500 problems, 1,500 responses`; pairs and games; solutions."""
    if run.kind == "judge":
        games = run.results.get("games", [])
        return ", ".join(
            dict.fromkeys(f"{count(one['pairs'], 'pair')}, {count(one['games'], 'game')}" for one in games)
        )
    if run.kind == "sft_select":
        stages = run.results["card"]["stages"]
        return (
            f"{run.results['card']['output']['rows']:,} of {count(stages[0]['left'], 'row')}"
            if stages
            else ""
        )
    if run.kind == "sft_train":
        made = run.results["training"]
        return f"{count(made['rows'], 'row')}, {count(made['steps'], 'step')}" if made else "not finished"
    if run.kind == "sft_collect":
        return count(len(run.results["metrics"]), "model")
    if run.kind == "stepwise":
        subsets = run.results.get("data", {}).get("subsets", {}).values()
        return count(sum(subset.get("solutions", 0) for subset in subsets), "solution")
    problems = {candidate.problem.id for candidate in run.candidates}
    return f"{count(len(problems), 'problem')}, {count(len(run.candidates), 'response')}" if problems else ""


def _sections(runs: Sequence[Run], sizes: Mapping[str, float]) -> list[Section]:
    sections = []
    make: dict[str, Callable[[Run, str], Section]] = {
        "judge": judge_section, "stepwise": step_section, "sft_select": sft.selection_section,
        "sft_train": sft.training_section,
        "sft_collect": lambda run, anchor: sft.collected_section(run, anchor, sizes),
    }  # fmt: skip
    for place, run in enumerate(runs):
        if run.kind == "best_of_n":
            sections += _best_of_n(run, f"run-{place}")
        else:
            sections.append(make[run.kind](run, f"run-{place}"))
    beside = compared(runs)
    return [*sections, *([beside] if beside else []), _cost(runs)]


def _best_of_n(run: Run, anchor: str) -> list[Section]:
    parts: list[Table | Figure] = [
        selectors.curve_figure(run),
        selectors.value_table(run),
        *selectors.cost_figures(run),
    ]
    parts += [table for table in (selectors.comparison_table(run), selectors.subset_table(run)) if table]
    sections = [Section(anchor, f"Best of N: {run.name}", [], parts)]
    if evidence := models.gather(run):
        shown = [*models.figures(evidence), *selectors.auc_tables(run), *level_tables(run, evidence)]
        sections.append(Section(f"{anchor}-models", f"Reward models: {run.name}", [], shown))
    played = tournament_section(run, f"{anchor}-tournaments")
    return [*sections, played] if played else sections


def _cost(runs: Sequence[Run]) -> Section:
    rows = []
    for run in runs:
        rows += [[run.name, name, in_words(cost)] for name, cost in run.results["cost"].items() if cost]
        found = together(run.results)
        rows += [
            [run.name, f"generation and {name} together", in_words(cost)] for name, cost in found.items()
        ]
    if not rows:
        return Section("cost", "Cost", ["No run recorded what it cost: its scores or verdicts were given."])
    unknown = [
        run.name for run in runs if run.kind == "best_of_n" and not run.results["cost"].get(GENERATION)
    ]
    note = f"What generating the responses cost is not recorded in {', '.join(unknown)}." if unknown else ""
    return Section(
        "cost", "Cost", [], [Table("What it cost", ["run", "what", "cost"], rows, names=3, note=note)]
    )


def _folds(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """Provenance: the manifest of every run, and what its models say of themselves."""
    folds = []
    for run in runs:
        told = run.manifest or {"manifest.json": "the run folder holds none"}
        folds.append((f"{run.name}: how it was made", json.dumps(told, indent=1, ensure_ascii=False)))
        if run.results.get("provenance"):
            text = json.dumps(run.results["provenance"], indent=1, ensure_ascii=False)
            folds.append((f"{run.name}: its models", text))
    return folds
