"""``sdbench diagnose``: token advantages and readability of any checkpoint, without training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sdbench.harness.cli.options import PluginOption, load_plugins, whole_number


def diagnose(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model folder, or `nano`.")],
    more_feedback: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
    feedback: Annotated[
        list[str] | None,
        typer.Option("--feedback", metavar="NAME ...", help="Feedback types that give a context. See `list feedback`."),
    ] = None,
    problems: Annotated[
        int,
        typer.Option(
            "--problems",
            metavar="N",
            parser=whole_number,
            help="Validation problems of each of the twelve strata (default 8).",
        ),
    ] = 8,
    samples: Annotated[
        int, typer.Option("--samples", metavar="K", parser=whole_number, help="Rollouts a problem (default 4).")
    ] = 4,
    teacher: Annotated[
        str,
        typer.Option(
            "--teacher",
            metavar="live|MODEL",
            help="The checkpoint's own weights, or those of another model such as its base.",
        ),
    ] = "live",
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", parser=whole_number, help="Problems and rollouts follow from it.")
    ] = 0,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="A new folder for records and tables; else none.")
    ] = None,
    plugin: PluginOption = None,
) -> None:
    """Show where each feedback pushes a checkpoint, token by token, and whether its context can be read."""
    from sdbench.harness.stages.diagnose import execute_diagnosis, prepare_diagnosis
    from sdbench.tasks.errors import UserError

    if more_feedback and not feedback:
        raise UserError(f"unexpected argument {more_feedback[0]!r}; feedback types follow --feedback")
    plugins = load_plugins(plugin)
    plan = prepare_diagnosis(
        model=model,
        feedback=[*(feedback or ()), *(more_feedback or ())],
        teacher=teacher,
        problems_per_stratum=problems,
        samples=samples,
        seed=seed,
        out=out,
        plugins=plugins,
    )
    execute_diagnosis(plan)
