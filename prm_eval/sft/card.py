"""The data card: what went in, what each stage took, what came out, and with which scores.

Invariant: the same inputs give the same card; times and machines stand in the manifest.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from prm_eval.sft.contamination import EvaluationSet
from prm_eval.sft.index import Index, counts
from prm_eval.sft.plan import STAGES, Plan, sets_of
from prm_eval.sft.sources import PoolFile

SCHEMA = "prm-eval/sft-card/1"
BINS = 20
_BAR = 40


def card_of(
    index: Index, plan: Plan, files: Sequence[PoolFile], sets: Sequence[EvaluationSet],
    output: Mapping[str, Any], versions: Mapping[str, str],
) -> dict[str, Any]:  # fmt: skip
    """The whole card, as card.json holds it."""
    scores = index.fact("scores")
    chosen = {"by": plan.by, "top": plan.top, "seed": plan.seed, "verified": plan.verified}
    return {
        "schema": SCHEMA,
        "pool": [{"file": file.given, "sha256": file.sha256} for file in files],
        "stages": stages(index, plan),
        "output": dict(output),
        "selected": {**chosen, **(index.fact("diversity") or {})},
        "scores": None if scores is None else {**scores, **_histogram(index)},
        "decontamination": {
            "sets": sets_of(sets),
            "threshold": "any" if plan.threshold is None else plan.threshold,
            "searched": "row" if plan.whole_row else "prompt",
            "removed": _contaminated(index),
        },
        "lengths": {"unit": plan.unit, **_lengths(index)},
        "sources": _sources(index),
        "versions": dict(versions),
    }


def stages(index: Index, plan: Plan) -> list[dict[str, Any]]:
    """Every stage in its order: how many rows it removed and how many it left.

    Stages after the ranking meet rows from the best down and end when enough are chosen: what was
    never met is the last line.
    """
    removed = counts(index.values("SELECT rule, COUNT(*) FROM rows WHERE rule IS NOT NULL GROUP BY rule"))
    removed |= counts(index.values("SELECT rule, COUNT(*) FROM dropped GROUP BY rule"))
    ((left,),) = index.values("SELECT COUNT(*) FROM rows")
    found = [{"stage": "read", "removed": 0, "left": left}]
    for rule, stage in STAGES:
        if rule in removed or plan.asks(rule):
            left -= removed.get(rule, 0)
            found.append({"stage": stage, "removed": removed.get(rule, 0), "left": left})
    ((chosen,),) = index.values("SELECT COUNT(*) FROM picked")
    if plan.top is not None:
        found.append({"stage": f"--top {plan.top}", "removed": left - chosen, "left": chosen})
    return found


def card_text(card: Mapping[str, Any]) -> str:
    """The card for people, as CARD.md holds it."""
    output, chosen, scores = card["output"], card["selected"], card["scores"]
    how = f"by `{chosen['by']}`, seed {chosen['seed']}"
    if scores:
        how += f", scores of `{scores['reward_model']}` ({scores['aggregation']})"
        how += f"; they compare {scores['compare']}" if "compare" in scores else ""
    if "coverage" in chosen:
        how += f"; embeddings `{chosen['embeddings']}`, score weight {chosen['score_weight']:g}"
        how += f", mean similarity of all rows to the nearest chosen one {chosen['coverage']:.4g}"
    lines = [
        "# Training rows chosen by prm-eval",
        f"{output['rows']:,} rows in `{output['file']}` ({output['format']}), chosen {how}.",
        f"sha256 `{output['sha256']}`",
        "## Stages, in their order",
        _table(
            ["stage", "removed", "left"],
            [[s["stage"], f"{s['removed']:,}", f"{s['left']:,}"] for s in card["stages"]],
        ),
        "Stages after the ranking meet rows from the best down, until enough are chosen.",
        "## Decontamination",
        _decontamination(card["decontamination"]),
        "## Pool",
        _table(["file", "sha256"], [[f["file"], f["sha256"]] for f in card["pool"]]),
    ]
    if scores and scores["edges"]:
        lines += ["## Scores", "Every scored row of the pool, and the chosen ones.", _bars(scores)]
        lines += ["Reward model:", f"```text\n{_facts(scores['provenance'])}\n```"]
    return "\n\n".join(lines) + "\n"


def _histogram(index: Index) -> dict[str, Any]:
    """Counts in 20 bins of equal width over all scored rows; `edges` are the 21 borders."""
    scored = "FROM rows WHERE score IS NOT NULL"
    ((count, low, high, mean),) = index.values(
        f"SELECT COUNT(*), MIN(score), MAX(score), AVG(score) {scored}"
    )
    if not count:
        return {"scored": 0, "edges": [], "pool": [], "chosen": []}
    width = (high - low) / BINS or 1.0
    query = f"SELECT MIN(CAST((score - ?) / ? AS INTEGER), {BINS - 1}) AS bin, COUNT(*) FROM rows"  # noqa: S608
    groups = {
        "pool": index.values(f"{query} WHERE score IS NOT NULL GROUP BY bin", (low, width)),
        "chosen": index.values(
            f"{query} JOIN picked ON picked.n = rows.n WHERE score IS NOT NULL GROUP BY bin", (low, width)
        ),
    }
    edges = [float(f"{low + width * bin_:.6g}") for bin_ in range(BINS + 1)]
    found: dict[str, Any] = {"scored": count, "mean": float(f"{mean:.6g}"), "edges": edges}
    for name, pairs in groups.items():
        by_bin = {int(bin_): number for bin_, number in pairs}
        found[name] = [by_bin.get(bin_, 0) for bin_ in range(BINS)]
    return found


def _contaminated(index: Index) -> dict[str, int]:
    return counts(
        index.values(
            "SELECT json_extract(detail, '$.evaluation_set') AS name, COUNT(*) FROM rows"
            " WHERE rule = 'contaminated' GROUP BY name ORDER BY name"
        )
    )


def _lengths(index: Index) -> dict[str, Any]:
    found = {}
    for name, where in (("pool", ""), ("chosen", "JOIN picked ON picked.n = rows.n")):
        ((low, mean, high),) = index.values(
            f"SELECT MIN(length), AVG(length), MAX(length) FROM rows {where}"  # noqa: S608 (ours)
        )
        found[name] = {"min": low, "mean": None if mean is None else round(mean, 2), "max": high}
    return found


def _sources(index: Index) -> dict[str, int]:
    """Chosen rows by source, the most frequent hundred."""
    return counts(
        index.values(
            "SELECT source, COUNT(*) AS number FROM rows JOIN picked ON picked.n = rows.n"
            " WHERE source IS NOT NULL GROUP BY source ORDER BY number DESC, source LIMIT 100"
        )
    )


def _decontamination(section: Mapping[str, Any]) -> str:
    if not section["sets"]:
        return "None was done: the rows may hold questions of evaluation sets."
    rule = section["threshold"]
    shown = "one shared 8-gram" if rule == "any" else f"{rule:.0%} of a question's words in shared 8-grams"
    rows = [
        [s["name"], f"{s['questions']:,}", f"{section['removed'].get(s['name'], 0):,}", s["sha256"]]
        for s in section["sets"]
    ]
    table = _table(["evaluation set", "questions", "rows removed", "sha256"], rows)
    return f"{table}\n\nRule: {shown}, searched in the {section['searched']}. Each row: `removed.jsonl`."


def _bars(scores: Mapping[str, Any]) -> str:
    most = max(scores["pool"])
    rows = []
    for place, (pool, chosen) in enumerate(zip(scores["pool"], scores["chosen"], strict=True)):
        bar = "#" * -(-pool * _BAR // most)
        rows.append([f"{scores['edges'][place]:.4g}", f"{pool:,}", f"{chosen:,}", f"`{bar}`" if bar else ""])
    return _table(["from", "pool", "chosen", ""], rows)


def _facts(provenance: Mapping[str, Any]) -> str:
    return "\n".join(f"{name}: {value}" for name, value in sorted(provenance.items()))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
