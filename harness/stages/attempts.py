"""How an attempt at a folder ended, told in its manifest."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sdbench.harness.failures import FailedTrainingsError, LoggedFailureError, storage_fault
from sdbench.harness.run_directory import RunDirectory
from sdbench.tasks.errors import UserError

_log = logging.getLogger(__name__)


@contextmanager
def recorded_status(directory: RunDirectory, log: Path) -> Iterator[None]:
    """Set the manifest's status to ``done``, ``interrupted`` or ``failed`` when the body ends.

    Raises:
        UserError: the disk is full, or cannot be written.
        LoggedFailureError: the body raised something unexpected; its traceback is in ``log``.
    """
    try:
        yield
    except KeyboardInterrupt:
        _told(directory, "interrupted")
        raise
    except (UserError, FailedTrainingsError):
        _told(directory, "failed")
        raise
    except Exception as error:
        _log.exception("failed")
        _told(directory, "failed")
        fault = storage_fault(error, folder=directory.root)
        if fault is not None:
            raise fault from error
        raise LoggedFailureError(log) from error
    directory.write_manifest(status="done")


def _told(directory: RunDirectory, status: str) -> None:
    """Write the status down, if the disk takes it: what it could not take is what the caller is told of."""
    with suppress(OSError, UserError):
        directory.write_manifest(status=status)
