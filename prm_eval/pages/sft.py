"""The parts of SFT: how training rows were chosen, how the training went, what trained models score.

Invariant: shows what card.json, train_manifest.json, loss.jsonl and results.json hold; a model whose
size nobody knows stands in no plot of sizes, and that is said.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from prm_eval.figures.runs import short, size_of
from prm_eval.figures.style import billions, thousands
from prm_eval.pages import charts
from prm_eval.pages.flow import Stage, flow
from prm_eval.pages.parts import Figure, Legend, Row, Section, Table, count, interval, value
from prm_eval.pages.runs import Run
from prm_eval.pages.svg import apart

_TABLE = ("selector", "reward model", "training rows", "accuracy", "95 % interval", "seeds", "problems")


def selection_section(run: Run, anchor: str) -> Section:
    """A folder of `sft select`: the stages, the scores, the decontamination, what was chosen."""
    card = run.results["card"]
    parts: list[Table | Figure] = [_rule(card), _flow(card["stages"]), stages(run)]
    if (card.get("scores") or {}).get("edges"):
        parts.append(_histogram(card["scores"], card["output"]["rows"]))
    parts += [table for table in (_decontamination(card["decontamination"]), _files(card)) if table]
    return Section(anchor, f"Training rows chosen: {run.name}", [], parts)


def training_section(run: Run, anchor: str) -> Section:
    """A folder of `sft train`: rows, tokens and recipe, and the loss at every step."""
    made = run.results["training"]
    parts: list[Table | Figure] = [] if made is None else [trained(run)]
    parts += [_losses(run)] if run.results["curve"] else []
    recipe = (made or run.manifest).get("recipe") or {}
    if recipe:
        parts.append(
            Table("Recipe", ["setting", "value"], [[name, _word(recipe[name])] for name in recipe], names=2)
        )
    return Section(anchor, f"Training: {run.name}", [], parts)


def collected_section(run: Run, anchor: str, sizes: Mapping[str, float]) -> Section:
    """A folder of `sft collect`: both plots of every policy and task, and the table."""
    parts: list[Table | Figure] = []
    settings = dict.fromkeys((row.get("policy"), row.get("task")) for row in run.results["metrics"])
    for policy, task in settings:
        rows = [
            row for row in run.results["metrics"] if (row.get("policy"), row.get("task")) == (policy, task)
        ]
        of = f"{str(policy).rstrip('/').rpartition('/')[2]} on {task}"
        drawn = [row for row in rows if row["value"] is not None]
        if drawn:
            parts.append(_against_rows(drawn, of))
        parts += [figure for figure in (_against_size(drawn, of, sizes),) if figure]
        parts.append(accuracies(run, rows, of))
    return Section(anchor, f"Trained models: {run.name}", [], parts)


def _rule(card: Row) -> Table:
    chosen, scores, output = card["selected"], card.get("scores"), card["output"]
    rows = [
        ["rows chosen", f"{output['rows']:,}"],
        ["chosen by", chosen["by"]],
        ["seed", str(chosen["seed"])],
    ]
    rows += [["verified", str(chosen["verified"])]] if chosen.get("verified") else []
    if scores:
        rows += [["reward model", scores["reward_model"]]]
        rows += [["aggregation", scores["aggregation"]]] if scores.get("aggregation") else []
        rows += [["scores compare", scores["compare"]]] if "compare" in scores else []
        rows += [["mean score of the pool", f"{scores['mean']:.6g}"]] if "mean" in scores else []
    for name, words in (("pool", "of the pool"), ("chosen", "of the chosen rows")):
        found = card.get("lengths", {}).get(name, {})
        if found.get("mean") is not None:
            told = f"{found['min']:,} to {found['max']:,}, mean {found['mean']:,} {card['lengths']['unit']}"
            rows.append([f"length {words}", told])
    return Table("The rule", ["what", "value"], rows, names=2)


def _flow(found: Sequence[Row]) -> Figure:
    title = "Stages of the pool"
    picture = flow(title, [Stage(one["stage"], one["removed"], one["left"]) for one in found])
    legend = [
        Legend(charts.block("left"), "left after the stage"),
        Legend(charts.block("removed"), "removed by it"),
    ]
    return Figure(title, picture, legend)


def stages(run: Run) -> Table:
    """What every stage of a selection removed and left."""
    found = run.results["card"]["stages"]
    rows = [[one["stage"], f"{one['removed']:,}", f"{one['left']:,}"] for one in found]
    note = "Stages after the ranking meet rows from the best down, until enough are chosen."
    return Table("Stages of the pool, in numbers", ["stage", "removed", "left"], rows, note=note)


def _histogram(scores: Row, rows: int) -> Figure:
    """Shares, so that a thousand rows chosen of sixty thousand can be seen beside them."""
    chosen, pool = sum(scores["chosen"]), sum(scores["pool"])
    bars = [
        charts.Bar(low, high, of_chosen / max(chosen, 1), of_pool / max(pool, 1))
        for low, high, of_chosen, of_pool in zip(
            scores["edges"], scores["edges"][1:], scores["chosen"], scores["pool"], strict=False
        )
    ]
    title = f"{scores['reward_model']}: scores of the pool and of the chosen rows"
    chart = charts.mirrored(title, bars, "score", "chosen", "pool", "share of its rows")
    legend = [
        Legend(charts.block("right"), f"{count(chosen, 'chosen row')}, up"),
        Legend(charts.block("wrong"), f"{count(pool, 'scored row')} of the pool, down"),
    ]
    missing = f" {rows - chosen:,} chosen rows have no score." if rows > chosen else ""
    return Figure(title, chart, legend, f"Every scored row of the pool, the chosen ones among them.{missing}")


def _decontamination(found: Row) -> Table | None:
    if not found["sets"]:
        return None
    rows = [
        [
            one["name"],
            f"{one['questions']:,}",
            f"{found['removed'].get(one['name'], 0):,}",
            one["sha256"][:16] + "…",
        ]
        for one in found["sets"]
    ]
    rule = found["threshold"]
    shown = "one shared 8-gram" if rule == "any" else f"{rule:.0%} of a question's words in shared 8-grams"
    columns = ["evaluation set", "questions", "rows removed", "sha256"]
    return Table(
        "Decontamination", columns, rows, note=f"Rule: {shown}, searched in the {found['searched']}."
    )


def _files(card: Row) -> Table:
    rows = [["pool", one["file"], one["sha256"]] for one in card.get("pool", [])]
    rows.append(["training rows", card["output"]["file"], card["output"]["sha256"]])
    return Table("Files", ["what", "file", "sha256"], rows, names=3)


def trained(run: Run) -> Table:
    """What a training was of; empty of one that is not finished."""
    made = run.results["training"]
    if made is None:
        return Table("What was trained", ["what", "value"], [], names=2)
    tokens, options, chosen = made["tokens"], made["options"], made.get("selection") or {}
    facts = {
        "model": options.get("model"), "rows": f"{made['rows']:,}", "data": options.get("data"),
        "rows chosen by": chosen.get("reward_model") or chosen.get("by"),
        "tokens of an epoch": f"{tokens['read']:,}, of them trained on {tokens['trained_on']:,}",
        "longest row": count(tokens["longest_row"], "token"), "loss on": made.get("loss_mask"),
        "steps": f"{made['steps']:,} = {made['steps_per_epoch']:,} an epoch × {made['epochs']:g} epochs",
        "effective batch": (made.get("batch") or {}).get("effective"),
        "final loss": None if made.get("final_loss") is None else f"{made['final_loss']:.4f}",
        "sha256 of the data": (made.get("data") or {}).get("sha256"),
    }  # fmt: skip
    rows = [[name, str(given)] for name, given in facts.items() if given is not None]
    return Table("What was trained", ["what", "value"], rows, names=2)


def _losses(run: Run) -> Figure:
    curve = [row for row in run.results["curve"] if "loss" in row]
    steps, losses = [float(row["step"]) for row in curve], [float(row["loss"]) for row in curve]
    title = "Training loss"
    chart = charts.lines(title, [charts.Series("loss", 0, steps, losses)], "optimiser step", "loss")
    note = f"{losses[0]:.4f} at step {curve[0]['step']:,}, {losses[-1]:.4f} at step {curve[-1]['step']:,}."
    return Figure(title, chart, [], note)


def _against_rows(rows: Sequence[Row], of: str) -> Figure:
    """Every selector against its numbers of rows; one with a single number is a point."""
    names = short(str(row["selector"]) for row in rows) | _KNOWN
    series = [
        _series(
            names[selector], place, sorted(own, key=lambda row: int(row["train_samples"])), "train_samples"
        )
        for place, (selector, own) in enumerate(_by_selector(rows).items())
    ]
    title = f"{of}: accuracy against training rows"
    ticks = apart([float(row["train_samples"]) for row in rows])
    chart = charts.lines(
        title, series, "training rows", "accuracy", log=True, x_ticks=ticks, x_words=thousands
    )
    return Figure(title, chart, _legend(series), _BARS)


def _against_size(rows: Sequence[Row], of: str, sizes: Mapping[str, float]) -> Figure | None:
    """Rows that a reward model selected, as many from each: the smallest number that there is."""
    selected = [row for row in rows if row.get("reward_model")]
    if not selected:
        return None
    fewest = min(row["train_samples"] for row in selected)
    known = [
        {**row, "size": size_of(str(row["reward_model"]), sizes)}
        for row in selected if row["train_samples"] == fewest
    ]  # fmt: skip
    placed = sorted((row for row in known if row["size"] is not None), key=lambda row: float(row["size"]))
    unknown = dict.fromkeys(str(row["reward_model"]) for row in known if row["size"] is None)
    missing = (
        f" Not drawn, since nobody says how large they are (--size): {', '.join(unknown)}." if unknown else ""
    )
    title = f"{of}: accuracy against the size of the reward model that selects {fewest:,} rows"
    if not placed:
        return None
    names = short(str(row["reward_model"]) for row in placed)
    series = [
        _series(names[str(row["reward_model"])], place, [row], "size") for place, row in enumerate(placed)
    ]
    ticks = apart([float(row["size"]) for row in placed])
    x_label = "parameters of the reward model"
    chart = charts.lines(title, series, x_label, "accuracy", log=True, x_ticks=ticks, x_words=billions)
    return Figure(title, chart, _legend(series), _BARS + missing)


def accuracies(run: Run, rows: Sequence[Row] | None = None, of: str = "") -> Table:
    """Accuracy after training: of all rows of a table of trained models, or of the given ones."""
    rows = run.results["metrics"] if rows is None else rows
    cells = [
        [str(row["selector"]), str(row.get("reward_model") or "none"), f"{row['train_samples']:,}",
         value(row), interval(row), str(row.get("seeds", "")), str(row.get("n_problems", ""))]
        for row in rows
    ]  # fmt: skip
    note = "With one seed the interval is over problems, with several over trainings (Student's)."
    return Table(f"{of or run.task}: accuracy after training", _TABLE, cells, names=2, note=note)


_KNOWN = {"all": "raw pool", "s1k": "human-selected (s1k)"}
_BARS = "Bars are 95 % intervals."


def _series(name: str, place: int, rows: Sequence[Row], x: str) -> charts.Series:
    known = all(row.get("ci") for row in rows)
    lows, highs = ([row["ci"][side] for row in rows if known] for side in (0, 1))
    xs, ys = [float(row[x]) for row in rows], [row["value"] for row in rows]
    return charts.Series(name, place, xs, ys, lows, highs, bars=True)


def _legend(series: Sequence[charts.Series]) -> list[Legend]:
    return [Legend(charts.swatch(one.place), f"{one.name}, {one.ys[-1]:.3f}") for one in series]


def _by_selector(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The selector whose best is best comes first."""
    found: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: -float(row["value"])):
        found.setdefault(str(row["selector"]), []).append(row)
    return found


def _word(given: Any) -> str:
    return given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
