"""Numbers read and compared exactly, without a mathematics library: integers, rationals, decimals, percent, base n."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from sdbench.tasks.grading.normalise import split_assignment

# A decimal that stands for a fraction which never ends ("0.333333" for 1/3) has to agree to this relative error.
# math-verify's own rule is six decimals *absolutely*, by which 1.6e-19 equals 9.1e-31.
RELATIVE_TOLERANCE = Fraction(1, 10**6)
MAX_EXPONENT = 300

_DECIMAL = r"(?:\d+(?:\.\d*)?|\.\d+)"
_SIMPLE = re.compile(
    rf"(?P<mantissa>{_DECIMAL})"
    r"(?:(?:[eE]|\s*(?:\\times|\\cdot|\*|x)\s*10\s*\^)\s*(?P<exponent>[-+]?\d{1,5}|\{\s*[-+]?\d{1,5}\s*\}))?"
)
_POWER_OF_TEN = re.compile(r"10\s*\^\s*(?P<exponent>\d{1,5}|\{\s*[-+]?\d{1,5}\s*\})")
_SLASH = re.compile(rf"(?:(?P<whole>\d+)\s+)?(?P<top>{_DECIMAL})\s*/\s*(?P<bottom>{_DECIMAL})")
_FRAC = re.compile(
    rf"(?P<whole>\d+)?\s*\\frac\{{\s*(?P<sign>-)?\s*(?P<top>{_DECIMAL})\s*\}}\{{\s*(?P<bottom>{_DECIMAL})\s*\}}"
)
_BASE = re.compile(r"(?P<digits>(?=[A-Za-z]*\d)[0-9A-Za-z]+)\s*_\s*\{?\s*(?:\\text\{)?\s*(?P<base>\d{1,2})\s*\}{0,2}")
# After a number: words in \text, or plain words of two letters and more, with a power.
_UNIT = re.compile(
    r"(?P<number>.*?[\d})])\s*(?:\\text\s*\{(?P<text>[^{}]*)\}|\s(?P<words>[A-Za-z]{2,}(?:[ ][A-Za-z]+){0,4}))"
    r"\s*(?:\^\s*\{?\d\}?)?"
)
_NOT_UNITS = re.compile(
    r"\b(?:and|or|mod|pi|e|i|to|sqrt|log|ln|sin|cos|tan|inf|infinity|base|factorial|squared|cubed|dozen|hundred"
    r"|thousand|million|billion|trillion)\b|\d"
)
# Units that a value hangs on, by their usual spellings; any other word after a number only names what is counted.
_MEASURES = {
    spelling: measure
    for measure, spellings in {
        "mm": "mm millimeter millimetre",
        "cm": "cm centimeter centimetre",
        "m": "m meter metre",
        "km": "km kilometer kilometre",
        "in": "in inch inches",
        "ft": "ft foot feet",
        "yd": "yd yard",
        "mi": "mi mile",
        "s": "s sec second",
        "min": "min minute",
        "h": "h hr hour",
        "d": "day",
        "g": "g gram",
        "kg": "kg kilogram",
        "degree": "degree deg",
        "radian": "radian rad",
        "cent": "cent",
        "dollar": "dollar usd",
    }.items()
    for spelling in spellings.split()
}
_DEGREE = "^{\\circ}"


@dataclass(frozen=True, kw_only=True)
class ExactNumber:
    """A number as it was written.

    Attributes:
        value: its exact value; of a percentage the number before the sign.
        percent: whether a percent sign stood after it.
        decimal: whether it was written with a decimal point or a power of ten.
        base: the base it was written in, None for plain decimal notation.
        unit: the words after it, None where there are none.
    """

    value: Fraction
    percent: bool = False
    decimal: bool = False
    base: int | None = None
    unit: str | None = None

    @property
    def canonical(self) -> str:
        """One spelling a value, in base ten: an integer, a decimal that ends, or a reduced fraction; units left out."""
        return _spell(self.value) + ("%" if self.percent else "")


def read_number(normalised: str) -> ExactNumber | None:
    """The number that a normalised answer is, or None where it is anything else."""
    text = split_assignment(normalised)[1]
    if (based := _BASE.fullmatch(text)) is not None:
        return _read_based(based["digits"], int(based["base"]))
    unit: str | None = None
    if text.endswith(_DEGREE):
        text, unit = text.removesuffix(_DEGREE).strip(), "degree"
    elif (match := _UNIT.fullmatch(text)) is not None:
        words = (match["text"] if match["words"] is None else match["words"]).strip().lower()
        if _NOT_UNITS.search(words):
            return None
        text, unit = match["number"].strip(), words
    percent = text.endswith("%")
    text = text.removesuffix("%").strip()
    negative = text.startswith("-")
    text = text.removeprefix("-").strip() if negative else text.removeprefix("+").strip()
    read = _read_unsigned(text)
    if read is None:
        return None
    value, decimal = read
    return ExactNumber(value=-value if negative else value, percent=percent, decimal=decimal, unit=unit)


def numbers_equal(gold: ExactNumber, prediction: ExactNumber) -> bool:
    """Whether two numbers agree.

    Two known measures have to be the same one (5 cm is not 5 m); words that only name what is counted, or a unit on one
    side alone, do not matter, since problems name the unit they ask for. A percent sign on one side only is read either
    way (28 % is 28 where a percentage was asked for, and 0.28). A number in base n equals only one written in a base.
    """
    if (gold.base is None) != (prediction.base is None):
        return False
    measures = {measure for number in (gold, prediction) if (measure := _measure(number.unit)) is not None}
    if len(measures) > 1:
        return False
    if gold.percent == prediction.percent:
        return _values_equal(gold, prediction, gold.value, prediction.value)
    gold_reading = gold.value / 100 if gold.percent else gold.value
    prediction_reading = prediction.value / 100 if prediction.percent else prediction.value
    return gold.value == prediction.value or _values_equal(gold, prediction, gold_reading, prediction_reading)


def _values_equal(gold: ExactNumber, prediction: ExactNumber, left: Fraction, right: Fraction) -> bool:
    if left == right:
        return True
    # Two numbers that both end, or both are fractions, have no rounding to forgive.
    for rounded, exact, exact_value in ((gold, prediction, right), (prediction, gold, left)):
        if rounded.decimal and not exact.decimal and not _terminates(exact_value):
            return abs(left - right) <= RELATIVE_TOLERANCE * abs(exact_value)
    return False


def _measure(unit: str | None) -> str | None:
    words = (unit or "").rstrip(".")
    return _MEASURES.get(words) or _MEASURES.get(words.removesuffix("s"))


def _read_unsigned(text: str) -> tuple[Fraction, bool] | None:
    if (match := _SIMPLE.fullmatch(text)) is not None:
        exponent = int((match["exponent"] or "0").strip("{} "))
        if abs(exponent) > MAX_EXPONENT:
            return None
        return Fraction(match["mantissa"]) * Fraction(10) ** exponent, not match["mantissa"].isdigit() or exponent != 0
    if (match := _POWER_OF_TEN.fullmatch(text)) is not None:
        exponent = int(match["exponent"].strip("{} "))
        return (Fraction(10) ** exponent, True) if abs(exponent) <= MAX_EXPONENT else None
    match = _SLASH.fullmatch(text) or _FRAC.fullmatch(text)
    if match is None or Fraction(match["bottom"]) == 0:
        return None
    value = Fraction(match["top"]) / Fraction(match["bottom"])
    if match.re is _FRAC and match["sign"]:
        if match["whole"]:
            return None
        value = -value
    # "3 1/2" and "3\frac{1}{2}" are mixed numbers, never products.
    return value + int(match["whole"] or 0), False


def _read_based(digits: str, base: int) -> ExactNumber | None:
    try:
        return ExactNumber(value=Fraction(int(digits, base)), base=base) if base >= 2 else None
    except ValueError:
        return None


def _terminates(value: Fraction) -> bool:
    """Whether the decimal expansion ends."""
    denominator = value.denominator
    for prime in (2, 5):
        while denominator % prime == 0:
            denominator //= prime
    return denominator == 1


def _spell(value: Fraction) -> str:
    if value.denominator == 1 or not _terminates(value):
        return str(value)
    places = 0
    scaled = value
    while scaled.denominator != 1:
        scaled *= 10
        places += 1
    digits = tuple(int(digit) for digit in str(abs(scaled.numerator)))
    return str(Decimal((int(value < 0), digits, -places)))
