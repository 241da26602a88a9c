"""Failures that are not the user's to mend."""

from __future__ import annotations

from pathlib import Path


class FailedTrainingsError(Exception):
    """Some trainings of a run did not end; the others did, and their board stands. The message is one line."""


class LoggedFailureError(Exception):
    """An unexpected failure whose traceback stands in a log file already; ``__cause__`` is the failure itself."""

    def __init__(self, log: Path) -> None:
        super().__init__(f"the traceback is in {log}")
        self.log = log
