"""The suite `nano12`: four families at three depths as lm-eval tasks. See `loader` for the data and its lock."""
