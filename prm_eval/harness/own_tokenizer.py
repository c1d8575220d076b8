"""Whether a back end reads the tokens that its checkpoint was trained on.

Invariant: a model whose tokenizer class splits text otherwise than the checkpoint's own tokenizer.json is
refused. transformers rebuilds some tokenizers from vocabulary and merges and drops the rest, without a word;
the texts still look like texts.
"""

from itertools import takewhile
from pathlib import Path
from typing import Any

from prm_eval.errors import CheckpointError

PROBE = (
    "Step 1: Let x = 12.5, so  \\frac{x}{2} = 6.25.\n\nStep 2: Thérèse's answer — 1024 — isn't \\boxed{-7}.\n"
    "\tdef f(n):\n    return n**2  # 第一步\n"
)


def check_tokenizer(lm: Any, name: str) -> None:
    """Compare a probe's ids; nothing is known, and nothing checked, of a model without the two files.

    Raises CheckpointError naming `name` and the first text that is split otherwise.
    """
    tokenizer = getattr(lm, "tokenizer", None)
    path = _own_file(str(getattr(tokenizer, "name_or_path", None) or ""), getattr(lm, "revision", None))
    encode = getattr(tokenizer, "encode", None)
    if path is None or not callable(encode):
        return
    from tokenizers import Tokenizer

    own = Tokenizer.from_file(str(path))
    own.no_truncation()
    own.no_padding()
    wanted, found = own.encode(PROBE, add_special_tokens=False), list(encode(PROBE, add_special_tokens=False))
    if wanted.ids == found:
        return
    alike = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(wanted.ids, found, strict=False)))
    start = max(wanted.offsets[min(alike, len(wanted) - 1)][0] - 10, 0)
    raise CheckpointError(
        f"{name}: {type(tokenizer).__name__} gives other tokens than the checkpoint's own {path} near "
        f"{PROBE[start : start + 30]!r}, so the model would read what it was not trained on: use the version "
        "of transformers that the checkpoint was saved with"
    )


def _own_file(place: str, revision: str | None) -> Path | None:
    """The tokenizer.json of a folder, or of a hub repository that has just been loaded."""
    if not place:
        return None
    if Path(place).is_dir():
        file = Path(place) / "tokenizer.json"
        return file if file.is_file() else None
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        cached = try_to_load_from_cache(place, "tokenizer.json", revision=revision)
    except HFValidationError:  # a name that no repository has
        return None
    return Path(cached) if isinstance(cached, str) else None
