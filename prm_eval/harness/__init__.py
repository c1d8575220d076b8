"""The lm-eval door: the one package that knows lm-evaluation-harness.

Invariant: importing it imports neither lm_eval nor torch; each of its modules is imported when used.
"""
