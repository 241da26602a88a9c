"""The nano world: arithmetic modulo ten with step-level truth (see the package docstrings)."""
