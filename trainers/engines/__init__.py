"""Engines that draw completions: ``hf`` in this process."""
