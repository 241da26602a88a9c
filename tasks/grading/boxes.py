r"""Reading ``\boxed{...}``: which boxes a text has, which of them close last, which of them belong together."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum

# Escaped characters are tokens of their own, so that "\{" opens nothing. Some texts were escaped once too often.
_BRACES = re.compile(r"(?P<box>\\{1,2}(?:boxed|fbox)\s*\{)|\\.|(?P<open>\{)|(?P<close>\})", re.DOTALL)

_WRAPPER = re.compile(r"\\(?:text|textrm|mathrm|textnormal|mbox)\s*\{([^{}]*)\}")
_SPACING = re.compile(r"\\[()\[\],;:! ]|\\q?quad(?![A-Za-z])|\$|&|\\\\|[{}*.]$|\s+")
_NAME = re.compile(r"[A-Za-z](?:_\{?\w{1,3}\}?)?\s*=\s*$")
_CONNECTOR = re.compile(r"[,;]|[,;]?\s*(?:and|or)", re.IGNORECASE)
_LOOSE = re.compile(r"(?:(?:\(\w\)|[A-Za-z]+)\s+){0,3}(?:and|or)", re.IGNORECASE)
_LONGEST_GAP = 60


class _Bond(IntEnum):
    """How closely a box follows the one before."""

    APART = 0
    LOOSE = 1
    TIGHT = 2


@dataclass(frozen=True, kw_only=True)
class Boxes:
    r"""The last box of a text and those before it that it belongs with.

    Attributes:
        last: the content of the balanced box that closes last (the outer of nested ones).
        joined: the contents of the last boxes that connectors join ("\boxed{1} and \boxed{2}"), in order.
        adjoining: those of the last boxes that stand side by side or have a few words between them as well
            ("\boxed{1} papers and \boxed{2} bins"): several values where several are asked for, else work before the
            answer.
    """

    last: str
    joined: tuple[str, ...]
    adjoining: tuple[str, ...]


def last_box(text: str) -> str | None:
    r"""The content of the balanced ``\boxed{...}`` that closes last (the outer of nested ones), or None."""
    spans = _spans(text)
    return text[spans[-1][1] : spans[-1][2]] if spans else None


def read_boxes(text: str) -> Boxes | None:
    """The boxes that a text ends in, or None where it has none."""
    spans = _spans(text)
    if not spans:
        return None
    contents = [text[start:end] for _, start, end in spans]
    joined = adjoining = len(spans) - 1
    for index in range(len(spans) - 1, 0, -1):
        bond = _bond(text[spans[index - 1][2] + 1 : spans[index][0]])
        if bond is _Bond.TIGHT and joined == index:
            joined = index - 1
        if bond is _Bond.APART:
            break
        adjoining = index - 1
    return Boxes(last=contents[-1], joined=tuple(contents[joined:]), adjoining=tuple(contents[adjoining:]))


def _spans(text: str) -> list[tuple[int, int, int]]:
    """Where each outermost balanced box begins, and where its content begins and ends; by their ends."""
    opened: list[tuple[int, int] | None] = []
    spans: list[tuple[int, int, int]] = []
    for token in _BRACES.finditer(text):
        if token["box"]:
            opened.append((token.start(), token.end()))
        elif token["open"]:
            opened.append(None)
        elif token["close"] and opened:
            box = opened.pop()
            if box is not None:
                while spans and spans[-1][0] > box[0]:
                    spans.pop()
                spans.append((*box, token.start()))
    return spans


def _bond(gap: str) -> _Bond:
    if len(gap) > _LONGEST_GAP:
        return _Bond.APART
    gap = _WRAPPER.sub(r" \1 ", gap)
    words = " ".join(_SPACING.sub(" ", gap).split())
    words = _NAME.sub("", words).strip()
    if _CONNECTOR.fullmatch(words):
        return _Bond.TIGHT
    if not any(character.isalnum() for character in words) or _LOOSE.fullmatch(words):
        return _Bond.LOOSE
    return _Bond.APART
