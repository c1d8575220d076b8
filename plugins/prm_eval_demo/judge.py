"""The embedded judge: any lm-eval model with the prompt file beside this module, read by the last box."""

from pathlib import Path

from prm_eval.harness.drawn import Drawn, Runs
from prm_eval.harness.judge import GenerativeJudge, load_judge
from prm_eval.harness.prompts import judge_prompt
from prm_eval.harness.protocol import JudgeProtocol
from prm_eval.harness.verdicts import assistant_1_or_2
from prm_eval.types import Pair
from prm_eval_demo import CARD_JUDGE

PROMPT = Path(__file__).parent / "judge.txt"
PROTOCOL = JudgeProtocol("demo-judge/1", judge_prompt(PROMPT), assistant_1_or_2)
# for `plugins check`, whose own example is no sum of this kind
EXAMPLE = Pair(
    "example",
    "Start with 5. Then add 4. Then multiply by 3. Then subtract 2. What is the result?",
    "5 + 4 = 9\n\n9 * 3 = 27\n\n27 - 2 = 25\n\n\\boxed{25}",
    "5 + 4 = 9\n\n9 * 3 = 28\n\n28 - 2 = 26\n\n\\boxed{26}",
)
LONGEST_OUTPUT = 128
"""Six lines of check and the box take 112 tokens."""


def load_demo_judge(
    folder: Path, device: str, batch_size: int, votes: int, temperature: float, seed: int
) -> GenerativeJudge:
    """The checkpoint of `folder` in float32, which is what it was measured in."""
    return load_judge(
        PROTOCOL,
        Drawn(votes, temperature, top_p=1.0, top_k=0, max_new_tokens=LONGEST_OUTPUT, seed=seed),
        Runs("hf", f"pretrained={folder},dtype=float32,device={device}", str(batch_size)),
        source={"proven": CARD_JUDGE.proven},
        example=EXAMPLE,
    )
