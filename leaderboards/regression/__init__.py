"""Whether a checkpoint is worse than its baseline: verdicts, sequential looks, power, pinned baselines. No torch."""
