"""``sdbench diagnose``: token advantages and readability of any checkpoint, without training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sdbench.harness.cli.options import PluginOption, TrainDataOption, load_plugins, whole_number


def diagnose(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model folder, or `nano`.")],
    more_feedback: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
    feedback: Annotated[
        list[str] | None,
        typer.Option(
            "--feedback",
            metavar="NAME ...",
            help="Feedback types that give a context; NAME:KEY=VALUE,.. with settings.",
        ),
    ] = None,
    problems: Annotated[
        int | None,
        typer.Option(
            "--problems",
            metavar="N",
            parser=whole_number,
            help="Validation problems of each of the twelve strata (default 8); 12 N rows of --train-data.",
        ),
    ] = None,
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
        int | None,
        typer.Option("--seed", metavar="N", parser=whole_number, help="Problems and rollouts follow from it."),
    ] = None,
    train_data: TrainDataOption = None,
    critic: Annotated[
        str | None,
        typer.Option(
            "--critic",
            metavar="NAME",
            help="Writes critiques; where there is no step truth, says where attempts go wrong. See `list critics`.",
        ),
    ] = None,
    critic_set: Annotated[
        list[str] | None,
        typer.Option("--critic-set", metavar="KEY=VALUE", help="A setting of that critic. Repeatable."),
    ] = None,
    rollouts: Annotated[
        Path | None,
        typer.Option(
            "--rollouts", metavar="FILE", help="Records of an earlier diagnosis: measure on their rollouts, draw none."
        ),
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option(
            "--max-tokens", metavar="N", parser=whole_number, help="Of a completion (96; 1024 with --train-data)."
        ),
    ] = None,
    trace: Annotated[
        list[str] | None,
        typer.Option("--trace", metavar="PROBLEM/SAMPLE", help="Draw this trace as a heat map. Repeatable."),
    ] = None,
    traces: Annotated[
        int,
        typer.Option(
            "--traces", metavar="N", parser=whole_number, help="Draw so many traces, wrong ones first (default 1)."
        ),
    ] = 1,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="A new folder for records and tables; else none.")
    ] = None,
    plugin: PluginOption = None,
) -> None:
    """Show where each feedback pushes a checkpoint, token by token, and whether its context can be read."""
    from sdbench.harness.stages.diagnose import TraceChoice, execute_diagnosis, prepare_diagnosis
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
        train_data=train_data,
        critic=critic,
        critic_settings=critic_set or (),
        rollouts=rollouts,
        max_tokens=max_tokens,
        traces=TraceChoice(names=tuple(trace or ()), count=traces),
    )
    execute_diagnosis(plan)
