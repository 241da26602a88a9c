"""What is foretold: the difference that is seen, and the samples that would settle a verdict."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from sdbench.leaderboards.regression.excess import Excess
from sdbench.leaderboards.regression.measures import TaskMeans
from sdbench.leaderboards.regression.power import settle, sights
from sdbench.leaderboards.regression.rules import Rules

Z_HOLDS, Z_REGRESSED, Z_POWER = -special.ndtri(0.05), -special.ndtri(0.025), special.ndtri(0.8)


def excess(estimate: float, *, noise: float, baseline: float, problems: float = 0.0) -> Excess:
    return Excess(
        estimate=estimate,
        terms=[(noise + baseline + problems, np.inf)],
        noise=(noise,),
        baseline_noise=baseline,
    )


def test_samples_that_settle_give_the_promised_chance() -> None:
    now = excess(-0.02, noise=1e-4, baseline=2e-5)
    found = settle(now, rules=Rules(), bounds=(Z_HOLDS, Z_REGRESSED))
    assert found.times is not None
    then = np.sqrt(1e-4 / found.times + 2e-5)
    assert special.ndtr(0.02 / then - Z_HOLDS) == pytest.approx(0.8)
    worse = settle(excess(0.02, noise=1e-4, baseline=2e-5), rules=Rules(), bounds=(Z_HOLDS, Z_REGRESSED))
    assert worse.times is not None
    assert worse.times > found.times


def test_no_samples_settle_what_the_rest_of_the_variance_hides() -> None:
    hidden = settle(excess(-0.01, noise=1e-4, baseline=1e-4), rules=Rules(), bounds=(Z_HOLDS, Z_REGRESSED))
    assert hidden.times is None
    assert hidden.both == pytest.approx(2e-4 / (0.01 / (Z_HOLDS + Z_POWER)) ** 2)
    unlike = settle(
        excess(-0.01, noise=1e-5, baseline=1e-5, problems=1e-3), rules=Rules(), bounds=(Z_HOLDS, Z_REGRESSED)
    )
    assert unlike.times is unlike.both is None
    assert unlike.problems == pytest.approx(1.02e-3 / (0.01 / (Z_HOLDS + Z_POWER)) ** 2)
    at_the_margin = settle(excess(0.0, noise=1e-4, baseline=0.0), rules=Rules(), bounds=(Z_HOLDS, Z_REGRESSED))
    assert (at_the_margin.times, at_the_margin.both, at_the_margin.problems) == (None, None, None)


def test_sight_worked_by_hand() -> None:
    # 100 problems solved half of the time, k = 11: the variance of a mean is 1/40, of the benchmark's 1/4000.
    baseline = [TaskMeans.of_counts(task, np.full((1, 100), 5.5), k=11) for task in ("a", "b")]
    macro, first, _ = sights(baseline, rules=Rules(), times=[1.0, 1.0], family=5)
    assert first.standard_error == pytest.approx(np.sqrt(2 / 4000))
    assert macro.standard_error == pytest.approx(np.sqrt(1 / 4000))
    assert (macro.problems, first.problems) == (200, 100)
    assert macro.fall == pytest.approx(0.02 + (Z_REGRESSED + Z_POWER) * macro.standard_error)
    assert first.fall == pytest.approx(0.05 + (-special.ndtri(0.005) + Z_POWER) * first.standard_error)
    assert macro.passing == pytest.approx(special.ndtr(0.02 / macro.standard_error - Z_HOLDS))
    assert macro.smallest_margin == pytest.approx((Z_HOLDS + Z_POWER) * macro.standard_error)


def test_samples_problems_and_spread_change_the_sight_as_they_should() -> None:
    baseline = [TaskMeans.of_counts("a", np.full((1, 100), 5.5), k=11)]

    def error(*, rules: Rules | None = None, times: float = 1.0, problems: float = 1.0, spread: float = 0.0) -> float:
        return sights(baseline, rules=rules or Rules(), times=[times], problems=problems, spread=spread, family=4)[
            0
        ].standard_error

    assert error(times=1e9) == pytest.approx(error() / np.sqrt(2), rel=1e-6)
    assert error(problems=4) == pytest.approx(error() / 2)
    population = Rules(estimand="population")
    assert error(rules=population, spread=0.3) ** 2 == pytest.approx(error() ** 2 + 0.09 / 100)
    assert error(spread=0.3) == error()
