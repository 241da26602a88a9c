"""The facts of the nano world: ``a op b mod 10``, some of them hard, each hard one hidden to a known degree."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import cache

OPERATIONS = "+-*"
WORLD_SEED = 20261124
HARD_SHARE = 0.40
# Among the wrong results of a hard fact one dominates, so that sampling alone rarely stumbles on the right one.
WRONG_RESULT_SHARES = (0.75, 0.15, 0.10)


class Hiddenness(IntEnum):
    """How rarely the base says the right result of a fact when no context helps it."""

    KNOWN = 0
    OPEN = 1
    SHADED = 2
    HIDDEN = 3


# The range that the probability of the right result is drawn from, by level.
RIGHT_PROBABILITY_RANGES: dict[Hiddenness, tuple[float, float]] = {
    Hiddenness.KNOWN: (1.0, 1.0),
    Hiddenness.OPEN: (0.35, 0.55),
    Hiddenness.SHADED: (0.15, 0.30),
    Hiddenness.HIDDEN: (0.03, 0.10),
}


def true_result(left: int, operation: str, right: int) -> int:
    """``left operation right`` modulo ten.

    Raises:
        ValueError: the operation is not one of ``+ - *``.
    """
    if operation == "+":
        return (left + right) % 10
    if operation == "-":
        return (left - right) % 10
    if operation == "*":
        return (left * right) % 10
    raise ValueError(f"operation {operation!r} is not one of {OPERATIONS!r}")


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One fact and how a noisy solver states it: result -> probability, the probabilities adding up to one."""

    left: int
    operation: str
    right: int
    hiddenness: Hiddenness
    result_probabilities: tuple[tuple[int, float], ...]

    @property
    def true_result(self) -> int:
        """The right result."""
        return true_result(self.left, self.operation, self.right)

    def draw_result(self, rng: random.Random) -> int:
        """A result as the noisy solver would state it."""
        if self.hiddenness is Hiddenness.KNOWN:
            return self.true_result
        threshold = rng.random()
        for result, probability in self.result_probabilities:
            threshold -= probability
            if threshold < 0:
                return result
        return self.result_probabilities[-1][0]


class FactTable:
    """All 300 facts of one world, a pure function of its seed."""

    def __init__(self, *, seed: int = WORLD_SEED, hard_share: float = HARD_SHARE) -> None:
        rng = random.Random(seed)
        keys = [(left, operation, right) for operation in OPERATIONS for left in range(10) for right in range(10)]
        hard_keys = rng.sample(keys, round(hard_share * len(keys)))
        hard_levels = [Hiddenness.OPEN, Hiddenness.SHADED, Hiddenness.HIDDEN]
        level_of = {key: hard_levels[index % len(hard_levels)] for index, key in enumerate(hard_keys)}
        self.seed = seed
        self._facts = {key: _make_fact(key, level_of.get(key, Hiddenness.KNOWN), rng) for key in keys}

    def __getitem__(self, key: tuple[int, str, int]) -> Fact:
        return self._facts[key]

    def __iter__(self) -> Iterator[Fact]:
        return iter(self._facts.values())

    def __len__(self) -> int:
        return len(self._facts)


def _make_fact(key: tuple[int, str, int], level: Hiddenness, rng: random.Random) -> Fact:
    left, operation, right = key
    truth = true_result(left, operation, right)
    probabilities = [(truth, 1.0)]
    if level is not Hiddenness.KNOWN:
        right_probability = rng.uniform(*RIGHT_PROBABILITY_RANGES[level])
        wrong_results = rng.sample([digit for digit in range(10) if digit != truth], len(WRONG_RESULT_SHARES))
        wrong = [
            (result, (1 - right_probability) * share)
            for result, share in zip(wrong_results, WRONG_RESULT_SHARES, strict=True)
        ]
        probabilities = [(truth, right_probability), *wrong]
    return Fact(
        left=left, operation=operation, right=right, hiddenness=level, result_probabilities=tuple(probabilities)
    )


@cache
def default_facts() -> FactTable:
    """The fact table of the shipped world."""
    return FactTable()
