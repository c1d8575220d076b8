"""What a command says: the plan of a dry run; at its end the scores, what has none and why, its status."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from prm_eval.costs import in_words
from prm_eval.scoring import Scoring

_REASONS_SHOWN = 3


def tell_plan(told: Mapping[str, str], as_json: bool) -> None:
    """What a dry run found, one line a thing, or as an object."""
    if as_json:
        click.echo(json.dumps(dict(told), ensure_ascii=False))
        return
    for name, text in told.items():
        click.echo(f"{name:16} {text}")
    click.echo("dry run: no model was loaded, nothing was written", err=True)


def tell_scored(scorings: Sequence[Scoring], out: Path) -> None:
    """One line per reward model, on standard error, then where the file is."""
    for scoring in scorings:
        count = len(scoring.results)
        missing = scoring.unscored.total()
        line = f"{scoring.model}: {count - missing:,} of {count:,} candidates scored"
        line += f" ({int(scoring.cost.get('unique', 0)):,} distinct; {in_words(scoring.cost)})"
        click.echo(line, err=True)
        for reason, number in scoring.unscored.most_common(_REASONS_SHOWN):
            click.echo(f"  {number:,} unscored: {reason}", err=True)
        if len(scoring.unscored) > _REASONS_SHOWN:
            rest = sum(number for _, number in scoring.unscored.most_common()[_REASONS_SHOWN:])
            click.echo(
                f"  {rest:,} unscored for {len(scoring.unscored) - _REASONS_SHOWN} other reasons", err=True
            )
    click.echo(f"written: {out}", err=True)


def status(scorings: Sequence[Scoring], max_unscored: float | int) -> int:
    """0, or 1 when a reward model left more unscored than allowed (a float is a share, an int a count)."""
    for scoring in scorings:
        missing, count = scoring.unscored.total(), len(scoring.results)
        allowed = max_unscored * count if isinstance(max_unscored, float) else max_unscored
        if missing > allowed:
            click.echo(
                f"prm-eval: {missing:,} of {count:,} candidates are unscored by {scoring.model}, more than"
                f" --max-unscored {max_unscored:g} allows",
                err=True,
            )
            return 1
    return 0
