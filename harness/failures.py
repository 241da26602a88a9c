"""Failures that are not the user's to mend."""

from __future__ import annotations

from pathlib import Path


class LoggedFailureError(Exception):
    """An unexpected failure whose traceback stands in a log file already; ``__cause__`` is the failure itself."""

    def __init__(self, log: Path) -> None:
        super().__init__(f"the traceback is in {log}")
        self.log = log
