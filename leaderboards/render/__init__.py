"""The board on a terminal, as Markdown and as JSON: each renderer shows what the board holds and computes nothing."""
