"""Generative PRMs, loaded through lm-eval.

Invariant: a back end that cannot give log-likelihoods is refused before anything is generated.
"""

from prm_eval.cards import Card
from prm_eval.errors import BadOption, CheckpointError
from prm_eval.harness.models import load_model
from prm_eval_generative_prms import Drawn, Runs
from prm_eval_generative_prms.critic import Critic
from prm_eval_generative_prms.formats import FORMATS


def critic(form: str, card: Card, runs: Runs, drawn: Drawn, stepwise: bool) -> Critic:
    """One family on one back end.

    Raises BadOption for a chat server and for values that cannot be, CheckpointError for a
    tokenizer without a chat template.
    """
    if "chat" in runs.model:
        raise BadOption(
            f"model={runs.model}: chat servers give no log-likelihoods, and the decision is read from them: "
            "use model=local-completions on the same server"
        )
    if drawn.samples < 1 or drawn.max_new_tokens < 1 or drawn.temperature < 0:
        raise BadOption("samples and max_new_tokens begin at 1, temperature at 0: give values from there")
    if drawn.samples > 1 and drawn.temperature == 0:
        raise BadOption(f"samples={drawn.samples} with temperature=0 would be all alike: change one")
    asked = FORMATS[form](runs.prompt)
    lm = load_model(runs.model, runs.model_args, runs.batch_size)
    try:
        lm.apply_chat_template([{"role": "user", "content": "x"}])
    except Exception as error:  # tokenizers without a template raise what they like
        reason = " ".join(str(error).split())
        raise CheckpointError(
            f"{runs.model_args}: no conversation can be written ({type(error).__name__}: {reason}): add the "
            "chat template of the original checkpoint"
        ) from error
    source = {
        "model": runs.model,
        "model_args": runs.model_args,
        "prompt": str(runs.prompt or "ours"),
        "proven": card.proven,
    }
    return Critic(lm, asked, drawn, stepwise, source)
