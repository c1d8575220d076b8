"""What our installation must not break: the harness's own maths tasks."""

from importlib.metadata import version

from lm_eval.tasks.minerva_math import utils


def test_the_harness_still_grades_maths() -> None:
    """minerva_math imports (it insists on antlr 4.11) and knows that a half is 0.5."""
    assert version("antlr4-python3-runtime").startswith("4.11")
    assert utils.is_equiv("0.5", r"\frac{1}{2}")
