"""Whether two formulas are equal, by their values: to fifty digits, at several points where they have letters.

Two numbers that differ in their first dozens of digits are different: that is a proof. Two that agree in all of them,
at every point, are equal but for an accident that nobody will see. What lies between is left open. Loaded by grading
workers alone (mpmath), under their limits of time and memory.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import mpmath  # type: ignore[import-untyped]

from sdbench.tasks.grading.formula import TRIGONOMETRIC, Call, Formula, Number, Symbol, Tree

DIGITS = 50
# What a decimal in a formula may be off by, where the data set states no tolerance of its own.
DEFAULT_TOLERANCE = 1e-6
_EQUAL, _DIFFERENT = mpmath.mpf(10) ** -30, mpmath.mpf(10) ** -12
# Powers and factorials beyond 2^(10^6) are not computed: they are "huge", which no sensible gold is.
_MAX_BITS = 10**6
_POINTS = 4
_INTEGER_FUNCTIONS = frozenset({"floor", "ceil", "factorial", "binomial"})

Values = Mapping[str, Any]


class _HugeError(Exception):
    """A value too large to compute."""


class _UndefinedError(Exception):
    """No value at this point."""


def formulas_equal(gold: Formula, prediction: Formula, *, tolerance: float | None = None) -> bool | None:
    """Whether two formulas have the same value everywhere; None where that stays open.

    Args:
        gold, prediction: the formulas.
        tolerance: relative, of formulas with decimals; by default they may be off by ``DEFAULT_TOLERANCE`` against one
            without any.
    """
    answers = [
        _close(*pair, slack=_slack(gold.tree, prediction.tree, tolerance)) if pair is not None else None
        for pair in _value_pairs(gold.tree, prediction.tree, gold.names | prediction.names)
    ]
    return _verdict(answers, ambiguous=gold.ambiguous or prediction.ambiguous)


def proportional(gold: Formula, prediction: Formula) -> int | None:
    """1 or -1 where the first is a positive or negative constant times the second at every point; 0 where the ratio
    varies; None where it stays open. Both sides of "gold = 0" and "prediction = 0" are equations; by their ratio
    ``2x - 4 = 0`` and ``2 - x = 0`` are one."""
    ratios = []
    for pair in _value_pairs(gold.tree, prediction.tree, gold.names | prediction.names):
        if pair is None or abs(pair[1]) < _EQUAL or abs(pair[0]) < _EQUAL:
            return None
        ratios.append(pair[0] / pair[1])
    if any(_close(ratio, ratios[0], slack=None) is not True for ratio in ratios[1:]):
        return 0
    if abs(mpmath.im(ratios[0])) > _DIFFERENT * abs(ratios[0]):
        return None
    return 1 if mpmath.re(ratios[0]) > 0 else -1


def same_zeros(gold: Formula, prediction: Formula) -> bool | None:
    """Whether the zeros of the first, found along lines where one letter varies, are zeros of the second.

    False is a proof that the two equations differ; None where too few zeros are found.
    """
    names = sorted(gold.names | prediction.names)
    source = random.Random("|".join(names))
    found = 0
    with mpmath.workdps(DIGITS):
        for name in sorted(gold.names):
            values = {one: mpmath.mpf(source.randint(3 * 10**8, 27 * 10**8)) / 10**9 for one in names}
            zero = _zero(gold.tree, values, name)
            if zero is None:
                continue
            pair = _values(gold.tree, prediction.tree, {**values, name: zero})
            elsewhere = _values(gold.tree, prediction.tree, {**values, name: zero + 1})
            if pair is None or elsewhere is None or not mpmath.isfinite(pair[1]):
                continue
            if abs(pair[1]) > _DIFFERENT * (1 + abs(elsewhere[1])):
                return False
            found += 1
    return True if found == len(gold.names) and gold.names == prediction.names and found > 1 else None


def _zero(tree: Tree, values: Values, name: str) -> Any:
    """A real value of one letter at which a tree vanishes, or None where the search finds none."""

    def at(point: Any) -> Any:
        return _evaluate(tree, {**values, name: point}, in_degrees=False)

    try:
        zero = mpmath.findroot(at, (values[name], values[name] + mpmath.mpf(1) / 3), solver="secant", maxsteps=60)
        return zero if mpmath.im(zero) == 0 and abs(at(zero)) < mpmath.mpf(10) ** -40 else None
    except (_HugeError, _UndefinedError, ValueError, ZeroDivisionError, OverflowError):
        return None


def _verdict(answers: Sequence[bool | None], *, ambiguous: bool) -> bool | None:
    half = len(answers) if len(answers) == 1 else len(answers) // 2
    positive, mixed = answers[:half], answers[half:]
    if any(answer is False for answer in positive):
        return None if ambiguous else False
    if None in positive:
        return None
    # Roots of negative numbers have branches: what agrees for positive letters alone stays open.
    return True if all(answer is True for answer in mixed) else None


def _value_pairs(gold: Tree, prediction: Tree, names: frozenset[str]) -> list[tuple[Any, Any] | None]:
    """Both values at each point, positive letters in the first half of the points; None where either has none."""
    pairs: list[tuple[Any, Any] | None] = []
    integers = _uses(gold, _INTEGER_FUNCTIONS) or _uses(prediction, _INTEGER_FUNCTIONS)
    # Seeded by what is compared, so that a verdict never changes.
    source = random.Random("|".join(sorted(names)))
    with mpmath.workdps(DIGITS):
        for index in range(_POINTS if names else 1):
            values: dict[str, Any] = {}
            for place, name in enumerate(sorted(names)):
                size = source.randint(3, 25) if integers else mpmath.mpf(source.randint(3 * 10**8, 27 * 10**8)) / 10**9
                negative = not integers and index >= _POINTS // 2 and (place + index) % 3 != 1
                values[name] = -size if negative else size
            pairs.append(_values(gold, prediction, values))
    return pairs


def _values(gold: Tree, prediction: Tree, values: Values) -> tuple[Any, Any] | None:
    try:
        gold_value = _evaluate(gold, values, in_degrees=False)
    except (_HugeError, _UndefinedError):
        return None
    try:
        return gold_value, _evaluate(prediction, values, in_degrees=False)
    except _HugeError:
        return gold_value, mpmath.inf
    except _UndefinedError:
        return None


def _close(left: Any, right: Any, *, slack: float | None) -> bool | None:
    with mpmath.workdps(DIGITS):
        if not (mpmath.isfinite(left) and mpmath.isfinite(right)):
            return bool(left == right)
        gap, size = abs(left - right), max(abs(left), abs(right))
        if slack is not None and gap <= slack * abs(left):
            return True
        if gap <= _EQUAL * size or (size < _EQUAL and gap < _EQUAL):
            return True
        return False if gap > _DIFFERENT * size else None


def _slack(gold: Tree, prediction: Tree, tolerance: float | None) -> float | None:
    gold_rounds, prediction_rounds = _has_decimal(gold), _has_decimal(prediction)
    if tolerance is not None:
        return tolerance if gold_rounds or prediction_rounds else None
    return DEFAULT_TOLERANCE if gold_rounds != prediction_rounds else None


def _has_decimal(tree: Tree) -> bool:
    if isinstance(tree, Call):
        return any(_has_decimal(one) for one in tree.arguments)
    return isinstance(tree, Number) and tree.decimal


def _uses(tree: Tree, functions: frozenset[str]) -> bool:
    """Whether a function of these is applied to something with letters, or (-1) raised to it."""
    if not isinstance(tree, Call):
        return False
    negative_base = tree.name == "pow" and isinstance(tree.arguments[0], Call) and tree.arguments[0].name == "neg"
    if (tree.name in functions or negative_base) and any(_has_letter(one) for one in tree.arguments):
        return True
    return any(_uses(one, functions) for one in tree.arguments)


def _has_letter(tree: Tree) -> bool:
    if isinstance(tree, Call):
        return any(_has_letter(one) for one in tree.arguments)
    return isinstance(tree, Symbol) and tree.name not in _CONSTANTS


def _evaluate(tree: Tree, values: Values, *, in_degrees: bool) -> Any:
    if isinstance(tree, Number):
        return mpmath.mpf(tree.value.numerator) / tree.value.denominator
    if isinstance(tree, Symbol):
        return _CONSTANTS[tree.name]() if tree.name in _CONSTANTS else values[tree.name]
    if tree.name == "degrees":
        # An angle in degrees is a pure number unless a trigonometric function asks what it means.
        inner = _evaluate(tree.arguments[0], values, in_degrees=in_degrees)
        return inner * mpmath.pi / 180 if in_degrees else inner
    arguments = [_evaluate(one, values, in_degrees=in_degrees or tree.name in TRIGONOMETRIC) for one in tree.arguments]
    if any(mpmath.isnan(one) for one in arguments):
        raise _UndefinedError
    try:
        value = _real_power(tree, *arguments) if tree.name == "pow" else _OPERATIONS[tree.name](*arguments)
    except (ZeroDivisionError, ValueError, TypeError):
        raise _UndefinedError from None
    except OverflowError:
        raise _HugeError from None
    if mpmath.isnan(value):
        raise _UndefinedError
    return value


def _power(base: Any, exponent: Any) -> Any:
    if base != 0 and mpmath.isfinite(base) and mpmath.isfinite(exponent):
        bits = abs(mpmath.re(exponent) * mpmath.log(abs(base), 2)) if abs(base) != 1 else 0
        if bits > _MAX_BITS or abs(exponent) > 10**40:
            raise _HugeError
    if base == 0 and exponent == 0:
        return mpmath.mpf(1)
    return mpmath.power(base, exponent)


def _real_power(tree: Call, base: Any, exponent: Any) -> Any:
    """The real value of a negative number to a fraction with an odd denominator, as roots are read; else the usual."""
    fraction = _literal(tree.arguments[1])
    if fraction is None or fraction.denominator % 2 == 0 or fraction.denominator == 1:
        return _power(base, exponent)
    if mpmath.im(base) != 0 or mpmath.re(base) >= 0:
        return _power(base, exponent)
    size = _power(-base, exponent)
    return -size if fraction.numerator % 2 else size


def _literal(tree: Tree) -> Fraction | None:
    """The fraction that is written in a tree as such."""
    if isinstance(tree, Number):
        return None if tree.decimal else tree.value
    if isinstance(tree, Call) and tree.name in ("div", "neg"):
        parts = [_literal(one) for one in tree.arguments]
        if None in parts or (tree.name == "div" and parts[1] == 0):
            return None
        return -parts[0] if tree.name == "neg" else parts[0] / parts[1]  # type: ignore[operator]
    return None


def _root(radicand: Any, degree: Any) -> Any:
    if mpmath.im(radicand) == 0 and mpmath.re(radicand) < 0 and degree == int(mpmath.re(degree)) and int(degree) % 2:
        return -_power(-radicand, 1 / degree)
    return _power(radicand, 1 / degree)


def _factorial(value: Any) -> Any:
    if abs(value) > 10**5:
        raise _HugeError
    return mpmath.factorial(value)


def _binomial(top: Any, bottom: Any) -> Any:
    if max(abs(top), abs(bottom)) > 10**5:
        raise _HugeError
    return mpmath.binomial(top, bottom)


def _exponential(value: Any) -> Any:
    return _power(mpmath.e(), value)


def _logarithm(value: Any, base: Any = None) -> Any:
    if value == 0:
        raise _UndefinedError
    return mpmath.log(value) if base is None else mpmath.log(value) / mpmath.log(base)


def _real(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def apply(value: Any) -> Any:
        if mpmath.im(value) != 0 or abs(value) > 10**40:
            raise _UndefinedError
        return function(mpmath.re(value))

    return apply


_CONSTANTS: dict[str, Callable[[], Any]] = {
    "pi": lambda: +mpmath.pi,
    "e": lambda: +mpmath.e,
    "i": lambda: mpmath.mpc(0, 1),
    "infty": lambda: mpmath.inf,
}
_OPERATIONS: dict[str, Callable[..., Any]] = {
    "add": lambda left, right: left + right,
    "neg": lambda value: -value,
    "mul": lambda left, right: left * right,
    "div": lambda left, right: left / right,
    "pow": _power,
    "root": _root,
    "abs": abs,
    "floor": _real(mpmath.floor),
    "ceil": _real(mpmath.ceil),
    "factorial": _factorial,
    "binomial": _binomial,
    "exp": _exponential,
    "ln": _logarithm,
    "log": _logarithm,
    "lg": lambda value: _logarithm(value, mpmath.mpf(10)),
    "arcsin": mpmath.asin,
    "arccos": mpmath.acos,
    "arctan": mpmath.atan,
    "arccot": mpmath.acot,
    **{name: getattr(mpmath, name) for name in ("sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh")},
}
