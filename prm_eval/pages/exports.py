"""The main table of a run as text for elsewhere: Markdown, LaTeX with booktabs, CSV.

Invariant: the same cells as on the page; what the target would read as markup is escaped.
"""

import csv
import io
import re
from collections.abc import Callable, Sequence

from prm_eval.pages import judged, sft, stepped
from prm_eval.pages.parts import Table
from prm_eval.pages.runs import Run
from prm_eval.pages.selectors import value_table

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
    "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--",
}  # fmt: skip
_SPECIAL = re.compile("[" + re.escape("".join(_LATEX)) + "]")


def main_table(run: Run) -> Table:
    """Every selector at every k, every number of judges or of step scores; of SFT its facts."""
    tables: dict[str, Callable[[Run], Table]] = {
        "best_of_n": value_table, "judge": judged.numbers, "stepwise": stepped.numbers,
        "sft_select": sft.stages, "sft_train": sft.trained, "sft_collect": sft.accuracies,
    }  # fmt: skip
    return tables[run.kind](run)


def markdown(table: Table) -> str:
    """A pipe table; numbers stand to the right."""
    rule = [":---" if place < table.names else "---:" for place in range(len(table.columns))]
    rows = [[_cell(cell) for cell in row] for row in (table.columns, *table.rows)]
    return "".join(f"| {' | '.join(row)} |\n" for row in (rows[0], rule, *rows[1:]))


def latex(table: Table) -> str:
    r"""A tabular for `\usepackage{booktabs}`."""
    form = "l" * table.names + "r" * (len(table.columns) - table.names)
    head, *rows = [
        " & ".join(_escaped(cell) for cell in row) + r" \\" for row in (table.columns, *table.rows)
    ]
    lines = [
        rf"\begin{{tabular}}{{{form}}}",
        r"\toprule",
        head,
        r"\midrule",
        *rows,
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def comma_separated(table: Table) -> str:
    """CSV as RFC 4180 has it, with a line of names, but with plain line ends."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([table.columns, *table.rows])
    return out.getvalue()


def export(runs: Sequence[Run], form: str) -> str:
    """The main tables of the runs, one after the other, in one of `FORMATS`."""
    return "\n".join(FORMATS[form](main_table(run)) for run in runs)


FORMATS: dict[str, Callable[[Table], str]] = {"markdown": markdown, "latex": latex, "csv": comma_separated}


def _cell(text: str) -> str:
    return re.sub(r"([\\|<>*_`\[\]])", r"\\\1", " ".join(text.split()))


def _escaped(text: str) -> str:
    plain = " ".join(text.split())
    # a bracket that opens a row would be read as the option of the line end before it
    return ("{}" if plain.startswith("[") else "") + _SPECIAL.sub(lambda match: _LATEX[match[0]], plain)
