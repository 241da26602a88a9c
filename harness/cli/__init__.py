"""The command line: one module a command. Nothing here imports torch before a command needs it."""

from sdbench.harness.cli.entry import main

__all__ = ["main"]
