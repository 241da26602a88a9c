"""What several commands share: conditions by name, and how an interrupted call says that it goes on."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import typer

from sdbench.harness.cli.options import interrupt_told, named_conditions
from sdbench.tasks.errors import UserError


@pytest.mark.parametrize(
    ("folder", "command"),
    [(None, "sdbench eval 'a b' --out o"), (Path("runs/one two"), "sdbench eval 'a b' --out o --out 'runs/one two'")],
)
def test_an_interrupt_says_how_to_go_on(
    folder: Path | None, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["/bin/sdbench", "eval", "a b", "--out", "o"])
    with pytest.raises(typer.Exit) as ended, interrupt_told(new_folder=folder):
        raise KeyboardInterrupt
    assert ended.value.exit_code == 130
    assert capsys.readouterr().err == f"interrupted; go on with: {command}\n"


def test_conditions_are_those_behind_the_option() -> None:
    assert named_conditions(["a"], ["b", "c"]) == ["a", "b", "c"]
    assert named_conditions(None, None) == []
    with pytest.raises(UserError, match="unexpected argument 'b'; conditions follow --condition"):
        named_conditions(None, ["b"])
