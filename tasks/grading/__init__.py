"""Grading: one interface for training, lm-eval and `sdbench grade`. Loads no torch."""
