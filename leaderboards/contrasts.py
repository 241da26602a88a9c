"""Differences between two conditions, paired by problem, and Holm's adjustment for a family of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sdbench.leaderboards.statistics import (
    ZERO_VARIANCE,
    Array,
    edge_width,
    half_width,
    satterthwaite_df,
    two_sided_p,
    variance_parts,
)


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """First condition minus second, as a difference of shares in [-1, 1], with limits and a two-sided p value."""

    estimate: float
    low: float
    high: float
    standard_error: float
    p_value: float


def paired_contrast(first: Sequence[Array], second: Sequence[Array], *, confidence: float = 0.95) -> Contrast:
    """Mean difference over the same problems, the training seeds of the two conditions being independent draws.

    The variance has two parts: that of the problems' differences (Miller 2024, arXiv 2411.00640: paired by question),
    and V_seed - V_interaction summed over the conditions with several seeds, with Satterthwaite's degrees of freedom,
    as in Welch's test (1947, Biometrika 34:28). Each part brings its own t quantile (``half_width``), and p is 1 minus
    the confidence at which the limits reach zero (``two_sided_p``): one t for all parts together rejects too often
    where one side alone has seeds, as against the base, and at the small levels that Holm's adjustment works at
    (``docs/coverage.md``). Single samples are never paired. A condition with one seed adds no seed part: the contrast
    then speaks of that checkpoint.

    Where no problem's difference differs from another there is no variance to estimate: the limits are then those of
    a score interval with each problem as one trial, and p is that of the sign test.

    Args:
        first: arrays ``means_SP``, one a benchmark, no NaN.
        second: the same benchmarks and problems in the same order; S may differ.

    Raises:
        ValueError: benchmarks or numbers of problems do not match.
    """
    problems = [(a.shape[1], b.shape[1]) for a, b in zip(first, second, strict=False)]
    if len(first) != len(second) or not problems or any(a != b or a == 0 for a, b in problems):
        raise ValueError(f"cannot pair benchmarks of {[a.shape for a in first]} with {[b.shape for b in second]}")
    differences = [
        a.mean(axis=0, keepdims=True) - b.mean(axis=0, keepdims=True) for a, b in zip(first, second, strict=True)
    ]
    estimate = float(np.mean([difference.mean() for difference in differences]))
    if any(difference.shape[1] < 2 for difference in differences):
        return Contrast(estimate=estimate, low=-1.0, high=1.0, standard_error=np.inf, p_value=1.0)
    seeds = satterthwaite_df([variance_parts(strata).seed_term for strata in (first, second) if strata[0].shape[0] > 1])
    terms = [variance_parts(differences).problem_term, seeds]
    variance = sum(part for part, _ in terms)
    if variance <= ZERO_VARIANCE:
        half = edge_width(differences, confidence=confidence)
        count = sum(difference.shape[1] for difference in differences)
        p_value = 1.0 if abs(estimate) < 1e-12 else 2.0 ** (1 - count)
    else:
        half = half_width(terms, confidence=confidence)
        p_value = two_sided_p(abs(estimate), terms)
    low, high = max(-1.0, estimate - half), min(1.0, estimate + half)
    if p_value > 1 - confidence:
        # Only the sign test of a handful of problems can be less sure than its limits.
        low, high = min(low, 0.0), max(high, 0.0)
    return Contrast(
        estimate=estimate,
        low=low,
        high=high,
        standard_error=float(np.sqrt(variance)) if variance > ZERO_VARIANCE else 0.0,
        p_value=p_value,
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p values, in the order given, that keep the family-wise error (Holm 1979, Scand. J. Stat. 6:65)."""
    order = np.argsort(p_values, kind="stable")
    count = len(p_values)
    ranked = np.asarray(p_values, dtype=np.float64)[order] * (count - np.arange(count))
    adjusted = np.empty(count)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(ranked))
    return [float(value) for value in adjusted]
