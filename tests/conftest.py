"""What tests of several floors need."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_REPOSITORY = Path(__file__).resolve().parents[1]
# Read once: tests take the variable out of the environment.
_NAMED = os.environ.get("SDBENCH_DATA_DIR")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of the real benchmarks: ``SDBENCH_DATA_DIR``, else ``../shared/data`` beside the repository."""
    folder = Path(_NAMED) if _NAMED else _REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real benchmarks are not here: set SDBENCH_DATA_DIR to their folder")
    return folder
