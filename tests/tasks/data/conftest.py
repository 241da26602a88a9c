"""Data folders of a test's own."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def _no_data_of_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each test names its data; what the machine has in its environment or cache shapes none of them."""
    monkeypatch.delenv("SDBENCH_DATA_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def put(tmp_path: Path) -> Callable[..., Path]:
    """Write rows (or raw lines) as ``data/NAME/test.jsonl`` and give the data folder."""

    def write(name: str, rows: Sequence[Mapping[str, Any] | str], stem: str = "test") -> Path:
        folder = tmp_path / "data"
        (folder / name).mkdir(parents=True, exist_ok=True)
        lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
        (folder / name / f"{stem}.jsonl").write_text("".join(f"{line}\n" for line in lines))
        return folder

    return write
