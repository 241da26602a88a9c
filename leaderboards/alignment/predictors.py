"""What is known before any training, set against the gain after it: rank correlations over conditions. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from sdbench.leaderboards.contrasts import holm
from sdbench.leaderboards.statistics import Array, t_quantile

# With fewer conditions the interval of a correlation says nothing: its standard error divides by n - 3.
FEWEST = 5


@dataclass(frozen=True, kw_only=True)
class Foretold:
    """One condition: what was measured before, and what came of it.

    Attributes:
        condition: its name.
        run: the run it stands in; conditions are ranked within theirs.
        predictors: by name; None where one is undefined.
        gain: macro over the base's, as a share; None where there is none.
    """

    condition: str
    run: str
    predictors: dict[str, float | None]
    gain: float | None


@dataclass(frozen=True, kw_only=True)
class PredictorRow:
    """How well one predictor foretells the gain.

    Attributes:
        name: of the predictor.
        conditions: how many have both values.
        undefined: conditions that lack it.
        rho: Spearman's rank correlation; None where it is undefined.
        low, high: its limits.
        p_value, holm_p: of no correlation; adjusted over the predictors.
        without_low, without_high: least and greatest correlation when one condition is left out.
        most_telling: the condition whose omission changes it most.
        error: mean absolute error, as a share, of the gain of a condition foretold by a line through all the others.
        plain_error: the same where the others' mean is all that is known.
        reason: why it is undefined.
    """

    name: str
    conditions: int
    undefined: tuple[str, ...]
    rho: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    holm_p: float | None = None
    without_low: float | None = None
    without_high: float | None = None
    most_telling: str | None = None
    error: float | None = None
    plain_error: float | None = None
    reason: str | None = None


def predictor_table(
    rows: Sequence[Foretold], *, names: Sequence[str], confidence: float = 0.95
) -> tuple[PredictorRow, ...]:
    """One row a predictor, in the order of the names; Holm's adjustment over those that are defined."""
    found = [_one(rows, name, confidence=confidence) for name in names]
    adjusted = iter(holm([row.p_value for row in found if row.p_value is not None]))
    return tuple(row if row.p_value is None else replace(row, holm_p=next(adjusted)) for row in found)


def _one(rows: Sequence[Foretold], name: str, *, confidence: float) -> PredictorRow:
    known = [row for row in rows if row.gain is not None and row.predictors.get(name) is not None]
    lacking = tuple(row.condition for row in rows if row not in known)
    values = np.array([row.predictors[name] for row in known], dtype=np.float64)
    gains = np.array([row.gain for row in known], dtype=np.float64)
    runs = [row.run for row in known]
    plain = PredictorRow(name=name, conditions=len(known), undefined=lacking)
    # Each further run costs a degree of freedom, as its ranks are centred by themselves.
    counted = len(known) - max(0, len(set(runs)) - 1)
    if counted < FEWEST:
        return replace(plain, reason=f"{len(known)} conditions have it; {FEWEST} of one run are needed")
    rho = rank_correlation(values, gains, runs)
    if rho is None:
        return replace(plain, reason="it is the same in every condition, or the gain is")
    low, high, p_value = correlation_limits(rho, counted, confidence=confidence)
    without = [_without(values, gains, runs, index) for index in range(len(known))]
    told = [value for value in without if value is not None]
    shifts = [-1.0 if value is None else abs(value - rho) for value in without]
    error, plain_error = _line_errors(values, gains, runs)
    return replace(
        plain,
        rho=rho,
        low=low,
        high=high,
        p_value=p_value,
        without_low=min(told, default=None),
        without_high=max(told, default=None),
        most_telling=known[int(np.argmax(shifts))].condition if told else None,
        error=error,
        plain_error=plain_error,
    )


def rank_correlation(values: Array, gains: Array, runs: Sequence[str]) -> float | None:
    """Spearman's correlation with ranks taken within each run, so that no run's budget makes one; None if constant.

    Of one run it is Spearman's own (1904, Am. J. Psychol. 15:72). Ranks of a run of n conditions are centred and
    divided by n, the form in which van Elteren (1960) adds rankings of several groups up.
    """
    ranks = [np.zeros(len(values)), np.zeros(len(values))]
    for run in dict.fromkeys(runs):
        among = np.array([of == run for of in runs])
        for ranked, of in zip(ranks, (values, gains), strict=True):
            own = stats.rankdata(of[among])
            ranked[among] = (own - own.mean()) / len(own)
    norms = [float(np.sqrt(np.sum(ranked**2))) for ranked in ranks]
    if min(norms) < 1e-12:
        return None
    return float(np.clip(ranks[0] @ ranks[1] / (norms[0] * norms[1]), -1.0, 1.0))


def correlation_limits(rho: float, count: int, *, confidence: float = 0.95) -> tuple[float, float, float]:
    """Limits and p of a rank correlation of ``count`` pairs: Fisher's z, its variance by Bonett and Wright.

    (1 + rho^2 / 2) / (n - 3) (2000, Psychometrika 65:23). p is that of no correlation, by Student's t.
    """
    z = float(np.arctanh(np.clip(rho, -0.999999, 0.999999)))
    half = t_quantile(np.inf, confidence=confidence) * float(np.sqrt((1 + rho**2 / 2) / (count - 3)))
    df = count - 2
    t = abs(rho) * np.sqrt(df / max(1e-12, 1 - rho**2))
    return float(np.tanh(z - half)), float(np.tanh(z + half)), float(2 * stats.t.sf(t, df))


def _without(values: Array, gains: Array, runs: Sequence[str], index: int) -> float | None:
    keep = np.arange(len(values)) != index
    return rank_correlation(values[keep], gains[keep], [run for at, run in enumerate(runs) if at != index])


def _line_errors(values: Array, gains: Array, runs: Sequence[str]) -> tuple[float, float]:
    """Mean absolute error of a line through all other conditions, and of their mean; one intercept a run."""
    names = sorted(set(runs))
    within = np.array([[float(run == name) for name in names] for run in runs])
    errors, plain = [], []
    for index in range(len(values)):
        keep = np.arange(len(values)) != index
        if not within[keep].any(axis=0)[names.index(runs[index])]:
            continue  # the only condition of its run: nothing says where that run's gains lie
        columns = np.column_stack([within, values])
        fit = np.linalg.lstsq(columns[keep], gains[keep], rcond=None)[0]
        errors.append(abs(float(columns[index] @ fit) - gains[index]))
        same = keep & np.array([run == runs[index] for run in runs])
        plain.append(abs(float(gains[same].mean()) - gains[index]))
    return float(np.mean(errors)), float(np.mean(plain))
