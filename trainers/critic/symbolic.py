"""The exact critic of the nano world: it knows the truth of every step and rewrites as a faithful scribe would."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from sdbench.tasks.errors import UserError
from sdbench.tasks.nano.problems import NanoProblem, parse_problem
from sdbench.tasks.nano.step_truth import judge_trace
from sdbench.tasks.nano.traces import NanoStep, execute
from sdbench.tasks.outcome import FinishReason
from sdbench.tasks.problem import Problem
from sdbench.trainers.feedback.nano_contexts import ContextKind, Quote, critique_context, write_context
from sdbench.trainers.feedback.reasons import NO_PROCEDURE
from sdbench.trainers.feedback.types import ContextWriter, PrivilegedContext, Unbuilt
from sdbench.trainers.rollout import Rollout


class ScribeRule(Enum):
    """The four rules of the faithful scribe (arXiv 2606.11173)."""

    REPRODUCE = "A"
    INSERT_MISSING = "B"
    FINISH = "C"
    FIX_EARLIEST_ERROR = "D"


@dataclass(frozen=True, kw_only=True)
class Rewrite:
    """A rewrite of one attempt along the attempt's own path.

    Attributes:
        rule: the rule that it follows.
        correct_prefix: the attempt's steps that stand, up to its first error, gap or end.
        wrong_step: the step at which it departs; None where the attempt has a gap or an unreadable piece there.
        continuation: what the scribe writes in its own hand; empty where every step of the procedure stands already.
        answer: the right answer.
    """

    rule: ScribeRule
    correct_prefix: tuple[NanoStep, ...]
    wrong_step: NanoStep | None
    continuation: tuple[NanoStep, ...]
    answer: int

    def write(self, problem: NanoProblem, *, quote: Quote) -> str:
        """The rewrite as text, without a wrapper."""
        prefix, continuation = self.correct_prefix, self.continuation
        if quote == "none" and not continuation and self.rule is not ScribeRule.REPRODUCE:
            # All steps stand, the answer does not. Unquoted, that would read as "right": say the last step anew.
            prefix, continuation = prefix[:-1], prefix[-1:]
        context = critique_context(
            problem,
            correct_prefix=prefix,
            wrong_step=self.wrong_step,
            continuation=continuation,
            answer=self.answer,
            quote=quote,
        )
        return context.removeprefix(write_context(ContextKind.CRITIQUE, problem))


def rewrite_attempt(problem: NanoProblem, attempt: str, *, truncated: bool = False) -> Rewrite | None:
    """Rewrite an attempt after the scribe's rules, or None where it opens neither procedure.

    The earliest wrong step counts, even where later errors happen to cancel it and the answer is right.

    Args:
        problem: what was attempted.
        attempt: the completion's text.
        truncated: whether the token cap cut it off.
    """
    judged = judge_trace(problem, attempt)
    if judged.path is None:
        return None
    error = judged.first_error
    steps = tuple(judged_step.step for judged_step in judged.steps)
    prefix = steps if error is None else steps[:error]
    mended = execute(problem, judged.path, prefix=prefix)
    continuation = mended.steps[len(prefix) :]
    right_answer = judged.answer == problem.answer
    wrong_step = None if error is None else steps[error]
    if error is not None:
        # A gap is no error: the steps that are there are all true, in order, and lead to the right answer.
        has_gap_only = right_answer and _is_subsequence(steps, mended.steps)
        rule = ScribeRule.INSERT_MISSING if has_gap_only else ScribeRule.FIX_EARLIEST_ERROR
        wrong_step = None if has_gap_only else wrong_step
    elif right_answer:
        rule = ScribeRule.INSERT_MISSING if continuation else ScribeRule.REPRODUCE
    elif judged.answer is None and (truncated or _just_stops(attempt[judged.steps[-1].end :])):
        rule = ScribeRule.FINISH
    else:
        rule = ScribeRule.FIX_EARLIEST_ERROR
    return Rewrite(
        rule=rule, correct_prefix=prefix, wrong_step=wrong_step, continuation=continuation, answer=mended.answer
    )


def _just_stops(rest: str) -> bool:
    """Whether nothing, readable or not, stands behind an attempt's last step."""
    return not rest.strip()


def _is_subsequence(steps: Sequence[NanoStep], of: Sequence[NanoStep]) -> bool:
    remaining = iter(of)
    return all(step in remaining for step in steps)


class SymbolicCritic:
    """The critic of nano problems: exact, instant, without a reference solution and without a model."""

    name = "symbolic"

    def __init__(self, *, writer: ContextWriter) -> None:
        self._writer = writer

    def check_problems(self, problems: Sequence[Problem]) -> None:
        """Every problem must be a nano problem.

        Raises:
            UserError: one is not.
        """
        for problem in problems:
            self._parse(problem)

    def critiques(self, pairs: Sequence[tuple[Problem, Rollout]], *, quote: Quote) -> list[PrivilegedContext | Unbuilt]:
        """The scribe's rewrite of each attempt; ``Unbuilt`` where an attempt opens neither procedure.

        Raises:
            UserError: a problem is no nano problem.
        """
        return [self._critique(problem, rollout, quote) for problem, rollout in pairs]

    def _critique(self, problem: Problem, rollout: Rollout, quote: Quote) -> PrivilegedContext | Unbuilt:
        nano = self._parse(problem)
        rewrite = rewrite_attempt(nano, rollout.text, truncated=rollout.finish_reason is FinishReason.LENGTH)
        if rewrite is None:
            return Unbuilt(NO_PROCEDURE)
        return PrivilegedContext(self._writer.critique(problem, rewrite.write(nano, quote=quote)))

    def _parse(self, problem: Problem) -> NanoProblem:
        try:
            return parse_problem(problem.text)
        except ValueError:
            shown = problem.text if len(problem.text) <= 40 else problem.text[:37] + "..."
            raise UserError(
                f"critic {self.name!r} knows nano problems only and cannot judge {problem.id!r} ({shown!r}); "
                "leave out the conditions that need critiques"
            ) from None
