"""Reading the answer out of a completion: the last box, else an anchor, else nothing. Never "the last number"."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Source = Literal["box", "hash", "phrase"]

_THINK_OPEN, _THINK_CLOSE = "<think>", "</think>"
# Escaped characters are tokens of their own, so that "\{" opens nothing.
_BRACES = re.compile(r"(?P<box>\\(?:boxed|fbox)\s*\{)|\\.|(?P<open>\{)|(?P<close>\})", re.DOTALL)

_NUMBER = r"[-+]?[$€£]?[-+]?(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?:/\d+)?"
# "#4" ends a nano trace; "#### 18 dollars" a GSM8K solution. A Markdown heading ("#### 4. Conclusion") is neither.
_HASH = re.compile(
    rf"(?:^|[;,])[ \t]*(?:#(?P<short>{_NUMBER})|####[ \t]*(?P<long>\\?{_NUMBER}[ \t]*(?:\\?%|[A-Za-z]+)?|\$[^$\n]+\$))"
    r"\.?[ \t]*$",
    re.MULTILINE,
)
_PHRASE = re.compile(
    r"(?:\bfinal[ \t]+answer\b|\bthe[ \t]+(?:correct[ \t]+)?answer\b|^[*_ \t]*answer\b(?=[*_ \t]*:))"
    r"(?:[ \t*_]*(?::|=|\bis\b|\bare\b)|[ \t]*\*\*[ \t]*\n)[\s:*=]*",
    re.IGNORECASE | re.MULTILINE,
)
_SENTENCE_END = re.compile(r"\n|[.!?;](?=\s|$)|\s(?:because|since)\s|<\|")
# "Final answer: the largest $n$ is 34": a sentence that begins with a word says its answer after its last verb.
_PREDICATE = re.compile(r"[A-Za-z]{2,}\s.*\b(?:is|are|equals)\s+(\S.*)")
_DELIMITED = re.compile(r"\$\$(.+?)\$\$|\$((?:\\\$|[^$])+)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Extraction:
    """An answer as written, and where it stood: in a box, after hash marks, or after an anchor phrase."""

    answer: str
    source: Source


def strip_thinking(text: str) -> str:
    """The text after the last closed thinking block; thinking that was never closed is no part of the answer.

    A completion may lack the opening tag, because the prompt template wrote it.
    """
    return text.rpartition(_THINK_CLOSE)[2].partition(_THINK_OPEN)[0]


def last_box(text: str) -> str | None:
    r"""The content of the balanced ``\boxed{...}`` that closes last (the outer of nested ones), or None."""
    opened: list[int | None] = []
    content: str | None = None
    for token in _BRACES.finditer(text):
        if token["box"]:
            opened.append(token.end())
        elif token["open"]:
            opened.append(None)
        elif token["close"] and opened:
            start = opened.pop()
            if start is not None:
                content = text[start : token.start()]
    return content


def extract_answer(text: str) -> Extraction | None:
    """The answer that a completion commits itself to, or None.

    The last balanced box wins over any anchor; among anchors the last one wins, and if nothing follows it there is no
    answer.
    """
    text = strip_thinking(text)
    box = last_box(text)
    if box is not None:
        return Extraction(answer=box, source="box") if box.strip() else None
    hashes = list(_HASH.finditer(text))
    phrases = list(_PHRASE.finditer(text))
    if hashes and (not phrases or hashes[-1].start() > phrases[-1].start()):
        return Extraction(answer=hashes[-1]["short"] or hashes[-1]["long"], source="hash")
    if phrases:
        answer = _after_phrase(text[phrases[-1].end() :])
        return Extraction(answer=answer, source="phrase") if answer else None
    return None


def _after_phrase(rest: str) -> str:
    """The answer that follows an anchor phrase: a formula in delimiters, else what stands up to the sentence's end."""
    formula = _DELIMITED.match(rest)
    if formula is not None and not re.match(r"[ \t]*[^\s.,;:!?*)]", rest[formula.end() :]):
        return next(group for group in formula.groups() if group is not None).strip()
    sentence = _SENTENCE_END.split(rest, maxsplit=1)[0].strip().strip("*_").strip()
    predicate = _PREDICATE.fullmatch(sentence)
    return predicate[1] if predicate is not None else sentence
