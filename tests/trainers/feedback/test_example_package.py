"""A feedback type in another installed package: really built, installed into a folder, found by the command line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).with_name("example_package")
SDBENCH = str(Path(sys.executable).parent / "sdbench")


def call(*arguments: str, path: Path | None = None) -> str:
    environment = {**os.environ, **({} if path is None else {"PYTHONPATH": str(path)})}
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=300, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_example_package_is_small() -> None:
    files = [file for file in PACKAGE.iterdir() if file.is_file()]
    assert sum(len(file.read_text().splitlines()) for file in files) < 60


def test_an_installed_package_is_found_through_its_entry_point(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    shutil.copytree(PACKAGE, source)
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
    call(*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), str(source))
    (wheel,) = tmp_path.glob("sdbench_example_feedback-1.0-*.whl")
    call(*pip, "install", "--no-deps", "--no-index", "--target", str(target), str(wheel))
    rows = {row["name"]: row for row in json.loads(call(SDBENCH, "list", "feedback", "--json", path=target))}
    assert rows["last_step"]["summary"] == "Paste the last step of the attempt alone."
    assert rows["last_step"]["rollout_dependent"] is True
    assert rows["last_step"]["reveals"] == []
    shown = call(SDBENCH, "show", "feedback", "last_step", path=target)
    assert "LastStep in sdbench_example_feedback" in shown
    assert "|attempt sum4:a4b3c7d8/q6+d8=r4;>" in shown
    without = [row["name"] for row in json.loads(call(SDBENCH, "list", "feedback", "--json"))]
    assert "last_step" not in without
    assert len(without) >= 20
