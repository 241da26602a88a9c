"""``sdbench run``: train, evaluate, rank; called again on the same folder it goes on where it was."""

from __future__ import annotations

import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from sdbench.harness.cli.options import PluginOption, load_plugins, whole_number


class Backend(StrEnum):
    """The trainers that there are."""

    LOCAL = "local"


def run(
    more_conditions: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
    all_conditions: Annotated[bool, typer.Option("--all", help="Every condition of the recipe.")] = False,
    condition: Annotated[
        list[str] | None,
        typer.Option(
            "--condition",
            metavar="NAME ...",
            help="Conditions of the recipe, or feedback types, which then have the recipe's default objective.",
        ),
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
    backend: Annotated[Backend, typer.Option("--backend", help="The trainer.")] = Backend.LOCAL,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed", metavar="N", parser=whole_number, help="Seed of the run; training seeds are counted from it."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="The run's folder; a new one under runs/ if absent.")
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="A.B=V", help="Set one value of the recipe, written as TOML. Repeatable."),
    ] = None,
    plugin: PluginOption = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            metavar="N",
            parser=whole_number,
            help="Trainings at once, each in a process of its own; as many as the CPU allows if absent. "
            "The numbers stay the same.",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Say what would be drawn, how long it takes and what it needs; write nothing."),
    ] = False,
) -> None:
    """Train under each condition, evaluate every checkpoint, and rank them."""
    from sdbench.harness.stages.prepare import prepare_run
    from sdbench.tasks.errors import UserError

    if more_conditions and not condition:
        raise UserError(f"unexpected argument {more_conditions[0]!r}; conditions follow --condition")
    if all_conditions and condition:
        raise UserError("--all and --condition exclude each other; give one of them")
    if jobs is not None and jobs < 1:
        raise UserError(f"--jobs {jobs} trains nothing; give 1 or more")
    plugins = load_plugins(plugin)
    plan = prepare_run(
        recipe=recipe,
        names=None if all_conditions else [*(condition or ()), *(more_conditions or ())],
        base=base,
        train_data=train_data,
        seed=seed,
        out=out,
        overrides=overrides or (),
        plugins=plugins,
    )
    if dry_run:
        from sdbench.harness.stages.dry_run import show_dry_run

        show_dry_run(plan, jobs=jobs)
        return
    from sdbench.harness.stages.run import execute_run

    try:
        execute_run(plan, jobs=jobs)
    except KeyboardInterrupt:
        arguments = sys.argv[1:]
        if out is None:
            arguments += ["--out", str(plan.directory.root)]
        typer.echo(f"interrupted; go on with: {shlex.join(['sdbench', *arguments])}", err=True)
        raise typer.Exit(130) from None
