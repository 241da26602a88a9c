from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FLOORS = ("harness", "leaderboards", "tasks", "trainers")


def test_the_wheel_holds_what_git_holds(tmp_path: Path) -> None:
    """Built through the sdist from what git knows: nothing is left out, nothing strays in."""
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    source = tmp_path / "source"
    for name in tracked:
        if not (ROOT / name).exists() and not (ROOT / name).is_symlink():
            continue
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_symlink():
            target.symlink_to((ROOT / name).readlink())
        else:
            target.write_bytes((ROOT / name).read_bytes())
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(tmp_path / "dist"), str(source)],
        check=True,
        capture_output=True,
    )
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = {f"sdbench/{name}" for name in tracked if name.split("/")[0] in FLOORS and (ROOT / name).exists()}
    expected |= {"sdbench/__init__.py", "sdbench/py.typed"}
    assert packed == expected
