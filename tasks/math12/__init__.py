"""The task pack of the twelve real benchmarks for plain lm-eval, and how they are sampled by default."""
