"""What a check found, in one value: terminal, Markdown, JUnit and JSON show the same parts of it."""

from __future__ import annotations

from dataclasses import dataclass

from sdbench.leaderboards.regression.rules import Rules
from sdbench.leaderboards.regression.verdict import Decision, Verdict


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One checkpoint, or one condition over its training seeds, against its baseline.

    Attributes:
        name: what it is called.
        verdict: None where there can be none.
        blind: why there can be no verdict, or why one without a regression does not hold: what is missing.
        left_out: problems without a value on one side, by benchmark.
        samples: samples a problem, checkpoint and baseline, for example ``8``.
        seeds: training seeds, checkpoint and baseline; 0 where nothing was trained.
    """

    name: str
    verdict: Verdict | None
    blind: str | None = None
    left_out: dict[str, int]
    samples: tuple[str, str]
    seeds: tuple[int, int] = (0, 0)

    @property
    def decision(self) -> Decision:
        """Too much missing is too little evidence, but it does not hide what is evidently worse."""
        if self.verdict is None:
            return Decision.UNDECIDED
        if self.blind is not None and self.verdict.decision is Decision.HOLDS:
            return Decision.UNDECIDED
        return self.verdict.decision


@dataclass(frozen=True, kw_only=True)
class CheckReport:
    """A whole check.

    Attributes:
        candidate, baseline: what the two are called.
        digest: SHA-256 of the baseline's results.
        pinned: whether they were pinned by ``sdbench baseline``.
        suite: the benchmarks' name.
        rules: margins and level.
        comparisons: one of a checkpoint, one a condition of a run.
        notes: what is to be known besides.
    """

    candidate: str
    baseline: str
    digest: str
    pinned: bool
    suite: str
    rules: Rules
    comparisons: tuple[Comparison, ...]
    notes: tuple[str, ...] = ()

    @property
    def decision(self) -> Decision:
        """Regressed if any has, holds if all do."""
        decisions = [comparison.decision for comparison in self.comparisons]
        for decision in (Decision.REGRESSED, Decision.UNDECIDED):
            if decision in decisions:
                return decision
        return Decision.HOLDS
