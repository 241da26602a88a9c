"""Which differences a check can see, and how many samples a verdict would take.

Normal approximations; ``docs/check.md`` holds them against simulated checks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from sdbench.leaderboards.regression.excess import Excess
from sdbench.leaderboards.regression.measures import TaskMeans
from sdbench.leaderboards.regression.rules import Rules

# More than this many times the samples is no answer to "how many would settle it".
MOST_TIMES = 1000.0


@dataclass(frozen=True, kw_only=True)
class Settling:
    """What would settle a verdict, were the difference what it is now estimated to be; None where nothing would.

    Attributes:
        times: how many times the checkpoint's samples.
        both: how many times the samples of both sides.
        problems: how many times the problems, at the same k.
    """

    times: float | None
    both: float | None
    problems: float | None


def settle(excess: Excess, *, rules: Rules, bounds: tuple[float, float]) -> Settling:
    """How much more evidence would end in a verdict with the chance ``rules.power``.

    Args:
        excess: of the macro, as it is now.
        rules: margins, level and power.
        bounds: the normal scores that ``holds`` and ``regressed`` took at the last look.
    """
    bound = bounds[0] if excess.estimate < 0 else bounds[1]
    needed = (excess.estimate / (bound + float(special.ndtri(rules.power)))) ** 2
    noise = sum(excess.noise)
    both = noise + excess.baseline_noise
    return Settling(
        times=_times(noise, rest=excess.variance - noise, needed=needed),
        both=_times(both, rest=excess.variance - both, needed=needed),
        problems=_times(excess.variance, rest=0.0, needed=needed),
    )


def _times(shrinking: float, *, rest: float, needed: float) -> float | None:
    """By what the samples must be multiplied so that ``rest + shrinking / times`` is at most ``needed``."""
    room = needed - max(0.0, rest)
    if np.isnan(shrinking) or room <= 0.0 or shrinking > room * MOST_TIMES:
        return None
    return max(1.0, shrinking / room)


@dataclass(frozen=True, kw_only=True)
class Sight:
    """What a check of these samples sees in one benchmark, or in the macro.

    Attributes:
        name: the benchmark, or ``macro``.
        problems: how many.
        standard_error: of the difference of two equal checkpoints.
        margin: how much lower is allowed.
        fall: the true fall that is called regressed with the chance ``rules.power``; a share.
        passing: the chance that an unchanged checkpoint is found within the margin.
        smallest_margin: the margin within which it is found with the chance ``rules.power``.
    """

    name: str
    problems: int
    standard_error: float
    margin: float
    fall: float
    passing: float
    smallest_margin: float


def sights(
    baseline: Sequence[TaskMeans],
    *,
    rules: Rules,
    times: Sequence[float],
    problems: float = 1.0,
    spread: float = 0.0,
    family: int,
) -> list[Sight]:
    """What a check against these results can see: the macro first, then each benchmark.

    The checkpoint's samples are taken to scatter as the baseline's. A benchmark has to be evident at the first step of
    Holm's adjustment.

    Args:
        baseline: accuracy of the baseline, without NaN.
        rules: margins, level, power and estimand.
        times: the checkpoint's samples a problem over the baseline's, by benchmark.
        problems: problems over the baseline's, for a suite still to be made.
        spread: standard deviation, over the problems of the population, of the true differences; needed only for
            the estimand ``population``, where two equal checkpoints would have none.
        family: how many benchmarks and guards share the level.
    """
    noise = [float(np.nanmean(task.noise_SP)) / (task.noise_SP.size * problems) for task in baseline]
    between = [
        spread**2 / (task.means_SP.shape[1] * problems) if rules.estimand == "population" else 0.0 for task in baseline
    ]
    variances = [n * (1 + 1 / more) + b for n, more, b in zip(noise, times, between, strict=True)]
    counts = [round(task.means_SP.shape[1] * problems) for task in baseline]
    macro = _sight(
        "macro",
        sum(counts),
        sum(variances) / len(variances) ** 2,
        margin=rules.margin,
        level=rules.regressed_alpha,
        rules=rules,
    )
    return [
        macro,
        *(
            _sight(
                task.task,
                count,
                variance,
                margin=rules.margin_of(task.task),
                level=rules.regressed_alpha / family,
                rules=rules,
            )
            for task, count, variance in zip(baseline, counts, variances, strict=True)
        ),
    ]


def _sight(name: str, problems: int, variance: float, *, margin: float, level: float, rules: Rules) -> Sight:
    error = float(np.sqrt(variance))
    z_power, z_holds = float(special.ndtri(rules.power)), float(-special.ndtri(rules.alpha))
    return Sight(
        name=name,
        problems=problems,
        standard_error=error,
        margin=margin,
        fall=margin + (float(-special.ndtri(level)) + z_power) * error,
        passing=float(special.ndtr(margin / error - z_holds)) if error > 0 else 1.0,
        smallest_margin=(z_holds + z_power) * error,
    )
