r"""Regions of the real line: intervals, unions of them, single points, and inequalities in one unknown."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sdbench.tasks.grading.brackets import closing_index, read_listing, split_top

_MEMBER = re.compile(
    r"(?:[A-Za-z](?:_\{?\w\}?)?|[A-Za-z]\([a-z]\))\s*\\in(?![A-Za-z])\s*|[A-Za-z]\s*(?=\([^()]*\]$|\[[^\[\]]*\)$)"
)
_BUILDER = re.compile(r"\\?\{\s*[A-Za-z]\s*(?:\\in\s*\\mathbb\s*\{?R\}?\s*)?(?:\||\\mid|:)\s*(.*?)\\?\}")
_RELATION = re.compile(r"\\(?:le|ge|lt|gt)(?![A-Za-z])|[<>]")
_UNKNOWN = re.compile(r"[A-Za-z](?:_\{?\w\}?)?|[A-Za-z]\([a-z]\)|\\(?:theta|alpha|beta|lambda|mu|phi|varphi)")
_OR = re.compile(
    r"\s*(?:\\text\s*\{\s*or\s*\}|(?<![A-Za-z])or(?![A-Za-z])|\\cup(?![A-Za-z])|\\lor(?![A-Za-z])|(?<=[\])}])\s*U\s*(?=[\[({\\]))\s*"
)
_REALS = re.compile(r"\\mathbb\s*\{?R\}?|R|all real numbers|\\text\{all real numbers\}|all reals")
_SYMBOLS = {r"\le": "<=", r"\ge": ">=", r"\lt": "<", r"\gt": ">", "<": "<", ">": ">"}
INFINITY = r"\infty"


@dataclass(frozen=True, kw_only=True)
class Interval:
    """An interval with its ends as written; a single point is closed and has one value for both."""

    low: str
    high: str
    low_closed: bool
    high_closed: bool


@dataclass(frozen=True, kw_only=True)
class Region:
    """A union of intervals.

    Attributes:
        intervals: in the order written.
        explicit: whether it can be nothing else; "(1, 2)" may as well be a pair.
    """

    intervals: tuple[Interval, ...]
    explicit: bool


def read_region(text: str) -> Region | None:
    """The region that a normalised answer is, or None where it is none."""
    if (builder := _BUILDER.fullmatch(text)) is not None:
        text = builder[1]
    member = _MEMBER.match(text)
    explicit = member is not None
    text = text[member.end() :] if member is not None else text
    text = text.replace("\\{", "{").replace("\\}", "}")
    parts = [part.strip() for part in _OR.split(text)]
    intervals: list[Interval] = []
    for part in parts:
        if _REALS.fullmatch(part) and (explicit or part != "R"):
            found: list[Interval] = [_interval("-" + INFINITY, INFINITY, low_closed=False, high_closed=False)]
            explicit = True
        elif _RELATION.search(part):
            inequality = _read_inequality(part)
            found = [inequality] if inequality is not None else []
            explicit = True
        else:
            found = _read_bracketed(part)
            explicit |= bool(found) and part[0] + part[-1] not in ("()", "{}")
        if not found:
            return None
        intervals += found
    points_only = all(one.low == one.high for one in intervals)
    return Region(intervals=tuple(intervals), explicit=explicit or (len(parts) > 1 and not points_only))


def _read_bracketed(text: str) -> list[Interval]:
    if text[:1] == "]" or (text[-1:] == "[" and text[:1] in "(["):
        # Half of Europe turns the brackets of open ends outward.
        text = ("(" if text[0] == "]" else text[0]) + text[1:-1] + (")" if text[-1] == "[" else text[-1])
    listing = read_listing(text)
    if listing.brackets[:1] == "{" and closing_index(text) == len(text) - 1:
        return [Interval(low=item, high=item, low_closed=True, high_closed=True) for item in listing.items]
    if not listing.is_ordered or len(listing.items) != 2:
        return []
    low, high = listing.items
    return [
        _interval(low, high, low_closed=listing.brackets[0] == "[", high_closed=listing.brackets[1] == "]"),
    ]


def _read_inequality(text: str) -> Interval | None:
    signs = [_SYMBOLS[match[0]] for match in _RELATION.finditer(text)]
    sides = [side.strip() for side in _RELATION.split(text)]
    if len(sides) != len(signs) + 1 or not all(sides) or len(split_top(text, ",")) > 1:
        return None
    if signs[0][0] == ">":
        sides, signs = sides[::-1], ["<" + sign[1:] for sign in reversed(signs)]
    if any(sign[0] != "<" for sign in signs):
        return None
    if len(signs) == 2 and _UNKNOWN.fullmatch(sides[1]):
        return _interval(sides[0], sides[2], low_closed="=" in signs[0], high_closed="=" in signs[1])
    if len(signs) == 1 and _UNKNOWN.fullmatch(sides[0]) and not _UNKNOWN.fullmatch(sides[1]):
        return _interval("-" + INFINITY, sides[1], low_closed=False, high_closed="=" in signs[0])
    if len(signs) == 1 and _UNKNOWN.fullmatch(sides[1]) and not _UNKNOWN.fullmatch(sides[0]):
        return _interval(sides[0], INFINITY, low_closed="=" in signs[0], high_closed=False)
    return None


def _interval(low: str, high: str, *, low_closed: bool, high_closed: bool) -> Interval:
    """An interval whose infinite ends are open, however they were written."""
    low, high = low.replace(" ", "").removeprefix("+"), high.replace(" ", "").removeprefix("+")
    return Interval(
        low=low,
        high=high,
        low_closed=low_closed and INFINITY not in low,
        high_closed=high_closed and INFINITY not in high,
    )
