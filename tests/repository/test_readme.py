from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
SDBENCH = str(Path(sys.executable).parent / "sdbench")


def test_the_example_of_a_feedback_type_runs_and_gets_its_row(tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    (tmp_path / "shortest_peer.py").write_text(example)
    (command,) = re.findall(r"^sdbench (run --plugin .*)$", README, flags=re.MULTILINE)
    out = tmp_path / "run"
    subprocess.run(
        [SDBENCH, *command.split(), "--recipe", "smoke", "--out", str(out)],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    board = json.loads((out / "leaderboard.json").read_text())
    rows = {row["condition"]: row for row in board["rows"]}
    assert rows.keys() == {"base", "shortest_peer", "step_aligned_critique"}
    assert rows["shortest_peer"]["reveals"] == ["outcome", "peer_rollout"]
    assert len(rows["shortest_peer"]["benchmarks"]) == 12


def test_every_command_of_the_readme_exists() -> None:
    named = set(re.findall(r"(?:^|`|\$\()sdbench ([a-z]+(?:-[a-z]+)?)\b", README, flags=re.MULTILINE))
    helped = subprocess.run([SDBENCH, "--help"], check=True, capture_output=True, text=True).stdout
    shown = set(re.findall(r"^  ([a-z-]+)  ", helped, flags=re.MULTILINE))
    assert {"run", "eval", "leaderboard", "grade", "list", "show", "tasks-path"} <= shown
    assert named <= shown, named - shown


def test_every_folder_and_file_of_the_readme_exists() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
