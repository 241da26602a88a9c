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
    from sdbench.harness.stages.rank import document_of, show_document
    from sdbench.leaderboards.render.document import render_document_markdown
    from sdbench.leaderboards.render.json import render_json
    from sdbench.tasks.errors import UserError

    # Looked at before the board is built: a typo is told at once.
    if markdown is not None and not markdown.absolute().parent.is_dir():
        raise UserError(f"--markdown {markdown} cannot be written; give a file in a folder that exists")
    document = document_of([RunDirectory.existing(path) for path in runs])
    if markdown is not None:
        try:
            write_atomically(markdown, render_document_markdown(document))
        except OSError as error:
            raise UserError(
                f"--markdown {markdown} cannot be written ({error.strerror}); give a file in a folder that is writable"
            ) from None
    if as_json:
        typer.echo(render_json(document))
    elif markdown is None:
        show_document(document)
