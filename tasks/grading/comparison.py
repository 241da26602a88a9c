"""Deciding without a mathematics library whatever can be decided so; the rest is left as pairs for math-verify.

All answers here are normalised (``normalise``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sdbench.tasks.grading.choice import gold_letter, read_letter
from sdbench.tasks.grading.exact import numbers_equal, read_number
from sdbench.tasks.grading.normalise import split_assignment, squeeze


@dataclass(frozen=True, kw_only=True)
class Decided:
    """A comparison that is settled, and the rule that settled it."""

    equal: bool
    rule: str


@dataclass(frozen=True, kw_only=True)
class Undecided:
    """(gold, prediction) pairs that have to be equal, every one, for the prediction to be right."""

    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class _Listing:
    """Several values: their brackets as written (empty for a bare list) and the values."""

    brackets: str
    items: tuple[str, ...]

    @property
    def is_ordered(self) -> bool:
        """Tuples and intervals are ordered; sets and bare lists are not."""
        return self.brackets[:1] in ("(", "[")


_PAIRS = {"(": ")", "[": "]", "{": "}"}
_CONJUNCTION = re.compile(r"\s*,?\s*(?:\\text\s*\{\s*(?:and|or)\s*\}|\b(?:and|or)\b)\s*,?\s*")
_COLON = re.compile(r"\d+(?:\s*:\s*\d+)+")
_RELATIONS = ("=", "<", ">", r"\le", r"\ge", r"\ne", r"\lt", r"\gt")
_COMMAND = re.compile(r"\\[A-Za-z]+")
_ENVIRONMENT = re.compile(r"\\(?:begin|end)\s*\{[a-z]+\*?\}")
_WORD = re.compile(r"[A-Za-z]{3,}")
_FUNCTIONS = {"sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh"} | {
    *("log", "exp", "sqrt", "min", "max", "gcd", "lcm", "mod"),
}
_PROSE_WORDS = 3


def compare(gold: str, prediction: str) -> Decided | Undecided:
    """Compare two normalised answers as far as text and exact numbers reach."""
    gold_name, gold_value = split_assignment(gold)
    prediction_name, prediction_value = split_assignment(prediction)
    if gold_name and prediction_name and squeeze(gold_name) != squeeze(prediction_name):
        return Undecided(pairs=((gold, prediction),))
    gold_value, prediction_value = _expand_plus_minus(gold_value), _expand_plus_minus(prediction_value)
    if squeeze(gold_value) == squeeze(prediction_value):
        return Decided(equal=True, rule="same_text")
    letter = gold_letter(gold)
    if letter is not None and (named := read_letter(prediction)) is not None:
        return Decided(equal=letter == named, rule="choice")
    settled = _compare_numbers(gold_value, prediction_value) or _compare_words(gold_value, prediction_value)
    if settled is not None:
        return settled
    listings = _compare_listings(gold_value, prediction_value)
    if listings is not None:
        return listings
    # "y = 2x" answers "2x", but against an equation its left-hand side matters.
    both_values = not any(sign in text for text in (gold_value, prediction_value) for sign in _RELATIONS)
    return Undecided(pairs=((gold_value, prediction_value) if both_values else (gold, prediction),))


def has_several_values(normalised: str) -> bool:
    """Whether an answer lists more than one value."""
    return len(_read_listing(_expand_plus_minus(split_assignment(normalised)[1])).items) > 1


def _expand_plus_minus(text: str) -> str:
    r"""``a+b, a-b`` for ``a \pm b``, which math-verify cannot read inside a fraction."""
    listing = _read_listing(text)
    if r"\pm" not in text or listing.is_ordered:
        return text
    expanded: list[str] = []
    for item in listing.items:
        signs = "+-" if item.count(r"\pm") == 1 and r"\mp" not in item else [r"\pm"]
        expanded += [item.replace(r"\pm", sign).removeprefix("+").strip() for sign in signs]
    return ", ".join(expanded)


def _compare_numbers(gold: str, prediction: str) -> Decided | None:
    gold_number, prediction_number = read_number(gold), read_number(prediction)
    if gold_number is not None and prediction_number is not None:
        return Decided(equal=numbers_equal(gold_number, prediction_number), rule="exact_number")
    # "6:30" is a time or a ratio, to math-verify one fifth.
    gold_colon, prediction_colon = _COLON.fullmatch(gold) is not None, _COLON.fullmatch(prediction) is not None
    if (gold_colon or gold_number is not None) and (prediction_colon or prediction_number is not None):
        return Decided(equal=False, rule="ratio_or_time")
    if gold_number is not None and len(_read_listing(prediction).items) > 1:
        return Decided(equal=False, rule="several_values")
    return None


def _compare_words(gold: str, prediction: str) -> Decided | None:
    gold_words, prediction_words = _words(gold), _words(prediction)
    if gold_words is not None and gold_words == prediction_words:
        return Decided(equal=True, rule="words")
    # Fewer letters may be a product ("ab") and are left to math-verify.
    if gold_words is not None and any(len(word) > 3 for word in gold_words.split()):
        return Decided(equal=False, rule="words")
    if (
        sum(
            word.lower() not in _FUNCTIONS
            for word in _WORD.findall(_COMMAND.sub(" ", _ENVIRONMENT.sub(" ", prediction)))
        )
        >= _PROSE_WORDS
    ):
        return Decided(equal=False, rule="prose")
    return None


def _words(text: str) -> str | None:
    """A text of words alone, folded to one spelling; None where it may be mathematics (a single letter, a function)."""
    folded = " ".join(
        re.sub(r"\\text\s*\{([^{}]*)\}", r"\1", text).replace("-", " ").strip(" .'\"()").casefold().split()
    )
    is_words = re.fullmatch(r"[^\W\d_]{2,}(?: [^\W\d_]+)*", folded) is not None
    return folded if is_words and not (_FUNCTIONS | {"pi", "infinity"}) & set(folded.split()) else None


def _compare_listings(gold: str, prediction: str) -> Decided | Undecided | None:
    gold_list, prediction_list = _read_listing(gold), _read_listing(prediction)
    if len(gold_list.items) < 2 or len(prediction_list.items) < 2:
        return None
    if gold_list.is_ordered:
        same_brackets = gold_list.brackets == prediction_list.brackets
        if not same_brackets and not (gold_list.brackets == "()" and prediction_list.brackets in ("", "{}")):
            return Decided(equal=False, rule="other_brackets") if prediction_list.is_ordered else None
        return _compare_in_order(gold_list.items, prediction_list.items)
    if prediction_list.is_ordered:
        return None
    return _compare_in_any_order(gold_list.items, prediction_list.items)


def _compare_in_order(gold: Sequence[str], prediction: Sequence[str]) -> Decided | Undecided:
    if len(gold) != len(prediction):
        return Decided(equal=False, rule="other_length")
    results = [compare(one, other) for one, other in zip(gold, prediction, strict=True)]
    if any(isinstance(result, Decided) and not result.equal for result in results):
        return Decided(equal=False, rule="in_order")
    pairs = tuple(pair for result in results if isinstance(result, Undecided) for pair in result.pairs)
    return Undecided(pairs=pairs) if pairs else Decided(equal=True, rule="in_order")


def _compare_in_any_order(gold: Sequence[str], prediction: Sequence[str]) -> Decided | None:
    """Match the values of two sets; None where one could not be compared without math-verify."""
    gold, prediction = _without_repeats(gold), _without_repeats(prediction)
    if len(gold) * len(prediction) > 400:
        return None
    left_over = list(prediction)
    decided = True
    for one in gold:
        results = [compare(one, other) for other in left_over]
        match = next((i for i, result in enumerate(results) if isinstance(result, Decided) and result.equal), None)
        if match is not None:
            del left_over[match]
        elif all(isinstance(result, Decided) for result in results):
            return Decided(equal=False, rule="in_any_order")
        else:
            decided = False
    if not decided:
        return None
    return Decided(equal=not left_over, rule="in_any_order")


def _without_repeats(items: Sequence[str]) -> list[str]:
    return list({squeeze(item): item for item in items}.values())


def _read_listing(text: str) -> _Listing:
    """The values at the top level of a list, set, tuple or interval; one value where it is none of these."""
    text = text.replace("\\{", "{").replace("\\}", "}")
    brackets = ""
    if text[:1] in _PAIRS and _closing_index(text) == len(text) - 1 and text[-1] in ")]}":
        brackets, text = text[0] + text[-1], text[1:-1]
    if brackets[:1] not in ("(", "["):
        text = _CONJUNCTION.sub(", ", text)
    items = _split(text, ";")
    if len(items) < 2:
        items = _split(text, ",")
    return _Listing(brackets=brackets, items=tuple(item.strip() for item in items))


def _closing_index(text: str) -> int:
    """Where the bracket that opens the text is closed, of whatever kind (intervals mix them); -1 where it is not."""
    depth = 0
    for index, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if depth == 0:
            return index
    return -1


def _split(text: str, separator: str) -> list[str]:
    """Split at the separators that stand in no bracket; empty parts are dropped."""
    parts = [""]
    depth = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if character == separator and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part for part in parts if part.strip()]
