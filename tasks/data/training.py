"""Training sets in their published forms, brought to the columns problem, answer, solution."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sdbench.tasks.data.variants import hashed_answer
from sdbench.tasks.errors import UserError
from sdbench.tasks.grading.boxes import last_box

Row = Mapping[str, Any]
_THINKING_END = "</think>"


@dataclass(frozen=True)
class Left:
    """A row that is left out, and why."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class TrainingForm:
    """One published form of training data.

    Attributes:
        name: who publishes it.
        columns: by which it is known.
        absent: columns by which it is known not to be this form.
        adapt: a row as problem, answer and solution, or why it is left out. It may raise ``UserError`` with what is
            wrong with the row.
        repeats: whether a problem comes in several rows, one for each of its solutions; the first is taken.
    """

    name: str
    columns: tuple[str, ...]
    absent: tuple[str, ...] = ()
    adapt: Callable[[Row], Row | Left]
    repeats: bool = False


def training_form(columns: Row) -> TrainingForm | None:
    """The published form that a first row is in; None for one's own columns (problem, answer, solution)."""
    return next(
        (
            form
            for form in TRAINING_FORMS
            if all(column in columns for column in form.columns)
            and not any(column in columns for column in form.absent)
        ),
        None,
    )


def _gsm8k(row: Row) -> Row | Left:
    worked = row["answer"]
    found = hashed_answer(worked) if isinstance(worked, str) else None
    if found is None or not found[0]:
        raise UserError("answer has no '#### ANSWER' at its end; mend or remove the row")
    answer, solution = found
    return {"problem": row["question"], "answer": answer.replace(",", ""), "solution": solution}


def _math(row: Row) -> Row | Left:
    solution = row["solution"]
    box = last_box(solution) if isinstance(solution, str) else None
    # Some hundred of MATH's solutions end in no box or in an empty one.
    if box is None or not box.strip():
        return Left("no boxed answer")
    return {"problem": row["problem"], "answer": box.strip(), "solution": solution}


def _open_math_reasoning(row: Row) -> Row | Left:
    kind = row.get("problem_type", "has_answer_extracted")
    if kind != "has_answer_extracted":
        return Left(f"problem_type {kind}")
    answer, solution = row["expected_answer"], row["generated_solution"]
    if not isinstance(answer, str) or not answer.strip():
        return Left("no expected answer")
    if not isinstance(solution, str) or not solution.strip():
        return Left("no solution")
    # A reference shows the worked solution, not the thinking before it.
    if _THINKING_END not in solution:
        if "<think>" in solution:
            return Left("thinking that never ends")
        worked = solution
    else:
        worked = solution.rpartition(_THINKING_END)[2]
    if not worked.strip():
        return Left("no solution after the thinking")
    return {"problem": row["problem"], "answer": answer.strip(), "solution": worked.strip()}


TRAINING_FORMS = (
    TrainingForm(name="openai/gsm8k", columns=("question", "answer"), absent=("problem",), adapt=_gsm8k),
    TrainingForm(name="MATH", columns=("problem", "solution", "level", "type"), absent=("answer",), adapt=_math),
    TrainingForm(
        name="nvidia/OpenMathReasoning",
        columns=("problem", "generated_solution", "expected_answer"),
        adapt=_open_math_reasoning,
        repeats=True,
    ),
)
"""The known forms: GSM8K, MATH, and OpenMathReasoning in any of its splits with solutions."""
