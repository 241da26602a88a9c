"""The rank stage: the board of one or more runs, from their results alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from sdbench.harness.run_directory import RunDirectory, write_atomically
from sdbench.leaderboards.board import Board
from sdbench.leaderboards.building import build_board
from sdbench.leaderboards.render.json import render_json
from sdbench.leaderboards.render.markdown import render_markdown
from sdbench.tasks.errors import UserError


def board_of(directories: Sequence[RunDirectory]) -> Board:
    """The board over every finished result of these folders.

    The primary contrasts are those that a run's recipe names, as far as their conditions have results; with several
    folders, or none named, every pair of rows.

    Raises:
        UserError: a folder has no finished result, or a damaged one.
    """
    results = []
    for directory in directories:
        found = directory.results()
        if not found:
            raise UserError(f"{directory.root} has no finished results yet; go on with `sdbench run --out` first")
        results += found
    contrasts = _named_contrasts(directories[0]) if len(directories) == 1 else None
    if contrasts is not None:
        present = {result.condition for result in results}
        contrasts = [pair for pair in contrasts if set(pair) <= present]
    return build_board(results, contrasts=contrasts or None)


def write_board(directory: RunDirectory, board: Board) -> None:
    """``leaderboard.json`` and ``leaderboard.md`` of a run."""
    write_atomically(directory.leaderboard_json, render_json(board))
    write_atomically(directory.leaderboard_markdown, render_markdown(board))


def show_board(board: Board, stream: TextIO | None = None) -> None:
    """The board on stdout (or another stream)."""
    from rich.console import Console

    from sdbench.leaderboards.render.terminal import print_board

    print_board(board, Console(file=stream))


def _named_contrasts(directory: RunDirectory) -> list[tuple[str, str]] | None:
    if directory.kind != "run":
        return None
    named = directory.resolved_recipe().get("leaderboard", {}).get("contrasts")
    return None if named is None else [(first, second) for first, second in named]
