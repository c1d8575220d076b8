"""Selection, training and evaluation over a grid: what `prm-eval sft sweep` runs.

Invariant: every stage is a command line that can be typed; the sweep only orders them.
"""
