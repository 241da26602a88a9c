"""Traces of the nano world: executing a procedure truly or noisily, writing it down, reading it back."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from sdbench.tasks.nano.facts import FactTable, true_result
from sdbench.tasks.nano.problems import NanoProblem

ANSWER_MARK = "#"


class Notation(Enum):
    """How steps are written: the solver's own notation, or the words of a reference."""

    SOLVER = "solver"
    WORDS = "words"


_SIGN_WORDS = {"+": "plus ", "-": "minus ", "*": "times "}
_STEP_PATTERN = re.compile(r"([a-z])(\d)([-+*])([a-z])(\d)=([a-z])(\d);")


@dataclass(frozen=True)
class NanoStep:
    """One written step: two named values, the operation, and the named result as stated."""

    left_name: str
    left: int
    sign: str
    right_name: str
    right: int
    result_name: str
    result: int

    @property
    def is_fact(self) -> bool:
        """Whether the stated result is right for the stated values."""
        return true_result(self.left, self.sign, self.right) == self.result

    def write(self, notation: Notation = Notation.SOLVER) -> str:
        """The step in one of the two notations."""
        left, right = f"{self.left_name}{self.left}", f"{self.right_name}{self.right}"
        result = f"{self.result_name}{self.result}"
        if notation is Notation.SOLVER:
            return f"{left}{self.sign}{right}={result};"
        return f"{_SIGN_WORDS[self.sign]}{left}{right} gives {result}, "


@dataclass(frozen=True)
class NanoTrace:
    """The steps of one attempt along one procedure, and its answer."""

    steps: tuple[NanoStep, ...]
    answer: int

    def write(self, notation: Notation = Notation.SOLVER) -> str:
        """The whole trace, for example ``a3+b8=p1;p1+c9=q0;#0``."""
        return "".join(step.write(notation) for step in self.steps) + f"{ANSWER_MARK}{self.answer}"

    @property
    def first_error(self) -> int | None:
        """Index of the first step whose result is wrong for its values, or None."""
        return next((index for index, step in enumerate(self.steps) if not step.is_fact), None)


def execute(
    problem: NanoProblem,
    path: int,
    *,
    noise: tuple[FactTable, random.Random] | None = None,
    prefix: Sequence[NanoStep] = (),
) -> NanoTrace:
    """Carry a procedure out to its end, after an optional prefix of steps already written.

    Without ``noise`` every result is right; with it each is drawn as the noisy solver would state it.
    """
    values = problem.operand_values()
    steps = list(prefix)
    for step in prefix:
        values[step.result_name] = step.result
    for operation in problem.operations(path)[len(steps) :]:
        left, right = values[operation.left], values[operation.right]
        if noise is None:
            result = true_result(left, operation.sign, right)
        else:
            facts, rng = noise
            result = facts[left, operation.sign, right].draw_result(rng)
        values[operation.result] = result
        steps.append(NanoStep(operation.left, left, operation.sign, operation.right, right, operation.result, result))
    return NanoTrace(steps=tuple(steps), answer=steps[-1].result)


def read_steps(text: str) -> tuple[list[tuple[NanoStep, int, int]], str]:
    """Read the well-formed steps in solver's notation from the start of ``text``.

    Returns:
        The steps with their character spans ``[start, end)``, and what is left of the text after them.
    """
    steps: list[tuple[NanoStep, int, int]] = []
    position = 0
    while (match := _STEP_PATTERN.match(text, position)) is not None:
        left_name, left, sign, right_name, right, result_name, result = match.groups()
        step = NanoStep(left_name, int(left), sign, right_name, int(right), result_name, int(result))
        steps.append((step, match.start(), match.end()))
        position = match.end()
    return steps, text[position:]
