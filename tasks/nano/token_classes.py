"""The tokens of a nano completion against exact step truth.

Every step reads ``a3+b8=p1;``. Its letters, digits and sign are its content: they say which operation is carried out on
what and with which result, and each of them can be wrong (or lie on the other procedure). ``=`` and ``;`` stand at the
same place in every step whatever it says: these are notation. All that stands outside of well-formed steps, the answer
mark, the answer and the end token among it, is other.
"""

from __future__ import annotations

from collections.abc import Sequence

from sdbench.tasks.nano.families import PROCEDURES, Operation
from sdbench.tasks.nano.problems import NanoProblem
from sdbench.tasks.nano.step_truth import JudgedStep, JudgedTrace, StepFault, StepVerdict, judge_trace
from sdbench.tasks.token_records import TokenClass, TokenMark, TokenRole

# The nine characters of a step.
_ROLES = (
    TokenRole.NAME,
    TokenRole.OPERAND,
    TokenRole.SIGN,
    TokenRole.NAME,
    TokenRole.OPERAND,
    TokenRole.SEPARATOR,
    TokenRole.RESULT_NAME,
    TokenRole.RESULT,
    TokenRole.SEPARATOR,
)
_LEFT, _RIGHT, _RESULT = 1, 4, 7
# Where a step says which operation it is, in the order of writing.
_OPERATION_PLACES = (0, 2, 3, 6)
_CLASSES = {
    StepVerdict.CORRECT: TokenClass.CORRECT,
    StepVerdict.FIRST_ERROR: TokenClass.FIRST_ERROR,
    StepVerdict.AFTER_ERROR: TokenClass.AFTER_ERROR,
}
# A token over several characters belongs to the first of these that one of its characters belongs to.
_PRECEDENCE = (
    TokenClass.FIRST_ERROR,
    TokenClass.AFTER_ERROR,
    TokenClass.CORRECT,
    TokenClass.NOTATION,
    TokenClass.OTHER,
)
_OUTSIDE = TokenMark(TokenClass.OTHER, TokenRole.OTHER, False, False)


def mark_tokens(problem: NanoProblem, token_texts: Sequence[str]) -> tuple[TokenMark, ...]:
    """The mark of each token of a completion.

    The error lies in the result digit of a step with a wrong result, in the operand digits that do not hold their
    names' values, or in the first letter or sign where neither procedure (or the one that was opened) goes on so; in
    the first letter of a step behind a procedure's end.

    Args:
        problem: what was asked.
        token_texts: whose concatenation is the completion's text; a special token is the empty text, and other.
    """
    text = "".join(token_texts)
    characters = [_OUTSIDE] * len(text)
    judged = judge_trace(problem, text)
    for index, step in enumerate(judged.steps):
        faults = _fault_places(problem, judged, index) if step.verdict is StepVerdict.FIRST_ERROR else frozenset()
        for place, role in enumerate(_ROLES):
            content = role is not TokenRole.SEPARATOR
            characters[step.start + place] = TokenMark(
                _CLASSES[step.verdict] if content else TokenClass.NOTATION, role, place == 0, place in faults
            )
    marks, position = [], 0
    for token in token_texts:
        marks.append(_merged(characters[position : position + len(token)]))
        position += len(token)
    return tuple(marks)


def _merged(marks: Sequence[TokenMark]) -> TokenMark:
    if not marks:
        return _OUTSIDE
    roles = {mark.role for mark in marks}
    return TokenMark(
        token_class=min((mark.token_class for mark in marks), key=_PRECEDENCE.index),
        role=roles.pop() if len(roles) == 1 else TokenRole.OTHER,
        step_start=any(mark.step_start for mark in marks),
        error=any(mark.error for mark in marks),
    )


def _fault_places(problem: NanoProblem, judged: JudgedTrace, index: int) -> frozenset[int]:
    step = judged.steps[index]
    if step.fault is StepFault.WRONG_RESULT:
        return frozenset({_RESULT})
    if step.fault is StepFault.WRONG_OPERAND:
        values = problem.operand_values()
        values.update((before.step.result_name, before.step.result) for before in judged.steps[:index])
        stated = ((_LEFT, step.step.left_name, step.step.left), (_RIGHT, step.step.right_name, step.step.right))
        return frozenset(place for place, name, value in stated if values.get(name) != value)
    paths = PROCEDURES if judged.path is None else (judged.path,)
    procedures = [problem.operations(path) for path in paths]
    followed = [_followed(step, operations[index]) for operations in procedures if index < len(operations)]
    return frozenset({_OPERATION_PLACES[max(followed, default=0)]})


def _followed(judged: JudgedStep, operation: Operation) -> int:
    """How many of a step's letters and signs agree with an operation before the first that does not."""
    step = judged.step
    said = (step.left_name, step.sign, step.right_name, step.result_name)
    expected = (operation.left, operation.sign, operation.right, operation.result)
    return next(place for place, (one, other) in enumerate(zip(said, expected, strict=True)) if one != other)
