"""The data behind the browser: an index that loads at once, and texts in blocks.

Invariant: what stands in the page is JSON whose only content is base64 of gzipped JSON, so that no text
of a model can end the element that holds it; nothing is left out but what `most` cuts, which is told.
"""

import base64
import gzip
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from markupsafe import Markup

from prm_eval.pages.browsed import Source
from prm_eval.pages.browsed_pairs import PAIRS
from prm_eval.pages.browsed_responses import RESPONSES
from prm_eval.pages.browsed_steps import STEPS
from prm_eval.pages.runs import Run

PER_BLOCK = 50
SOURCES: Mapping[str, Source] = {"best_of_n": RESPONSES, "judge": PAIRS, "stepwise": STEPS}
_SAFE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
_MATHS = ("$", "\\(", "\\[")


@dataclass(frozen=True, slots=True)
class Browser:
    """Elements of the page: (id, content) of the index and of every block; `title` says of what."""

    title: str
    index: Markup
    blocks: list[tuple[str, Markup]]
    shown: int
    total: int
    maths: bool


def browser(runs: Sequence[Run], most: int | None) -> Browser | None:
    """Everything that the page's browser reads; None where no run has anything to browse.

    `most` rows are kept at most, the first of the first run on.
    """
    known = [(run, SOURCES[run.kind]) for run in runs if run.kind in SOURCES and SOURCES[run.kind].size(run)]
    if not known:
        return None
    total = sum(source.size(run) for run, source in known)
    left = total if most is None else most
    described, blocks = [], []
    for place, (run, source) in enumerate(known):
        kept = min(left, source.size(run))
        left -= kept
        described.append({"name": run.name, "kind": source.noun, **source.described(run, kept)})
        cut = enumerate(_blocks(source.texts(run, kept)))
        blocks += [(f"block-{place}-{number}", packed(rows)) for number, rows in cut]
    maths = any(sign in text for run, source in known for text in source.words(run) for sign in _MATHS)
    index = packed({"per_block": PER_BLOCK, "runs": described})
    title = ", ".join(dict.fromkeys(source.noun for _, source in known)).capitalize()
    return Browser(title, index, blocks, sum(len(one["rows"]) for one in described), total, maths)


def script_json(value: Any) -> Markup:
    """JSON that cannot end its script element, open a comment in it or break a line of a script."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    for sign, escape in _SAFE.items():
        text = text.replace(sign, escape)
    return Markup(text)  # noqa: S704 - no character that HTML knows is left in it


def packed(value: Any) -> Markup:
    """JSON text of base64 of gzip of the value's JSON; the same value gives the same text."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    data = gzip.compress(text.encode("utf-8", "replace"), 6, mtime=0)
    return script_json(base64.b64encode(data).decode("ascii"))


def _blocks(texts: Iterable[Any]) -> Iterator[list[Any]]:
    rest = iter(texts)
    while own := list(islice(rest, PER_BLOCK)):
        yield own
