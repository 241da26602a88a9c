"""Sampling: settings, seeds, the engine protocol and the sample store. Loads no torch."""
