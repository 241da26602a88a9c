"""Boundaries of repeated looks, against published ones and simulated paths."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from sdbench.leaderboards.regression.sequential import boundaries, spent_alpha


@pytest.mark.parametrize(
    ("looks", "published"),
    [
        # One-sided 0.025, spending of the O'Brien-Fleming type at equal looks: the tables that follow Lan and DeMets.
        (2, [2.9626, 1.9686]),
        (3, [3.7103, 2.5114, 1.9930]),
        (5, [4.8769, 3.3569, 2.6803, 2.2898, 2.0310]),
    ],
)
def test_boundaries_are_the_published_ones(looks: int, published: list[float]) -> None:
    found = boundaries([look / looks for look in range(1, looks + 1)], alpha=0.025)
    assert found == pytest.approx(published, abs=2e-4)


def test_one_look_is_the_fixed_test() -> None:
    assert boundaries([1.0], alpha=0.05) == pytest.approx([stats.norm.isf(0.05)])


def test_spending_is_all_of_alpha_at_the_end_and_next_to_nothing_early() -> None:
    assert spent_alpha(1.0, alpha=0.05) == pytest.approx(0.05)
    assert spent_alpha(0.25, alpha=0.05) == pytest.approx(2 * stats.norm.sf(stats.norm.isf(0.025) / 0.5))
    assert spent_alpha(0.05, alpha=0.05) < 1e-10
    with pytest.raises(ValueError, match="information fraction 0"):
        spent_alpha(0.0, alpha=0.05)


@pytest.mark.parametrize("fractions", [[0.4, 0.67, 0.86, 1.0], [0.9, 0.95, 1.0], [0.1, 0.5, 0.505, 1.0]])
def test_uneven_looks_err_at_alpha_on_simulated_paths(fractions: list[float]) -> None:
    generator = np.random.default_rng(5)
    steps = np.sqrt(np.diff([0.0, *fractions]))
    paths = np.cumsum(generator.standard_normal((200_000, len(fractions))) * steps, axis=1) / np.sqrt(fractions)
    crossed = (paths > boundaries(fractions, alpha=0.05)).any(axis=1).mean()
    assert crossed == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / 200_000))


def test_a_look_depends_on_those_before_it_alone_and_one_without_news_cannot_stop() -> None:
    whole = boundaries([0.3, 0.6, 1.0], alpha=0.05)
    assert boundaries([0.3, 0.6], alpha=0.05) == whole[:2]
    still = boundaries([0.3, 0.3, 0.25, 0.6, 1.0], alpha=0.05)
    assert still[1] == still[2] == float("inf")
    assert [still[0], *still[3:]] == pytest.approx(whole)
    # The last look spends what is left even where the one before it was almost there.
    assert boundaries([0.9995, 1.0], alpha=0.05)[1] < float("inf")
