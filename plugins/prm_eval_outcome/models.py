"""Outcome models that read one number after a chat, loaded.

Invariant: where a closing token is trained, it stands once, at the very end, and is read there.
Sources: model cards of nvidia/AceMath-7B-RM, Nexusflow/Athene-RM-8B, internlm/internlm2-7b-reward,
nvidia/Llama-3.1-Nemotron-70B-Reward-HF.
"""

from functools import partial

from prm_eval.cards import Card, LoadOptions
from prm_eval.engines import load_card
from prm_eval.errors import CheckpointError
from prm_eval.readout import Head, ReadoutModel, Tokens
from prm_eval.readout.checkpoint import read_json
from prm_eval.readout.outcomes import ChatScalar

ACEMATH_SYSTEM = r"Please reason step by step, and check your final answer within \boxed{}."
VALUE = Head(("v_head",), outputs=1, bias=False)
# One generated token's first logit: the first row of the LM head, at the last token.
FIRST_LOGIT = Head(("lm_head",), outputs=1, bias=False, rows=(0,), stray=())
INTERNLM2_REWARD = 92527


def athene(tokens: Tokens) -> ChatScalar:
    """The chat and the tokenizer's cls token, where the value head reads."""
    cls_token = tokens.named("cls_token")
    if cls_token is None:
        raise CheckpointError(
            f"{tokens.folder}: tokenizer_config.json names no cls_token, at which this family is read: copy "
            "that file from the original checkpoint"
        )
    return ChatScalar(tokens, "athene-rm", VALUE, closing=tokens.marker(cls_token))


def internlm2(tokens: Tokens) -> ChatScalar:
    """The chat and the reward token that config.json names, where the value head reads."""
    closing = int(read_json(tokens.folder / "config.json").get("reward_token_id", INTERNLM2_REWARD))
    return ChatScalar(tokens, "internlm2-reward", VALUE, closing=closing)


def load_sequence_classifier(options: LoadOptions, card: Card) -> ReadoutModel:
    """transformers' own sequence classifier with one label."""
    return load_card(partial(ChatScalar, name="sequence-classifier"), options, card)


def load_acemath(options: LoadOptions, card: Card) -> ReadoutModel:
    """A sequence classifier with a system message of its own."""
    return load_card(partial(ChatScalar, name="acemath-rm", system=ACEMATH_SYSTEM), options, card)


def load_athene(options: LoadOptions, card: Card) -> ReadoutModel:
    """Athene-RM: its configuration names a class that nobody ships, the weights say enough."""
    return load_card(athene, options, card)


def load_internlm2(options: LoadOptions, card: Card) -> ReadoutModel:
    """InternLM2-Reward on a native Llama backbone."""
    return load_card(internlm2, options, card)


def load_nemotron(options: LoadOptions, card: Card) -> ReadoutModel:
    """Llama-3.1-Nemotron-70B-Reward: a causal model whose first logit is the reward."""
    return load_card(partial(ChatScalar, name="nemotron-70b-reward", head=FIRST_LOGIT), options, card)
