"""How often intervals cover and tests reject on simulated boards of one kind, each figure with its Monte Carlo error.

Every simulated board goes through the functions that a real one calls: ``mean_interval`` as in ``rows``,
``paired_contrast`` as in ``pairing``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from sdbench.leaderboards.contrasts import paired_contrast
from sdbench.leaderboards.simulation_population import (
    SAMPLES,
    Spread,
    checkpoint_accuracy,
    draw_benchmark,
    draw_difficulty,
    draw_means,
    draw_shifts,
    shift_to_accuracy,
    solve_condition,
)
from sdbench.leaderboards.statistics import Array, mean_interval

CONFIDENCE = 0.95

Rival = Literal["checkpoint", "condition", "base"]
"""What a condition is tested against: one checkpoint against another whose own accuracy is known, a condition with
as many training seeds of its own, or one untrained checkpoint."""


@dataclass(frozen=True, kw_only=True)
class Rate:
    """How many of the boards did it."""

    count: int
    boards: int

    @property
    def share(self) -> float:
        """The estimate."""
        return self.count / self.boards

    @property
    def error(self) -> float:
        """Monte Carlo standard error; two boards of each kind added (Agresti and Coull 1998), so that none is zero."""
        share = (self.count + 2) / (self.boards + 4)
        return float(np.sqrt(share * (1 - share) / (self.boards + 4)))


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """Of one kind of board: how often the limits held the truth, and how far apart they were.

    Attributes:
        target: coverage of what the interval promises: the condition's mean, with one seed that checkpoint's own.
        condition: coverage of the condition's mean, which is the same but for one seed.
        width: mean distance of the limits, a share.
        width_error: its Monte Carlo standard error.
    """

    target: Rate
    condition: Rate
    width: float
    width_error: float


def simulate_coverage(*, accuracy: float, seed_sd: float, seeds: int, boards: int, seed: int) -> Coverage:
    """Coverage of the macro's interval.

    Args:
        accuracy: the condition's macro accuracy, mean over training seeds, a share.
        seed_sd: standard deviation of the macro over training seeds, a share.
        seeds: training seeds on each board.
        boards: how many to draw.
        seed: of the simulation.
    """
    condition = solve_condition(accuracy=accuracy, seed_sd=seed_sd)
    rng = _generator(seed, "coverage", accuracy, seed_sd, seeds)
    own = whole = 0
    widths = np.empty(boards)
    for board in range(boards):
        shifts_SB = draw_shifts(rng, condition, seeds=seeds)
        means = draw_means(rng, centre=condition.centre, shifts_SB=shifts_SB, difficulty_BP=draw_difficulty(rng))
        interval = mean_interval(means, samples_per_problem=SAMPLES, confidence=CONFIDENCE)
        target = checkpoint_accuracy(condition.centre, shifts_SB[0]) if seeds == 1 else accuracy
        own += interval.low <= target <= interval.high
        whole += interval.low <= accuracy <= interval.high
        widths[board] = interval.high - interval.low
    return Coverage(
        target=Rate(count=own, boards=boards),
        condition=Rate(count=whole, boards=boards),
        width=float(widths.mean()),
        width_error=float(widths.std() / np.sqrt(boards)),
    )


def simulate_rejections(
    *,
    accuracy: float,
    seed_sd: float,
    seeds: int,
    rival: Rival,
    difference: float,
    boards: int,
    seed: int,
    level: float = 0.05,
) -> Rate:
    """How often the macro contrast's p lies below a level, before any adjustment for several contrasts.

    Args:
        accuracy: the first side's macro accuracy, mean over training seeds, a share.
        seed_sd: standard deviation of the macro over training seeds, a share, of both sides; a base has none.
        seeds: training seeds on each board; a rival checkpoint takes one.
        rival: the second side.
        difference: how much lower the second side's true accuracy is, a share; 0 gives the size of the test.
        boards: how many to draw.
        seed: of the simulation.
        level: of the test.

    Raises:
        ValueError: a rival checkpoint with several seeds.
    """
    if rival == "checkpoint" and seeds != 1:
        raise ValueError(f"rival {rival!r} with {seeds} seeds: checkpoints are compared one with one")
    first = solve_condition(accuracy=accuracy, seed_sd=seed_sd)
    second = solve_condition(accuracy=accuracy - difference, seed_sd=0.0 if rival == "base" else seed_sd)
    rng = _generator(seed, rival, accuracy, seed_sd, seeds, difference)
    rejected = 0
    for _ in range(boards):
        difficulty_BP = draw_difficulty(rng)
        first_SB = draw_shifts(rng, first, seeds=seeds)
        centre = second.centre
        if rival == "checkpoint":
            centre = first.centre
            target = checkpoint_accuracy(centre, first_SB[0]) - difference
            second_SB = shift_to_accuracy(centre=centre, shifts_B=first_SB[0], accuracy=target)[None]
        else:
            second_SB = draw_shifts(rng, second, seeds=1 if rival == "base" else seeds)
        contrast = paired_contrast(
            draw_means(rng, centre=first.centre, shifts_SB=first_SB, difficulty_BP=difficulty_BP),
            draw_means(rng, centre=centre, shifts_SB=second_SB, difficulty_BP=difficulty_BP),
        )
        rejected += contrast.p_value < level
    return Rate(count=rejected, boards=boards)


def simulate_edge(*, accuracy: float, spread: Spread, boards: int, seed: int) -> Coverage:
    """Coverage for one checkpoint on one benchmark at or near 0 or 1, where score limits take over.

    Args:
        accuracy: of the benchmark's population of problems, a share in [0, 1].
        spread: how the problems' own accuracies lie about it.
        boards: how many to draw.
        seed: of the simulation.
    """
    rng = _generator(seed, spread, accuracy)
    covered = 0
    widths = np.empty(boards)
    for board in range(boards):
        means_SP: Array = draw_benchmark(rng, accuracy=accuracy, spread=spread)
        interval = mean_interval([means_SP], samples_per_problem=SAMPLES, confidence=CONFIDENCE)
        covered += interval.low <= accuracy <= interval.high
        widths[board] = interval.high - interval.low
    rate = Rate(count=covered, boards=boards)
    return Coverage(
        target=rate, condition=rate, width=float(widths.mean()), width_error=float(widths.std() / np.sqrt(boards))
    )


def _generator(seed: int, kind: str, *numbers: float) -> np.random.Generator:
    """Each cell has a stream of its own, so that it gives the same number alone and in the whole table."""
    return np.random.default_rng([seed, *kind.encode(), *(round(10_000 * number) for number in numbers)])
