"""A check on a terminal, and as Markdown for a job summary."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sdbench.leaderboards.regression.report import CheckReport, Comparison
from sdbench.leaderboards.regression.verdict import Decision
from sdbench.leaderboards.render.check_words import (
    HEADS,
    LOOK_HEADS,
    about,
    comparison_sentences,
    criteria_rows,
    legend,
    look_cells,
    title,
)
from sdbench.leaderboards.render.markdown import escape, markdown_table
from sdbench.leaderboards.render.text import clean

MIN_WIDTH = 80
_MARKS = {Decision.HOLDS: "✅", Decision.REGRESSED: "❌", Decision.UNDECIDED: "❔"}


def print_check(report: CheckReport, console: Console) -> None:
    """Print it. Words carry the meaning, not colour; a console narrower than 80 columns gets the layout of 80."""
    ascii_only = not console.encoding.lower().startswith("utf")
    width = max(MIN_WIDTH, console.width)

    def say(text: str, style: str = "") -> None:
        console.print(Text(clean(text, ascii_only=ascii_only), style=style), width=width, crop=False)

    say(title(report), "bold")
    several = len(report.comparisons) > 1
    for sentence in about(report):
        say(sentence)
    for comparison in report.comparisons:
        say("")
        for sentence in comparison_sentences(comparison, named=several):
            say(sentence)
        for table in _tables(report, comparison, console=console):
            say("")
            console.print(table, width=width, crop=False)
    say("")
    for line in (*legend(report.rules.alpha), *report.notes):
        say(line)


def _tables(report: CheckReport, comparison: Comparison, *, console: Console) -> list[Table]:
    verdict = comparison.verdict
    if verdict is None:
        return []
    rows = criteria_rows(verdict, alpha=report.rules.alpha)
    tables = [text_table(HEADS, rows, console=console)]
    if len(verdict.looks) > 1:
        looks = [look_cells(look, number) for number, look in enumerate(verdict.looks, start=1)]
        tables.append(text_table(LOOK_HEADS, looks, console=console))
    return tables


def text_table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], *, console: Console, last_left: bool = True
) -> Table:
    """A table without lines: names and (``last_left``) the words at the end stand left, numbers right."""
    ascii_only = not console.encoding.lower().startswith("utf")
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for index, head in enumerate(heads):
        left = index == 0 or (last_left and index == len(heads) - 1)
        table.add_column(head, justify="left" if left else "right", overflow="fold", vertical="top")
    for row in rows:
        table.add_row(*(Text(clean(cell, ascii_only=ascii_only)) for cell in row))
    return table


def render_check_markdown(report: CheckReport) -> str:
    """The same as GitHub-flavoured Markdown; names from outside are escaped."""
    parts = [f"## {_MARKS[report.decision]} sdbench check: {escape(title(report))}"]
    parts.append(" ".join(escape(sentence) for sentence in about(report)))
    several = len(report.comparisons) > 1
    for comparison in report.comparisons:
        if several:
            parts.append(f"### {_MARKS[comparison.decision]} {escape(comparison.name)}: {comparison.decision.value}")
        parts.append("\n".join(f"- {escape(text)}" for text in comparison_sentences(comparison, named=False)))
        verdict = comparison.verdict
        if verdict is None:
            continue
        rows = [[escape(cell) for cell in row] for row in criteria_rows(verdict, alpha=report.rules.alpha)]
        parts.append(markdown_table(HEADS, rows))
        if len(verdict.looks) > 1:
            looks = [
                [escape(cell) for cell in look_cells(look, number)]
                for number, look in enumerate(verdict.looks, start=1)
            ]
            parts.append(markdown_table(LOOK_HEADS, looks))
    parts.append(escape(" ".join(legend(report.rules.alpha))))
    if report.notes:
        parts.append("\n".join(f"- {escape(note)}" for note in report.notes))
    return "\n\n".join(parts) + "\n"
