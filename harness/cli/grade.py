"""``sdbench grade``: verdicts for (gold, prediction) pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def grade(
    pairs: Annotated[
        Path, typer.Argument(metavar="IN.jsonl", help='Lines of {"gold", "prediction", "kind": "text" or "answer"}.')
    ],
    out: Annotated[Path, typer.Option("--out", metavar="OUT.jsonl", help="The same lines with their verdicts.")],
) -> None:
    """Grade a file of (gold, prediction) pairs."""
    from sdbench.tasks.grading.files import grade_file
    from sdbench.tasks.grading.math_grader import MathGrader

    with MathGrader() as grader:
        counts = grade_file(pairs, out, grader)
    typer.echo(", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items())) or "no lines")
