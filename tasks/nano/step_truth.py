"""Exact step truth: what each step of a completion is worth, known without any critic."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from sdbench.tasks.nano.families import PROCEDURES
from sdbench.tasks.nano.problems import NanoProblem
from sdbench.tasks.nano.traces import NanoStep, read_steps

_ANSWER_PATTERN = re.compile(r"#(\d)")


class StepVerdict(Enum):
    """The first step that is not correct is the first error; all that follows it is after the error."""

    CORRECT = "correct"
    FIRST_ERROR = "first_error"
    AFTER_ERROR = "after_error"


class StepFault(Enum):
    """What is wrong with a step on its own."""

    WRONG_RESULT = "wrong_result"
    WRONG_OPERAND = "wrong_operand"
    OFF_PROCEDURE = "off_procedure"


@dataclass(frozen=True)
class JudgedStep:
    """A step, its character span ``[start, end)`` in the completion, and its verdict."""

    step: NanoStep
    start: int
    end: int
    verdict: StepVerdict
    fault: StepFault | None


@dataclass(frozen=True)
class JudgedTrace:
    """A completion judged step by step.

    ``path`` is the procedure that the first step opens, None where it opens neither. ``well_formed`` says that the
    whole text is a procedure carried to its end with every operand copied right: only results can be wrong.
    """

    steps: tuple[JudgedStep, ...]
    path: int | None
    answer: int | None
    well_formed: bool

    @property
    def first_error(self) -> int | None:
        """Index of the first wrong step, or None."""
        return next((i for i, step in enumerate(self.steps) if step.verdict is StepVerdict.FIRST_ERROR), None)


def judge_trace(problem: NanoProblem, completion: str) -> JudgedTrace:
    """Judge a completion against the problem's two procedures."""
    read, rest = read_steps(completion)
    path = _opened_path(problem, [step for step, _, _ in read])
    operations = problem.operations(path) if path is not None else ()
    values = problem.operand_values()
    judged: list[JudgedStep] = []
    failed = False
    operands_right = path is not None
    for index, (step, start, end) in enumerate(read):
        fault = None
        if index >= len(operations) or (step.left_name, step.sign, step.right_name, step.result_name) != (
            operations[index].left,
            operations[index].sign,
            operations[index].right,
            operations[index].result,
        ):
            fault = StepFault.OFF_PROCEDURE
        elif (values.get(step.left_name), values.get(step.right_name)) != (step.left, step.right):
            fault = StepFault.WRONG_OPERAND
        elif not step.is_fact:
            fault = StepFault.WRONG_RESULT
        if fault in (StepFault.OFF_PROCEDURE, StepFault.WRONG_OPERAND):
            operands_right = False
        if failed:
            verdict = StepVerdict.AFTER_ERROR
        elif fault is None:
            verdict = StepVerdict.CORRECT
        else:
            verdict, failed = StepVerdict.FIRST_ERROR, True
        values[step.result_name] = step.result
        judged.append(JudgedStep(step=step, start=start, end=end, verdict=verdict, fault=fault))
    ending = _ANSWER_PATTERN.fullmatch(rest)
    well_formed = (
        operands_right and len(read) == len(operations) and ending is not None and int(ending[1]) == read[-1][0].result
    )
    found = _ANSWER_PATTERN.search(rest)
    return JudgedTrace(
        steps=tuple(judged), path=path, answer=int(found[1]) if found is not None else None, well_formed=well_formed
    )


def _opened_path(problem: NanoProblem, steps: list[NanoStep]) -> int | None:
    if not steps:
        return None
    first = steps[0]
    for path in PROCEDURES:
        opening = problem.operations(path)[0]
        if (first.left_name, first.sign, first.right_name, first.result_name) == (
            opening.left,
            opening.sign,
            opening.right,
            opening.result,
        ):
            return path
    return None
