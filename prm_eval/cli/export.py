"""`prm-eval report --format`: a run for elsewhere, to a file or to standard output."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import click

from prm_eval.errors import UsageError
from prm_eval.pages.exports import export
from prm_eval.pages.runs import Run
from prm_eval.records import write_bytes, write_text

log = logging.getLogger("prm_eval")


def export_runs(runs: Sequence[Run], form: str, out: Path | None) -> None:
    """Write the runs in one form; `out` None is standard output. Raises UsageError where that cannot be."""
    if form == "parquet":
        _write_parquet(runs, out)
        return
    text = _lm_eval(runs) if form == "lm-eval" else export(runs, form)
    if out is None:
        click.echo(text, nl=False)
        return
    write_text(out, text)
    click.echo(f"written: {out}", err=True)


def _write_parquet(runs: Sequence[Run], out: Path | None) -> None:
    from prm_eval.pages.item_scores import item_scores

    if out is None:
        raise UsageError("--format parquet writes a binary file: name it with --out FILE.parquet")
    content = item_scores(runs)
    write_bytes(out, content)
    click.echo(f"written: {out} ({len(content) / 1e6:.1f} MB)", err=True)


def _lm_eval(runs: Sequence[Run]) -> str:
    from prm_eval.harness.exported import exported, knows_its_model

    if len(runs) > 1:
        raise UsageError(
            f"lm-eval's results are of one model: --format lm-eval takes one RUN, and {len(runs)} were given"
        )
    found = exported(runs[0])
    if not knows_its_model(runs[0]):
        log.warning(
            "%s does not say which model wrote the responses: model_name is '%s'",
            runs[0].path,
            found["model_name"],
        )
    return json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
