"""A tokenizer class that rebuilds the checkpoint's tokenizer wrongly: refused, or not asked at all."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from prm_eval_demo import POLICY
from tokenizers import Regex, Tokenizer, pre_tokenizers

from prm_eval.errors import CheckpointError
from prm_eval.harness.models import load_model
from prm_eval.harness.own_tokenizer import PROBE, check_tokenizer
from prm_eval.readout import Tokens

TEXT = "Start with 12. Then add 12."


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A Qwen2 checkpoint whose own tokenizer keeps numbers whole; transformers' class takes digits apart."""
    made = tmp_path / "model"
    shutil.copytree(POLICY, made)
    file = made / "tokenizer.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    model = content["model"]
    number = model["vocab"].pop("".join(model["merges"].pop()))
    model["vocab"]["12"] = number
    model["merges"].append(["1", "2"])
    file.write_text(json.dumps(content), encoding="utf-8")
    own = Tokenizer.from_file(str(file))
    own.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex("[0-9]+|[^0-9]+"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    own.save(str(file))
    return made


def test_the_trap_is_real(folder: Path) -> None:
    """transformers gives other ids than the file beside the weights, and says nothing."""
    from transformers import AutoTokenizer

    own = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(TEXT, add_special_tokens=False)
    assert "12" in own.tokens
    assert AutoTokenizer.from_pretrained(folder).encode(TEXT, add_special_tokens=False) != own.ids


def test_the_readout_reads_the_file(folder: Path) -> None:
    """Reward models of the readout get the checkpoint's own tokens: no class stands between."""
    own = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(TEXT, add_special_tokens=False)
    assert Tokens(folder).encode(TEXT) == own.ids


def test_a_model_of_lm_eval_is_refused(folder: Path) -> None:
    """Policies, judges and generative PRMs run on lm-eval's classes: a wrong one is named, with the place."""
    with pytest.raises(CheckpointError, match=r"Qwen2Tokenizer gives other tokens .* near '.*12\.5"):
        load_model("hf", f"pretrained={folder}")


def test_the_original_passes() -> None:
    """A checkpoint that transformers reads as it is passes; so does a model without a tokenizer."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(POLICY)
    check_tokenizer(SimpleNamespace(tokenizer=tokenizer), "policy")
    assert Tokens(POLICY).encode(PROBE) == tokenizer.encode(PROBE, add_special_tokens=False)
    check_tokenizer(SimpleNamespace(), "replayed")


def test_a_hub_name(monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path) -> None:
    """What was loaded from the hub is found in its cache, at the revision that was asked for."""
    import huggingface_hub.constants
    from transformers import AutoTokenizer

    cache = tmp_path / "hub"
    commit = "0" * 40
    snapshot = cache / "models--org--name" / "snapshots" / commit
    snapshot.mkdir(parents=True)
    shutil.copy(folder / "tokenizer.json", snapshot)
    (cache / "models--org--name" / "refs").mkdir()
    (cache / "models--org--name" / "refs" / "v1").write_text(commit)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.name_or_path = "org/name"
    with pytest.raises(CheckpointError, match="policy: Qwen2Tokenizer gives other tokens"):
        check_tokenizer(SimpleNamespace(tokenizer=tokenizer, revision="v1"), "policy")
    check_tokenizer(SimpleNamespace(tokenizer=tokenizer, revision="v2"), "not cached: not known")
