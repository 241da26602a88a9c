"""``sdbench power``: which difference a check against these results can see, with so many samples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from sdbench.harness.cli.check import benchmark_margins


def power(
    results: Annotated[
        Path, typer.Argument(metavar="RESULTS", help="The baseline: a folder of `eval` or `run`, or its file.")
    ],
    row: Annotated[
        str | None, typer.Option("--row", metavar="NAME", help="Which checkpoint of it; condition@seed.")
    ] = None,
    k: Annotated[
        str | None,
        typer.Option("--k", metavar="N,...", help="Samples per problem of the checkpoint; the baseline's if absent."),
    ] = None,
    problems: Annotated[
        float, typer.Option("--problems", metavar="TIMES", help="As if there were so many times the problems.")
    ] = 1.0,
    margin: Annotated[float, typer.Option("--margin", metavar="POINTS", help="As in `check`.")] = 2.0,
    benchmark_margin: Annotated[
        list[str] | None, typer.Option("--benchmark-margin", metavar="[TASK=]POINTS", help="As in `check`.")
    ] = None,
    spread: Annotated[
        float | None,
        typer.Option(
            "--population",
            metavar="POINTS",
            help="As `check --population`: the standard deviation of the true differences over problems.",
        ),
    ] = None,
    alpha: Annotated[float, typer.Option("--alpha", help="As in `check`.")] = 0.05,
    chance: Annotated[float, typer.Option("--power", help="The chance with which it is to be seen.")] = 0.8,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Which difference a check sees, by benchmark and macro."""
    from sdbench.harness.stages.check_sources import choose_row, read_against
    from sdbench.harness.stages.power import sights_of_result
    from sdbench.leaderboards.regression.rules import Rules
    from sdbench.leaderboards.render.power import print_sights, sights_to_json

    general, by_task = benchmark_margins(benchmark_margin or ())
    rules = Rules(
        margin=margin / 100,
        benchmark_margin=general / 100,
        task_margins={task: points / 100 for task, points in by_task.items()},
        alpha=alpha,
        power=chance,
        estimand="problems" if spread is None else "population",
    )
    source = read_against(results, pin=None, option="RESULTS")
    chosen = choose_row(source.held.results, row, option="--row")
    found = sights_of_result(chosen, rules=rules, k=k, problems=problems, spread=(spread or 0.0) / 100)
    if as_json:
        typer.echo(json.dumps({"format_version": 1, "sights": sights_to_json(found)}, indent=1))
        return
    from rich.console import Console

    print_sights(found, Console(), rules=rules)
