"""The middle floor: what was found. Loads no torch."""
