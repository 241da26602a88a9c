"""Step structure: where the steps of a trace begin and end, and where a rewrite departs from an attempt."""
