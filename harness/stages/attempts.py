"""How an attempt at a folder ended, told in its manifest."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sdbench.harness.failures import FailedTrainingsError, LoggedFailureError
from sdbench.harness.run_directory import RunDirectory
from sdbench.tasks.errors import UserError

_log = logging.getLogger(__name__)


@contextmanager
def recorded_status(directory: RunDirectory, log: Path) -> Iterator[None]:
    """Set the manifest's status to ``done``, ``interrupted`` or ``failed`` when the body ends.

    Raises:
        LoggedFailureError: the body raised something unexpected; its traceback is in ``log``.
    """
    try:
        yield
    except KeyboardInterrupt:
        directory.write_manifest(status="interrupted")
        raise
    except (UserError, FailedTrainingsError):
        directory.write_manifest(status="failed")
        raise
    except Exception as error:
        _log.exception("failed")
        directory.write_manifest(status="failed")
        raise LoggedFailureError(log) from error
    directory.write_manifest(status="done")
