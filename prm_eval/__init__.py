"""prm-eval: what is your reward model worth?"""

__version__ = "0.1.0"
