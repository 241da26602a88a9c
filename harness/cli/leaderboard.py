"""``sdbench leaderboard``: the ranking of one or more runs, rebuilt from their results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def leaderboard(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN ...", help="Folders of `run` or `eval`.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the board as JSON.")] = False,
    markdown: Annotated[Path | None, typer.Option("--markdown", metavar="FILE", help="Write it as Markdown.")] = None,
) -> None:
    """Rebuild and show the ranking of one or more runs."""
    from sdbench.harness.run_directory import RunDirectory, write_atomically
    from sdbench.harness.stages.curves import curves_of, show_curves
    from sdbench.harness.stages.rank import advantages_of, board_of, markdown_of, show_board
    from sdbench.harness.stages.rates import rates_of, show_rates
    from sdbench.leaderboards.render.json import render_json
    from sdbench.tasks.errors import UserError

    if markdown is not None and (markdown.is_dir() or not markdown.absolute().parent.is_dir()):
        raise UserError(f"--markdown {markdown} cannot be written; give a file in a folder that exists")
    directories = [RunDirectory.existing(path) for path in runs]
    board, advantages = board_of(directories), advantages_of(directories)
    rates = [rates_of(directory) for directory in directories]
    curves = [curves_of(directory) for directory in directories]
    if markdown is not None:
        write_atomically(markdown, markdown_of(board, advantages))
    if as_json:
        typer.echo(render_json(board, advantages))
    elif markdown is None:
        show_board(board, advantages)
        for sentences, curve_set in zip(rates, curves, strict=True):
            show_rates(sentences)
            show_curves(curve_set)
