"""Nano problems in the shape that trainers take: a training pool, and a validation set over all twelve strata."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator

from sdbench.tasks.errors import UserError
from sdbench.tasks.nano.families import PROCEDURES, TRAINED_DEPTHS, Depth, Family
from sdbench.tasks.nano.problems import HiddennessRange, NanoProblem, Split, generate_problems
from sdbench.tasks.nano.traces import Notation, execute
from sdbench.tasks.problem import Problem

TRAINING_TASK = "nano_training"
VALIDATION_TASK = "nano_validation"


def to_problem(nano_problem: NanoProblem, *, task: str, seed: int) -> Problem:
    """A nano problem with its reference: one of its two procedures, drawn by seed and problem, in words."""
    path = random.Random(f"reference/{seed}/{nano_problem.digest}").choice(PROCEDURES)
    return Problem(
        id=nano_problem.digest[:16],
        text=nano_problem.text,
        answer=str(nano_problem.answer),
        solution=execute(nano_problem, path).write(Notation.WORDS),
        task=task,
    )


def training_problems(*, count: int, seed: int, hiddenness: HiddennessRange | None = None) -> list[Problem]:
    """``count`` distinct problems of the training split, the trained depths of all families in turn.

    A stratum that is used up leaves its turns to the others.

    Raises:
        UserError: there are not as many problems.
    """
    strata = [
        generate_problems(split=Split.TRAINING, family=family, depth=depth, seed=seed, hiddenness=hiddenness)
        for depth in TRAINED_DEPTHS
        for family in Family
    ]
    drawn = _in_turn(strata, count)
    if len(drawn) < count:
        raise UserError(
            f"count = {count} training problems, but the nano world has only {len(drawn)} of that hiddenness: "
            "ask for fewer or widen the range"
        )
    return [to_problem(problem, task=TRAINING_TASK, seed=seed) for problem in drawn]


def validation_problems(*, per_stratum: int, seed: int, hiddenness: HiddennessRange | None = None) -> list[Problem]:
    """``per_stratum`` distinct problems of the validation split from each of the twelve strata.

    Raises:
        UserError: a stratum has not as many problems.
    """
    strata = validation_strata(per_stratum=per_stratum, seed=seed, hiddenness=hiddenness)
    return [problem for problems in strata.values() for problem in problems]


def validation_strata(
    *,
    per_stratum: int,
    seed: int,
    hiddenness: HiddennessRange | None = None,
    depths: Collection[Depth] = tuple(Depth),
) -> dict[tuple[Family, Depth], list[Problem]]:
    """The same problems by stratum, depth by depth; of all depths, or of some.

    Raises:
        UserError: a stratum has not as many problems.
    """
    strata: dict[tuple[Family, Depth], list[Problem]] = {}
    for depth in (depth for depth in Depth if depth in depths):
        for family in Family:
            stratum = generate_problems(
                split=Split.VALIDATION, family=family, depth=depth, seed=seed, hiddenness=hiddenness
            )
            drawn = _in_turn([stratum], per_stratum)
            if len(drawn) < per_stratum:
                raise UserError(
                    f"per_stratum = {per_stratum}, but {family.value}_{depth.value} has only {len(drawn)} validation "
                    "problems of that hiddenness: ask for fewer or widen the range"
                )
            strata[family, depth] = [to_problem(problem, task=VALIDATION_TASK, seed=seed) for problem in drawn]
    return strata


def _in_turn(strata: list[Iterator[NanoProblem]], count: int) -> list[NanoProblem]:
    """Up to ``count`` problems, one from each stratum in turn until all are used up."""
    drawn: list[NanoProblem] = []
    live = list(strata)
    while live and len(drawn) < count:
        for stratum in list(live):
            problem = next(stratum, None)
            if problem is None:
                live.remove(stratum)
            elif len(drawn) < count:
                drawn.append(problem)
    return drawn
