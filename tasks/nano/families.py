"""The four families of nano problems and the two valid procedures of each.

A problem names its operands with letters (``sum4:a3b8c9d4``). A procedure is a list of operations on names: each
takes two named values and names its result. The two procedures name their intermediate results from different
letters, so a name says which path a trace is on.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cache

OPERAND_NAMES = "abcdefgh"
VARIABLE_NAME = "x"
RESULT_NAMES = ("pqrstuvw", "ijklmnoy")


class Family(Enum):
    """A kind of problem; the value is the word that opens it."""

    SUM = "sum"
    ALT = "alt"
    DOT = "dot"
    POLY = "poly"


class Depth(Enum):
    """Two depths that are trained, and a deeper one that is rare in pretraining and absent from training."""

    SHALLOW = 1
    MIDDLE = 2
    DEEP = 3


# How many terms (sum, alt), pairs (dot) or which degree (poly) a depth stands for.
SIZES: dict[Family, dict[Depth, int]] = {
    Family.SUM: {Depth.SHALLOW: 3, Depth.MIDDLE: 4, Depth.DEEP: 6},
    Family.ALT: {Depth.SHALLOW: 3, Depth.MIDDLE: 4, Depth.DEEP: 6},
    Family.DOT: {Depth.SHALLOW: 2, Depth.MIDDLE: 3, Depth.DEEP: 4},
    Family.POLY: {Depth.SHALLOW: 1, Depth.MIDDLE: 2, Depth.DEEP: 3},
}
TRAINED_DEPTHS = (Depth.SHALLOW, Depth.MIDDLE)
PROCEDURES = (0, 1)


@dataclass(frozen=True)
class Operation:
    """``left sign right`` by name, and the name of the result."""

    left: str
    sign: str
    right: str
    result: str


def operand_names(family: Family, size: int) -> str:
    """The names of a problem's values, in the order they are written."""
    if family is Family.DOT:
        return OPERAND_NAMES[: 2 * size]
    if family is Family.POLY:
        return VARIABLE_NAME + OPERAND_NAMES[: size + 1]
    return OPERAND_NAMES[:size]


@cache
def procedure(family: Family, size: int, path: int) -> tuple[Operation, ...]:
    """The operations of one of the family's two procedures (``path`` 0 or 1)."""
    signed_pairs = _PROCEDURES[family, path](size)
    results = RESULT_NAMES[path]
    return tuple(
        Operation(
            left=_resolve(left, results),
            sign=sign,
            right=_resolve(right, results),
            result=results[index],
        )
        for index, (left, sign, right) in enumerate(signed_pairs)
    )


def _resolve(name: str | int, results: str) -> str:
    return name if isinstance(name, str) else results[name]


# Operations before naming: a string is an operand, a number the result of that earlier operation.
_Raw = list[tuple[str | int, str, str | int]]


def _sum_left_to_right(size: int) -> _Raw:
    names = OPERAND_NAMES[:size]
    return [(names[0] if i == 0 else i - 1, "+", names[i + 1]) for i in range(size - 1)]


def _sum_right_to_left(size: int) -> _Raw:
    names = OPERAND_NAMES[:size][::-1]
    return [(names[0] if i == 0 else i - 1, "+", names[i + 1]) for i in range(size - 1)]


def _alternating_left_to_right(size: int) -> _Raw:
    names = OPERAND_NAMES[:size]
    return [(names[0] if i == 0 else i - 1, "-+"[i % 2], names[i + 1]) for i in range(size - 1)]


def _alternating_positives_first(size: int) -> _Raw:
    positives, negatives = OPERAND_NAMES[:size:2], OPERAND_NAMES[1:size:2]
    raw: _Raw = []
    for sign, names in (("+", positives[1:]), ("-", negatives)):
        for name in names:
            raw.append((len(raw) - 1 if raw else positives[0], sign, name))
    return raw


def _dot_in_order(pairs: list[tuple[str, str]]) -> _Raw:
    raw: _Raw = []
    total: int | None = None
    for left, right in pairs:
        raw.append((left, "*", right))
        if total is None:
            total = 0
        else:
            raw.append((total, "+", len(raw) - 1))
            total = len(raw) - 1
    return raw


def _dot_left_to_right(size: int) -> _Raw:
    return _dot_in_order([(OPERAND_NAMES[2 * i], OPERAND_NAMES[2 * i + 1]) for i in range(size)])


def _dot_right_to_left(size: int) -> _Raw:
    return _dot_in_order([(OPERAND_NAMES[2 * i], OPERAND_NAMES[2 * i + 1]) for i in reversed(range(size))])


def _poly_horner(size: int) -> _Raw:
    coefficients = OPERAND_NAMES[: size + 1]
    raw: _Raw = []
    value: str | int = coefficients[0]
    for coefficient in coefficients[1:]:
        raw.append((value, "*", VARIABLE_NAME))
        raw.append((len(raw) - 1, "+", coefficient))
        value = len(raw) - 1
    return raw


def _poly_ascending(size: int) -> _Raw:
    coefficients = OPERAND_NAMES[: size + 1][::-1]
    raw: _Raw = []
    total: str | int = coefficients[0]
    power: str | int = VARIABLE_NAME
    for exponent, coefficient in enumerate(coefficients[1:], start=1):
        if exponent > 1:
            raw.append((power, "*", VARIABLE_NAME))
            power = len(raw) - 1
        raw.append((power, "*", coefficient))
        raw.append((total, "+", len(raw) - 1))
        total = len(raw) - 1
    return raw


_PROCEDURES = {
    (Family.SUM, 0): _sum_left_to_right,
    (Family.SUM, 1): _sum_right_to_left,
    (Family.ALT, 0): _alternating_left_to_right,
    (Family.ALT, 1): _alternating_positives_first,
    (Family.DOT, 0): _dot_left_to_right,
    (Family.DOT, 1): _dot_right_to_left,
    (Family.POLY, 0): _poly_horner,
    (Family.POLY, 1): _poly_ascending,
}
