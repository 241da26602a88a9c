"""Reading an answer by its brackets: lists, sets, tuples, and what stands at the top level."""

from __future__ import annotations

import re
from dataclasses import dataclass

_PAIRS = {"(": ")", "[": "]", "{": "}"}
_CONJUNCTION = re.compile(r"\s*,?\s*(?:\\text\s*\{\s*(?:and|or)\s*\}|(?<![A-Za-z])(?:and|or)(?![A-Za-z])|&)\s*,?\s*")


@dataclass(frozen=True, kw_only=True)
class Listing:
    """Several values: their brackets as written (empty for a bare list) and the values; one value where it is none."""

    brackets: str
    items: tuple[str, ...]

    @property
    def is_ordered(self) -> bool:
        """Tuples and intervals are ordered; sets and bare lists are not."""
        return self.brackets[:1] in ("(", "[")


def read_listing(text: str) -> Listing:
    """The values at the top level of a list, set, tuple or interval; one value where it is none of these."""
    text = text.replace("\\{", "{").replace("\\}", "}").replace("\\langle", "(").replace("\\rangle", ")").strip()
    brackets = ""
    if text[:1] in _PAIRS and closing_index(text) == len(text) - 1 and text[-1] in ")]}":
        brackets, text = text[0] + text[-1], text[1:-1]
    if brackets[:1] not in ("(", "[") and r"\begin" not in text:
        text = _CONJUNCTION.sub(", ", text)
    items = split_top(text, ";")
    if len(items) < 2:
        items = split_top(text, ",")
    return Listing(brackets=brackets, items=tuple(item.strip() for item in items))


def closing_index(text: str) -> int:
    """Where the bracket that opens the text is closed, of whatever kind (intervals mix them); -1 where it is not."""
    depth = 0
    for index, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if depth == 0:
            return index
    return -1


def split_top(text: str, separator: str) -> list[str]:
    """Split at the separators that stand in no bracket; empty parts are dropped."""
    parts: list[str] = []
    depth = start = 0
    for index, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if depth == 0 and text.startswith(separator, index) and index >= start:
            parts.append(text[start:index])
            start = index + len(separator)
    parts.append(text[start:])
    return [part for part in parts if part.strip()]
