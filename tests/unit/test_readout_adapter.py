"""LoRA adapters: the same scores as weights merged by hand; what cannot be added is refused."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_checkpoint import byte_tokenizer, save_adapter, save_causal

from prm_eval.errors import CheckpointError
from prm_eval.readout import Head, rendered
from prm_eval.readout.adapter import load_adapter
from prm_eval.readout.checkpoint import locate
from prm_eval.readout.forward import TorchEngine
from prm_eval.readout.weights import load_backbone

HEAD = Head(("lm_head",), outputs=2, bias=False, rows=(7, 3), stray=())
SHAPES = {
    "model.layers.0.self_attn.q_proj": (32, 32),
    "model.layers.1.self_attn.v_proj": (16, 32),
    "model.layers.1.mlp.down_proj": (32, 48),
}
ITEM = rendered([5, 6, 7, 12, 40, 9], [3, 5])


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A base and an adapter for it."""
    save_causal(tmp_path / "base", "llama", byte_tokenizer([]), {}, seed=1)
    save_adapter(tmp_path / "adapter", tmp_path / "base", SHAPES)
    return tmp_path / "base", tmp_path / "adapter"


def rows(path: Path, base: Path | None = None) -> torch.Tensor:
    """The readout of one input."""
    checkpoint = locate(str(path), None, None if base is None else str(base))
    return torch.from_numpy(TorchEngine(checkpoint, HEAD, "float32", "cpu", 64).rows([ITEM])[0])


def edit(adapter: Path, **values: object) -> None:
    """Change adapter_config.json."""
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize("head", [False, True])
def test_equals_merged(folders: tuple[Path, Path], tmp_path: Path, head: bool) -> None:
    """Adding at load gives the readout of weights merged by hand, with the LM head adapted or not."""
    base, adapter = folders
    vocabulary = len(load_file(base / "model.safetensors")["lm_head.weight"])
    changes = save_adapter(adapter, base, SHAPES | ({"lm_head": (vocabulary, 32)} if head else {}))
    merged = save_causal(tmp_path / "merged", "llama", byte_tokenizer([]), {}, seed=1)
    weights = merged.state_dict()
    for key, change in changes.items():
        weights[key] += change
    merged.save_pretrained(tmp_path / "merged")
    found = rows(adapter)
    torch.testing.assert_close(found, rows(tmp_path / "merged"), rtol=1e-5, atol=1e-5)
    with torch.no_grad():
        logits = merged(input_ids=torch.from_numpy(ITEM.ids).long()[None]).logits[0]
    torch.testing.assert_close(found, logits[[3, 5]][:, [7, 3]], rtol=1e-5, atol=1e-5)
    assert not torch.allclose(found, rows(base), atol=1e-2)
    torch.testing.assert_close(rows(adapter, base), found, rtol=0, atol=0)


def test_scale(folders: tuple[Path, Path]) -> None:
    """lora_alpha / r, and lora_alpha / sqrt(r) with use_rslora."""
    assert load_adapter(folders[1]).scale == 3.0
    edit(folders[1], use_rslora=True)
    assert load_adapter(folders[1]).scale == pytest.approx(6 / 2**0.5)


def test_identity_and_name(folders: tuple[Path, Path]) -> None:
    """Base, adapter and another adapter are three models, and the results name both folders."""
    base, adapter = folders
    found = locate(str(adapter), None)
    assert found.name == f"{adapter} on {base}"
    first = found.identity()
    save_adapter(adapter, base, SHAPES, seed=5)
    assert len({first, found.identity(), locate(str(base), None).identity()}) == 3


def test_own_tokenizer(folders: tuple[Path, Path]) -> None:
    """The adapter's tokenizer is taken when it brings one, else the base's."""
    base, adapter = folders
    assert locate(str(adapter), None).tokenizer_folder == base
    (adapter / "tokenizer.json").write_text((base / "tokenizer.json").read_text())
    assert locate(str(adapter), None).tokenizer_folder == adapter


def test_missing_adapter(folders: tuple[Path, Path]) -> None:
    """A base asked for without its adapter, or an adapter without weights, is refused."""
    base, adapter = folders
    with pytest.raises(CheckpointError, match="holds no adapter to add"):
        locate(str(base), None, str(base))
    (adapter / "adapter_model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"no adapter_model\.safetensors"):
        load_adapter(adapter)


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"peft_type": "IA3"}, "type 'IA3' is not read"),
        ({"use_dora": True}, "use_dora=True"),
        ({"bias": "all"}, "bias='all'"),
        ({"rank_pattern": {"q_proj": 4}}, "rank_pattern="),
        ({"r": 3}, "not of rank 3"),
    ],
)
def test_other_adapters(folders: tuple[Path, Path], values: dict[str, object], match: str) -> None:
    """An adapter whose formula is another one is refused by name."""
    edit(folders[1], **values)
    with pytest.raises(CheckpointError, match=match):
        load_adapter(folders[1])


def test_other_layers(folders: tuple[Path, Path]) -> None:
    """A whole layer, half a pair, an untrained pair and a foreign name are refused, not dropped."""
    base, adapter = folders
    path = adapter / "adapter_model.safetensors"
    tensors = load_file(path)
    save_file(tensors | {"base_model.model.lm_head.weight": torch.zeros(2, 2)}, path)
    with pytest.raises(CheckpointError, match=r"lm_head\.weight is no linear LoRA layer"):
        load_adapter(adapter)
    half = "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight"
    save_file({k: v for k, v in tensors.items() if k != half}, path)
    with pytest.raises(CheckpointError, match="half of the pair"):
        load_adapter(adapter)
    save_file({k: torch.zeros_like(v) if "lora_B" in k else v for k, v in tensors.items()}, path)
    with pytest.raises(CheckpointError, match="changes nothing"):
        load_adapter(adapter)
    save_adapter(adapter, base, {"model.layers.9.mlp.up_proj": (48, 32)})
    with pytest.raises(CheckpointError, match=r"model\.layers\.9\.mlp\.up_proj\.weight, which its base"):
        load_backbone(locate(str(adapter), None), HEAD, torch.float32, "cpu")


def test_no_base(folders: tuple[Path, Path], tmp_path: Path) -> None:
    """An adapter that names no base, or one that is an adapter itself, is refused."""
    base, adapter = folders
    save_adapter(tmp_path / "upper", adapter, SHAPES)
    with pytest.raises(CheckpointError, match="no whole model"):
        locate(str(tmp_path / "upper"), None)
    edit(adapter, base_model_name_or_path=None)
    with pytest.raises(CheckpointError, match="names no base"):
        locate(str(adapter), None)
    assert locate(str(adapter), None, str(base)).adapter == adapter


def test_untied_head_is_not_guessed(tmp_path: Path) -> None:
    """A checkpoint without lm_head.weight that does not say it is tied is refused, not read as tied."""
    save_causal(tmp_path, "llama", byte_tokenizer([]), {}, tied=True)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": False}))
    with pytest.raises(CheckpointError, match=r"lacks lm_head\.weight"):
        rows(tmp_path)


def test_row_outside_the_head(tmp_path: Path) -> None:
    """A token id that the LM head does not have is an error with the number."""
    save_causal(tmp_path, "llama", byte_tokenizer([]), {})
    head = Head(("lm_head",), outputs=2, bias=False, rows=(7, 99_999), stray=())
    with pytest.raises(CheckpointError, match="99999 is outside"):
        TorchEngine(locate(str(tmp_path), None), head, "float32", "cpu", 64)
