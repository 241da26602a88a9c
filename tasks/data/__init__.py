"""The real benchmarks and training sets: where they come from, how they are read, and what locks them. No torch."""
