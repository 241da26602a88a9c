"""Recipes: what a run does, as TOML, and the schema that refuses what it does not know. Loads no torch."""
