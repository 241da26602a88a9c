"""Objectives as pure functions: tensors and keyword-only options in, one value per token out; reduction is apart.

Shape suffixes: P problem, G rollout in its group, B = P*G, T completion position, N tokens laid end to end,
V vocabulary, K top-k slot, D hidden width.
"""
