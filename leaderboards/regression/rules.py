"""By which rules a checkpoint is judged: margins, level, and what is estimated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sdbench.leaderboards.regression.excess import Estimand
from sdbench.leaderboards.regression.measures import Measure
from sdbench.tasks.errors import UserError, suggestion


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How much worse a checkpoint may be, and how sure a verdict has to be.

    Half of ``alpha`` is for a macro that is said to have regressed, half for all benchmarks and guards together (Holm),
    so that a checkpoint within every margin is called regressed with a probability of at most ``alpha``; and one whose
    macro is beyond its margin is said to hold with a probability of at most ``alpha``.

    Attributes:
        margin: how much lower the macro may be, a share.
        benchmark_margin: the same of each benchmark, where ``task_margins`` has none for it.
        task_margins: by benchmark.
        truncated_margin: how much higher the share of truncated samples may be.
        no_answer_margin: the same of samples without an answer.
        length_margin: how much longer completions may be on the mean, as a share of the baseline's.
        advantage_margin: how much worse each number of the token advantages may be, a share.
        alpha: one-sided level.
        power: the chance with which what is foretold (samples needed, smallest difference seen) is to come true.
        estimand: accuracy on these problems, or on the population that they come from.
    """

    margin: float = 0.02
    benchmark_margin: float = 0.05
    task_margins: Mapping[str, float] = field(default_factory=dict)
    truncated_margin: float = 0.02
    no_answer_margin: float = 0.02
    length_margin: float = 0.1
    advantage_margin: float = 0.05
    alpha: float = 0.05
    power: float = 0.8
    estimand: Estimand = "problems"

    def __post_init__(self) -> None:
        margins = {
            "margin": self.margin,
            "benchmark margin": self.benchmark_margin,
            "truncated margin": self.truncated_margin,
            "no-answer margin": self.no_answer_margin,
            "length margin": self.length_margin,
            "advantage margin": self.advantage_margin,
            **{f"margin of {task}": value for task, value in self.task_margins.items()},
        }
        for name, value in margins.items():
            if not 0.0 <= value < 1.0:
                raise UserError(f"{name} {100 * value:g} must be at least 0 and below 100 points or percent")
        for name, value in (("alpha", self.alpha), ("power", self.power)):
            if not 0.0 < value < 1.0:
                raise UserError(f"{name} {value:g} must lie between 0 and 1")
        if self.alpha >= 0.5:
            raise UserError(f"alpha {self.alpha:g} is no evidence; give less than 0.5, for example 0.05")

    @property
    def regressed_alpha(self) -> float:
        """One-sided level of the macro's, and of the family's, evidence of a regression."""
        return self.alpha / 2

    def margin_of(self, task: str) -> float:
        """How much lower a benchmark may be."""
        return self.task_margins.get(task, self.benchmark_margin)

    def guard_margin(self, measure: Measure) -> float:
        """How much higher a guarded share may be; of the length a share of the baseline's."""
        return {
            Measure.TRUNCATED: self.truncated_margin,
            Measure.NO_ANSWER: self.no_answer_margin,
            Measure.LENGTH: self.length_margin,
        }[measure]

    def check_tasks(self, tasks: list[str]) -> None:
        """Refuse margins of benchmarks that there are none of.

        Raises:
            UserError: names the first.
        """
        for task in self.task_margins:
            if task not in tasks:
                raise UserError(f"--benchmark-margin {task}: no such benchmark here; {suggestion(task, tasks)}")
