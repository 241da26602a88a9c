"""Nano problems: written form, splits by hash, seeded generators."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

from sdbench.tasks.nano.facts import FactTable, Hiddenness, default_facts, true_result
from sdbench.tasks.nano.families import PROCEDURES, SIZES, Depth, Family, Operation, operand_names, procedure

# The mark after which a solution begins.
SOLUTION_MARK = ">"

_PROBLEM_PATTERN = re.compile(r"(sum|alt|dot|poly)(\d):((?:[a-hx]\d)+)")


class Split(Enum):
    """Which use a problem is reserved for. The hash of its canonical text decides, so no two uses share one."""

    PRETRAINING = "pretraining"
    TRAINING = "training"
    VALIDATION = "validation"
    BENCHMARK = "benchmark"


# Upper bounds of hash buckets of a hundred.
_SPLIT_BOUNDS = ((64, Split.PRETRAINING), (76, Split.TRAINING), (86, Split.VALIDATION), (100, Split.BENCHMARK))


@dataclass(frozen=True)
class NanoProblem:
    """A problem: family, depth and the values of its operands, in written order."""

    family: Family
    depth: Depth
    values: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of terms (sum, alt), of pairs (dot), or the degree (poly)."""
        return SIZES[self.family][self.depth]

    @cached_property
    def text(self) -> str:
        """The canonical text, for example ``sum4:a3b8c9d4``."""
        names = operand_names(self.family, self.size)
        return f"{self.family.value}{self.size}:" + "".join(
            f"{name}{value}" for name, value in zip(names, self.values, strict=True)
        )

    @cached_property
    def digest(self) -> str:
        """Hash of the canonical text, in hexadecimal."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def split(self) -> Split:
        """The use this problem is reserved for."""
        bucket = int(self.digest[:8], 16) % 100
        return next(split for bound, split in _SPLIT_BOUNDS if bucket < bound)

    @property
    def stratum(self) -> str:
        """Family and depth, for example ``dot_2``: one of the twelve."""
        return f"{self.family.value}_{self.depth.value}"

    def operand_values(self) -> dict[str, int]:
        """Value of each named operand."""
        return dict(zip(operand_names(self.family, self.size), self.values, strict=True))

    def operations(self, path: int) -> tuple[Operation, ...]:
        """The operations of one of the two valid procedures."""
        return procedure(self.family, self.size, path)

    @cached_property
    def answer(self) -> int:
        """The right answer, the same on either path."""
        values = self.operand_values()
        for operation in self.operations(0):
            values[operation.result] = true_result(values[operation.left], operation.sign, values[operation.right])
        return values[self.operations(0)[-1].result]

    def hardest_levels(self, facts: FactTable) -> tuple[Hiddenness, ...]:
        """The hardest fact that each of the two procedures needs."""
        hardest = []
        for path in PROCEDURES:
            values = self.operand_values()
            levels = []
            for operation in self.operations(path):
                fact = facts[values[operation.left], operation.sign, values[operation.right]]
                levels.append(fact.hiddenness)
                values[operation.result] = fact.true_result
            hardest.append(max(levels))
        return tuple(hardest)


def parse_problem(text: str) -> NanoProblem:
    """Read a problem from its canonical text.

    Raises:
        ValueError: the text is no nano problem.
    """
    match = _PROBLEM_PATTERN.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a nano problem such as 'sum4:a3b8c9d4'")
    family = Family(match[1])
    depth = next((d for d, size in SIZES[family].items() if size == int(match[2])), None)
    names, values = match[3][::2], tuple(int(digit) for digit in match[3][1::2])
    if depth is None or names != operand_names(family, int(match[2])):
        raise ValueError(f"{text!r} has a size or operand names that the family {family.value!r} does not have")
    return NanoProblem(family=family, depth=depth, values=values)


@dataclass(frozen=True, kw_only=True)
class HiddennessRange:
    """Which problems a generator keeps, by the hardest fact that *both* of their procedures need."""

    at_least: Hiddenness = Hiddenness.KNOWN
    at_most: Hiddenness = Hiddenness.HIDDEN

    def admits(self, problem: NanoProblem, facts: FactTable) -> bool:
        """Whether both procedures lie within the range."""
        return all(self._admits_path(problem, path, facts) for path in PROCEDURES)

    def _admits_path(self, problem: NanoProblem, path: int, facts: FactTable) -> bool:
        """Stops at the first fact that is too hard, which refuses most problems of a narrow range early."""
        values = problem.operand_values()
        hardest = Hiddenness.KNOWN
        for operation in problem.operations(path):
            fact = facts[values[operation.left], operation.sign, values[operation.right]]
            if fact.hiddenness > self.at_most:
                return False
            hardest = max(hardest, fact.hiddenness)
            values[operation.result] = fact.true_result
        return hardest >= self.at_least


def random_problem(rng: random.Random, *, family: Family, depth: Depth) -> NanoProblem:
    """Any problem of a stratum, of any split."""
    count = len(operand_names(family, SIZES[family][depth]))
    return NanoProblem(family=family, depth=depth, values=tuple(rng.randrange(10) for _ in range(count)))


def generate_problems(
    *,
    split: Split,
    family: Family,
    depth: Depth,
    seed: int,
    hiddenness: HiddennessRange | None = None,
    facts: FactTable | None = None,
) -> Iterator[NanoProblem]:
    """Distinct problems of one stratum and split in a seeded order, until the stratum is used up.

    A stratum is held to be used up after 20,000 draws in a row brought nothing new.
    """
    rng = random.Random(f"{seed}/{split.value}/{family.value}/{depth.value}")
    table = facts if facts is not None else default_facts()
    seen: set[str] = set()
    misses = 0
    while misses < 20_000:
        problem = random_problem(rng, family=family, depth=depth)
        misses += 1
        if problem.split is not split or problem.text in seen:
            continue
        if hiddenness is not None and not hiddenness.admits(problem, table):
            continue
        seen.add(problem.text)
        misses = 0
        yield problem
