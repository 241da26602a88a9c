"""``sdbench tune``: learning rates by one rule and one grid for every condition, on validation problems."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from sdbench.harness.cli.options import PluginOption, load_plugins, whole_number


def tune(
    more_conditions: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
    condition: Annotated[
        list[str] | None,
        typer.Option("--condition", metavar="NAME ...", help="Conditions of the recipe; all of them if absent."),
    ] = None,
    recipe: Annotated[str, typer.Option("--recipe", metavar="NAME|FILE", help="See `list recipes`.")] = "nano",
    base: Annotated[
        str | None, typer.Option("--base", metavar="MODEL", help="A model folder instead of the recipe's base.")
    ] = None,
    train_data: Annotated[
        Path | None,
        typer.Option(
            "--train-data", metavar="FILE", help="JSONL or Parquet with columns problem, answer, solution (optional)."
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed", metavar="N", parser=whole_number, help="Seed of the sweep; tuning seeds are counted from it."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="The sweep's folder; a new one under runs/ if absent.")
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="A.B=V", help="Set one value of the recipe, written as TOML. Repeatable."),
    ] = None,
    plugin: PluginOption = None,
) -> None:
    """Choose every condition's learning rate by one rule, on validation problems."""
    from sdbench.harness.stages.tune import execute_tuning, prepare_tuning
    from sdbench.tasks.errors import UserError

    if more_conditions and not condition:
        raise UserError(f"unexpected argument {more_conditions[0]!r}; conditions follow --condition")
    plugins = load_plugins(plugin)
    plan = prepare_tuning(
        recipe=recipe,
        names=[*condition, *(more_conditions or ())] if condition else None,
        base=base,
        train_data=train_data,
        seed=seed,
        out=out,
        overrides=overrides or (),
        plugins=plugins,
    )
    try:
        execute_tuning(plan)
    except KeyboardInterrupt:
        arguments = sys.argv[1:]
        if out is None:
            arguments += ["--out", str(plan.directory.root)]
        typer.echo(f"interrupted; go on with: {shlex.join(['sdbench', *arguments])}", err=True)
        raise typer.Exit(130) from None
