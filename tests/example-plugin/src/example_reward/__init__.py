"""A reward model that likes short steps: all that a plugin needs."""

from prm_eval.hooks import hookimpl
from prm_eval.steps import candidate_steps
from prm_eval.types import Score, Unscored


class ShortSteps:
    """Likes short steps: a step of `length` characters scores one half."""

    default_aggregation = "mean"

    def __init__(self, length: int = 80) -> None:
        self.length = length

    def score(self, candidates):
        return [self.score_one(candidate) for candidate in candidates]

    def score_one(self, candidate):
        scores = tuple(self.length / (self.length + len(step.text)) for step in candidate_steps(candidate))
        return Score(sum(scores) / len(scores), scores) if scores else Unscored("no steps")


@hookimpl
def prm_eval_reward_models():
    return {"short-steps": ShortSteps}
