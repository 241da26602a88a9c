"""Answers in words."""

from __future__ import annotations

import re

_COMMAND = re.compile(r"\\[A-Za-z]+")
_ENVIRONMENT = re.compile(r"\\(?:begin|end)\s*\{[a-z]+\*?\}")
_TEXT = re.compile(r"\\text\s*\{([^{}]*)\}")
_WORD = re.compile(r"[A-Za-z]{3,}")
_FUNCTIONS = frozenset(
    (
        *("sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh"),
        *("log", "exp", "sqrt", "min", "max", "gcd", "lcm", "mod", "pi", "infinity"),
    )
)
_PROSE_WORDS = 3
_ARTICLES = re.compile(r"^(?:an?|the|it is|they are)\s+")
# Spellings of one thing.
_SYNONYMS = {
    **dict.fromkeys(
        ("none", "no solution", "no solutions", "no real solution", "no real solutions", "empty set"), "none"
    ),
    **dict.fromkeys(("\\emptyset", "\\{\\}", "{}", "\\{ \\}", "does not exist", "dne", "there is no solution"), "none"),
    **dict.fromkeys(("yes", "true"), "yes"),
    **dict.fromkeys(("no", "false"), "no"),
    **dict.fromkeys(("infinitely many", "infinity", "\\infty"), "infinity"),
}


def words_equal(gold: str, prediction: str) -> bool | None:
    """Whether two answers are the same words; None where the gold may be mathematics."""
    gold_words, prediction_words = _fold(gold), _fold(prediction)
    if gold_words in _SYNONYMS and prediction_words in _SYNONYMS:
        return _SYNONYMS[gold_words] == _SYNONYMS[prediction_words]
    if not _is_words(gold_words):
        return None
    if gold_words == prediction_words:
        return True
    # Fewer letters may be a product ("ab") and are left to math-verify.
    return False if any(len(word) > 3 for word in gold_words.split()) else None


def is_prose(text: str) -> bool:
    """Whether an answer is sentences rather than mathematics."""
    words = _WORD.findall(_COMMAND.sub(" ", _ENVIRONMENT.sub(" ", text)))
    return sum(word.lower() not in _FUNCTIONS for word in words) >= _PROSE_WORDS


def _fold(text: str) -> str:
    plain = " ".join(_TEXT.sub(r"\1", text).replace("-", " ").strip(" .'\"()").casefold().split())
    return _ARTICLES.sub("", plain)


def _is_words(folded: str) -> bool:
    """Words alone, none of them a single letter or a function."""
    return re.fullmatch(r"[^\W\d_]{2,}(?: [^\W\d_]+)*", folded) is not None and not _FUNCTIONS & set(folded.split())
