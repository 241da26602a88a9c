"""The stages of a run, each a function from what was prepared to what is written down."""
