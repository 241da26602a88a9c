"""What a check can see, as a table and as JSON values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console

from sdbench.leaderboards.regression.power import Sight
from sdbench.leaderboards.regression.rules import Rules
from sdbench.leaderboards.render.check import text_table
from sdbench.leaderboards.render.text import percent, short_names

HEADS = ("benchmark", "problems", "k", "SE", "margin", "sees a\nfall of", "unchanged\npasses", "smallest\nmargin")


def print_sights(sights: Mapping[str, Sequence[Sight]], console: Console, *, rules: Rules) -> None:
    """Print one block a number of samples, given as text; points, and percent of chance."""
    benchmarks = [sight.name for sight in next(iter(sights.values()))][1:]
    names = short_names(benchmarks)
    rows = [
        [
            names.get(sight.name, sight.name),
            str(sight.problems),
            k,
            percent(sight.standard_error),
            percent(sight.margin),
            percent(sight.fall),
            f"{100 * sight.passing:.0f} %",
            percent(sight.smallest_margin),
        ]
        for k, block in sights.items()
        for sight in block
    ]
    console.print(text_table(HEADS, rows, console=console, last_left=False), width=max(80, console.width), crop=False)
    chance = f"{100 * rules.power:g} %"
    for line in (
        "",
        f"Points. sees a fall of: that true fall is called regressed with a chance of {chance};",
        "unchanged passes: chance that an unchanged checkpoint is shown within the margin;",
        f"smallest margin: at which that chance is {chance}.",
    ):
        console.print(line, highlight=False, markup=False)


def sights_to_json(sights: Mapping[str, Sequence[Sight]]) -> list[dict[str, Any]]:
    """The same; shares."""
    return [{"k": k, **asdict(sight)} for k, block in sights.items() for sight in block]
