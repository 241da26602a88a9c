"""The rank stage: the board of one or more runs, from their results alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from sdbench.harness.run_directory import RunDirectory, write_atomically
from sdbench.leaderboards.advantages import AdvantageSummary, summarise_advantages
from sdbench.leaderboards.board import Board
from sdbench.leaderboards.building import build_board
from sdbench.leaderboards.render.advantages import print_advantages, render_advantages_markdown
from sdbench.leaderboards.render.json import render_json
from sdbench.leaderboards.render.markdown import render_markdown
from sdbench.tasks.errors import UserError
from sdbench.tasks.token_records import read_records

# What a run diagnoses.
DIAGNOSED = "the base, before training"


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
        if not found and directory.kind == "tuning":
            raise UserError(f"{directory.root} was made by `sdbench tune` and ranks nothing; read its tuning.md")
        if not found:
            raise UserError(f"{directory.root} has no finished results yet; go on with `sdbench run --out` first")
        results += found
    contrasts = _named_contrasts(directories[0]) if len(directories) == 1 else None
    if contrasts is not None:
        present = {result.condition for result in results}
        contrasts = [pair for pair in contrasts if set(pair) <= present]
    return build_board(results, contrasts=contrasts or None)


def advantages_of(directories: Sequence[RunDirectory]) -> list[AdvantageSummary]:
    """What every diagnosed condition of these runs did to the base, computed from the records.

    In the order of the recipe; of several runs each label bears its folder's name.

    Raises:
        UserError: a file of records is damaged.
    """
    summaries = []
    for directory in directories:
        found = [read_records(path) for path in directory.advantage_files()]
        order = list(directory.resolved_recipe()["conditions"]) if found else []
        for header, records in sorted(found, key=lambda pair: order.index(pair[0].condition)):
            label = header.condition if len(directories) == 1 else f"{header.condition} ({directory.root.name})"
            summaries.append(summarise_advantages(header, records, label=label))
    return summaries


def write_board(directory: RunDirectory, board: Board, advantages: Sequence[AdvantageSummary] = ()) -> None:
    """``leaderboard.json`` and ``leaderboard.md`` of a run."""
    write_atomically(directory.leaderboard_json, render_json(board, advantages))
    write_atomically(directory.leaderboard_markdown, markdown_of(board, advantages))


def markdown_of(board: Board, advantages: Sequence[AdvantageSummary]) -> str:
    """The board as a page, token advantages below it."""
    page = render_markdown(board)
    return f"{page}\n{render_advantages_markdown(advantages, subject=DIAGNOSED)}" if advantages else page


def show_board(board: Board, advantages: Sequence[AdvantageSummary] = (), stream: TextIO | None = None) -> None:
    """The board on stdout (or another stream), token advantages below it."""
    from rich.console import Console

    from sdbench.leaderboards.render.terminal import print_board

    console = Console(file=stream)
    print_board(board, console)
    print_advantages(advantages, console, subject=DIAGNOSED)


def _named_contrasts(directory: RunDirectory) -> list[tuple[str, str]] | None:
    if directory.kind != "run":
        return None
    named = directory.resolved_recipe().get("leaderboard", {}).get("contrasts")
    return None if named is None else [(first, second) for first, second in named]
