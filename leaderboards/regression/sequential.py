"""Looking at the evidence several times and stopping early, at the error rate of looking once.

Group-sequential boundaries by spending of alpha: Lan and DeMets 1983 (Biometrika 70:659), with their function of the
O'Brien-Fleming type (O'Brien and Fleming 1979, Biometrics 35:549), which spends next to nothing early. The looks at one
growing sample have independent increments in information, here 1 / variance of the difference, also where one side (the
baseline) is not sampled anew. Boundaries by recursive numerical integration (Armitage, McPherson and Rowe 1969,
J. R. Stat. Soc. A 132:235; Jennison and Turnbull 2000, Group Sequential Methods, ch. 19). The p value of a t statistic
is read as a normal score (Jennison and Turnbull, ch. 3.8). The two directions are spent apart, neither counting on the
other's stopping, so that each keeps its level whatever is done with the other.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import optimize, special

from sdbench.leaderboards.statistics import Array

# Points and half the width of the grid, in standard deviations, on which the density of the paths is kept.
_POINTS = 801
_WIDTH = 9.0

# Looks closer than this in information are one look, nothing to spend; the grid would not resolve the step either.
_SAME_LOOK = 1e-3


def spent_alpha(fraction: float, *, alpha: float) -> float:
    """How much of a one-sided ``alpha`` may be spent once this fraction of the information is there.

    ``2 (1 - Phi(z(1 - alpha/2) / sqrt(fraction)))``, Lan and DeMets 1983.

    Args:
        fraction: in (0, 1]; at 1 the whole of ``alpha`` is spent.
        alpha: one-sided level.
    """
    if not 0.0 < fraction <= 1.0:
        raise ValueError(f"information fraction {fraction} must be in (0, 1]")
    return float(2.0 * special.ndtr(special.ndtri(alpha / 2) / np.sqrt(fraction)))


def boundaries(fractions: Sequence[float], *, alpha: float) -> list[float]:
    """The normal score to be exceeded at each look, so that all looks together err at most at ``alpha``, one-sided.

    A boundary depends only on the looks up to its own. A look without new information cannot stop: its boundary is
    infinite; the last one, at 1, always spends what is left.

    Args:
        fractions: of the final information, at each look so far, in (0, 1].
        alpha: one-sided level.
    """
    found: list[float] = []
    grid: Array | None = None
    density = np.zeros(0)
    last, spent = 0.0, 0.0
    for fraction in fractions:
        new = fraction > last + _SAME_LOOK or (fraction == 1.0 and last < 1.0)
        allowed = spent_alpha(fraction, alpha=alpha) - spent if new else 0.0
        if allowed <= 1e-15:
            found.append(float("inf"))
            continue
        spent += allowed
        step = float(np.sqrt(max(_SAME_LOOK, fraction - last)))
        scale = float(np.sqrt(fraction))
        if grid is None:
            bound = float(-special.ndtri(allowed))
        else:
            weights = density * _trapezoid(grid)
            bound = _crossed_by(allowed, weights=weights, grid=grid, step=step, scale=scale)
        found.append(bound)
        # Brownian motion at this look, of the paths that have not crossed: on the grid up to the boundary.
        new_grid = np.linspace(-_WIDTH * scale, min(bound, _WIDTH) * scale, _POINTS)
        if grid is None:
            density = _normal_density(new_grid / scale) / scale
        else:
            weights = density * _trapezoid(grid)
            density = (_normal_density((new_grid[:, None] - grid[None, :]) / step) / step) @ weights
        grid, last = new_grid, fraction
    return found


def _crossed_by(share: float, *, weights: Array, grid: Array, step: float, scale: float) -> float:
    """The normal score that this share of all paths, those still on the grid, exceeds at the next look."""

    def excess(z: float) -> float:
        return float(weights @ special.ndtr((grid - z * scale) / step)) - share

    return float(optimize.brentq(excess, -_WIDTH, _WIDTH + 30.0, xtol=1e-10))


def _normal_density(x: Array) -> Array:
    density: Array = np.exp(-0.5 * x**2) / np.sqrt(2 * np.pi)
    return density


def _trapezoid(grid: Array) -> Array:
    weights = np.full(grid.size, grid[1] - grid[0])
    weights[[0, -1]] /= 2
    return weights
