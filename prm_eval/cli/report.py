"""`prm-eval report`: one page out of the folders of one or several runs. Calls no model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from prm_eval.cli.figures import Size


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The page, or the file of --format.  [default: report.html in the first RUN; standard output]",
)
@click.option("--title", help="Of the page.  [default: the names of the runs]")
@click.option(
    "--max-candidates",
    type=click.IntRange(0),
    metavar="N",
    help="Keep only the first N responses for browsing; the page says so.  [default: all]",
)
@click.option(
    "--size", "sizes", type=Size(), multiple=True, metavar="NAME=BILLIONS",
    help="Parameters of a model whose name does not say them, for the plot of SFT; repeatable.",
)  # fmt: skip
@click.option(
    "--figures", type=click.Path(file_okay=False, path_type=Path), metavar="DIR",
    help="Beside the page, every figure of `prm-eval figures` for a paper: SVG, PDF and PNG.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print where the page is and what it holds.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["markdown", "latex", "csv", "lm-eval", "parquet"]),
    help="No page: the main table of each RUN for a paper or a sheet, the results as lm-eval writes them"
    " (of one RUN), or every score with its versions as Parquet (needs --out).",
)
def report(
    runs: tuple[Path, ...],
    out: Path | None,
    title: str | None,
    max_candidates: int | None,
    sizes: tuple[tuple[str, float], ...],
    figures: Path | None,
    as_json: bool,
    form: str | None,
) -> None:
    """Make one page that shows what happened.

    RUN is the folder of a run of best-of-n, judge, stepwise or sft, or what `select --save` keeps; several
    stand on one page, best-of-N runs compared on the problems that they share. The page is one file that
    loads nothing, opens from disk, and shows all tables and figures without JavaScript.
    """
    from prm_eval.pages import build_page, read_run
    from prm_eval.records import write_text

    found = [read_run(path) for path in runs]
    if form is not None:
        from prm_eval.cli.export import export_runs

        page_only = {
            "--title": title,
            "--max-candidates": max_candidates,
            "--size": sizes or None,
            "--figures": figures,
        }
        _refuse(form, {**page_only, "--json": as_json or None})
        export_runs(found, form, out)
        return
    if figures is not None:
        _draw(runs, figures, dict(sizes))
    page = build_page(found, title, max_candidates, dict(sizes))
    path = out or runs[0] / "report.html"
    write_text(path, page.html)
    size = path.stat().st_size
    if as_json:
        import json

        told = {"out": str(path), "bytes": size, "candidates": page.total, "candidates_shown": page.shown}
        click.echo(json.dumps(told, ensure_ascii=False))
    else:
        click.echo(f"written: {path} ({size / 1e6:.1f} MB)", err=True)
    if page.shown < page.total:
        click.echo(f"{page.shown:,} of {page.total:,} responses can be browsed (--max-candidates)", err=True)


def _draw(runs: Sequence[Path], folder: Path, sizes: Mapping[str, float]) -> None:
    """The figures of all runs that measured something: a selection or a training alone has no results."""
    from prm_eval.figures import Asked, save_all
    from prm_eval.runs import RunFolder

    measured = [path for path in runs if RunFolder(path).results.is_file()]
    for path in save_all(measured, folder, Asked(sizes=sizes)):
        click.echo(f"written: {path}", err=True)


def _refuse(form: str, given: Mapping[str, Any]) -> None:
    from prm_eval.errors import UsageError

    for option, value in given.items():
        if value is not None:
            raise UsageError(f"{option} is of the page, which --format {form} does not make: leave one out")
