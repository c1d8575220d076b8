"""The options of `prm-eval sft select`, by what they are about."""

from pathlib import Path
from typing import Any

import click

from prm_eval.cli import options

PRESETS = ("candidates", "messages", "s1-59k", "s1k", "s1k-1.1", "openthoughts", "limo")
FORMATS = ("messages", "sharegpt", "candidates", "input")


class Threshold(click.ParamType[Any]):
    """`any`: None, one shared run of words is enough; else a share in (0, 1]."""

    name = "any|share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        """The share as a number; `any` stays a word, so that a manifest can hold it."""
        if value == "any":
            return "any"
        try:
            share = float(value)
        except (TypeError, ValueError):
            share = 0.0
        if not 0.0 < share <= 1.0:
            self.fail(f"'{value}': write any, or a share such as 0.5", param, ctx)
        return share


_COUNT = click.IntRange(1)
_SHARE = click.FloatRange(0.0, 1.0, min_open=True)

POOL = [
    click.option("--pool", "pool", multiple=True, required=True, metavar="FILE|GLOB|hub:OWNER/NAME",
                 help="Rows to choose from: .jsonl, .json or .parquet; hub:OWNER/NAME[:CONFIG][@REVISION]"
                      " for a data set of the hub; repeatable."),
    click.option("--split", default="train", show_default=True, help="Of a data set of the hub."),
    click.option("--preset", type=click.Choice(PRESETS),
                 help="Which columns hold what. s1-59k: simplescaling/data_ablation_full59K; s1k, s1k-1.1:"
                      " simplescaling/s1K, s1K-1.1; openthoughts: open-thoughts/OpenThoughts-114k:metadata;"
                      " limo: GAIR/LIMO; s1k-1.1 as programs that read it name them.  [default: candidates"
                      " and messages are recognised]"),
    click.option("--prompt-field", metavar="COLUMN", help="The question; a.b is the key b of the object a."),
    click.option("--thinking-field", metavar="COLUMN",
                 help="The thinking, when it stands apart.  [default: what is inside think tags]"),
    click.option("--response-field", metavar="COLUMN", help="The response."),
    click.option("--answer-field", metavar="COLUMN",
                 help="The gold answer; of a whole solution, what is boxed in it."),
    click.option("--id-field", metavar="COLUMN",
                 help="Names the problem; --scores joins by it.  [default: named by the prompt's hash]"),
    click.option("--source-field", metavar="COLUMN", help="Where a row comes from, for --per-source."),
    click.option("--messages-field", metavar="COLUMN",
                 help="Conversations of role and content, or from and value; the last turn is the response."),
    click.option("--limit", type=_COUNT, help="Only the first rows of the pool; never for a result."),
]  # fmt: skip
SCORES = [
    click.option("--reward-model", metavar="NAME[:OPTION=VALUE,...]",
                 help="Scores the rows (see `prm-eval plugins list`)."),
    click.option("--scores", "scores_paths", multiple=True, type=options.FILE,
                 help="Recorded scores instead: scores.jsonl; repeatable."),
    click.option("--score-model", metavar="NAME", help="Whose scores of --scores, when there are several."),
    click.option("--aggregation", metavar="NAME",
                 help="How step scores become one number.  [default: the model's own]"),
]  # fmt: skip
RULES = [
    click.option("--by", type=click.Choice(["best", "random", "longest", "all", "facility-location"]),
                 help="Best score first, in an order drawn from the seed, longest first, as they stand, or"
                      " those that together lie nearest to all rows by --embedding-field."
                      "  [default: best with a reward model or scores, else all]"),
    click.option("--top", type=_COUNT, metavar="K", help="How many to choose.  [default: all that pass]"),
    click.option("--min-score", type=float, help="Leave out rows that score less."),
    click.option("--verified", type=click.Choice(["first", "only"]),
                 help="Rows whose answer is right before all others, or only those."),
    options.grading[1],
    click.option("--per-problem", type=_COUNT, metavar="N", help="At most N rows of one prompt."),
    click.option("--per-source", type=_COUNT, metavar="N", help="At most N rows of one --source-field."),
    click.option("--keep-duplicates", is_flag=True, help="Keep rows that are equal but for white space."),
    click.option("--near-duplicates", type=_SHARE, metavar="SIMILARITY",
                 help="Leave out rows this similar (Jaccard, runs of five words) to a chosen one, e.g. 0.8."),
    click.option("--min-distance", type=click.FloatRange(0.0, 2.0, min_open=True), metavar="DISTANCE",
                 help="Leave out rows closer (1 - cosine) than this to a chosen one, e.g. 0.1."),
    click.option("--embedding-field", metavar="COLUMN",
                 help="The embeddings for --min-distance and --by facility-location."),
    click.option("--score-weight", type=click.FloatRange(0.0, 1.0), metavar="WEIGHT",
                 help="With --by facility-location: what the scores weigh beside the diversity; 0 diversity"
                      " alone, 1 scores alone.  [default: 0]"),
    click.option("--seed", type=int, default=0, show_default=True, help="Orders rows of equal rank."),
]  # fmt: skip
LENGTHS = [
    click.option("--min-length", type=click.IntRange(0), help="Of thinking and response together."),
    click.option("--max-length", type=click.IntRange(0), help="Of thinking and response together."),
    click.option("--length-unit", type=click.Choice(["words", "characters", "tokens"]), default="words",
                 show_default=True, help="Words are what stands between white space."),
    click.option("--tokenizer", type=click.Path(exists=True, file_okay=False, path_type=Path),
                 help="A folder with tokenizer.json, for --length-unit tokens."),
]  # fmt: skip
SETS = [
    click.option("--decontaminate", "decontaminate", multiple=True, metavar="NAME[=FILE]",
                 help="Remove rows that hold a question of math500, gpqa_diamond, gpqa_main, aime24 or"
                      " aime25; repeatable.  [default: all five]"),
    click.option("--no-decontaminate", is_flag=True, help="Keep them."),
    click.option("--contamination-threshold", type=Threshold(), default="any", show_default=True,
                 help="One shared run of eight words is enough, or this share of the question's words must"
                      " lie in such runs, e.g. 0.5."),
    click.option("--contamination-in", type=click.Choice(["prompt", "row"]), default="prompt",
                 show_default=True, help="Search the prompt, or thinking and response as well."),
]  # fmt: skip
OUTPUT = [
    click.option("--format", "form", type=click.Choice(FORMATS), default="messages", show_default=True,
                 help="TRL conversations, ShareGPT (LLaMA-Factory), candidates, or the pool's own rows."),
    click.option("--out", type=click.Path(file_okay=False, path_type=Path),
                 help="The run folder.  [default: prm_eval_runs/sft-<first file of the pool>]"),
    click.option("--dry-run", is_flag=True,
                 help="Check everything that needs no GPU and no model call, say what would be done, and"
                      " write nothing."),
    click.option("--store", "store_path", type=click.Path(dir_okay=False, path_type=Path),
                 help="Share scores between runs.  [default: OUT/store.sqlite]"),
]  # fmt: skip
