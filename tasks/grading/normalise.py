"""One spelling for answers that differ only in how LaTeX was typed. Text in, text out; nothing is evaluated."""

from __future__ import annotations

import re

from sdbench.tasks.grading.boxes import last_box

_CHARACTERS = str.maketrans({"\u2212": "-", "\u2013": "-", "\u00a0": " ", "\u202f": " ", "\u2009": " ", "\uff0c": ","})
_SYMBOLS = {
    "\u00d7": r"\times ",
    "\u00b7": r"\cdot ",
    "\u03c0": r"\pi ",
    "\u221e": r"\infty ",
    "\u2264": r"\le ",
    "\u2265": r"\ge ",
    "\u222a": r"\cup ",
    "\u00b1": r"\pm ",
    "\u00b0": r"^{\circ}",
    "<=": r"\le ",
    ">=": r"\ge ",
    "!=": r"\ne ",
}
_ORDERED_REWRITES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        # Signs of currency and mathematics mode say nothing about the value.
        (r"\\?[$€£]", ""),
        (r"(?<!\\)\\[()\[\]]", ""),
        (r"\s*\\?%|\s+(?:percent|pct)\b\.?", "%"),
        # "32,\! 349" and "32{,}349" are one number, "32, 349" is two.
        (r"(?<=\d)(?:,\\!\s*|\{,\})(?=\d)", ""),
        (r"\\(?:left|right|[bB]igg?[lr]?|displaystyle|textstyle)(?![A-Za-z])", ""),
        (r"\\[,;:! ]|~|\\q?quad(?![A-Za-z])", " "),
        (r"\\[dtc]frac(?![A-Za-z])", r"\\frac"),
        (r"\\([lgn])eq(?:slant)?(?![A-Za-z])", r"\\\1e"),
        (r"\\(?:mathrm|operatorname|mathbf|mathit)\s*\{\s*([a-zA-Z])\s*\}", r"\1"),
        (r"\\mathrm\s+([a-zA-Z])(?![a-zA-Z])", r"\1"),
        (r"\\(?:mbox|textnormal|textbf|textit|textrm|mathrm|mathbf|operatorname\*?)(?=\s*\{)", r"\\text"),
        (r"\s*\^\s*(?:\{\s*\\circ\s*\}|\\circ(?![A-Za-z]))|\s*\\degree(?![A-Za-z])|(?<=\d)\s+degrees?\b", r"^{\\circ}"),
    )
)
_WHOLE_TEXT = re.compile(r"\\text\s*\{([^{}]*)\}")
_LETTER_CHOICE = re.compile(r"\(([A-Za-z])\)")
# Only a number that stands alone: "(1,234)" is a pair.
_THOUSANDS = re.compile(r"[-+]?\s*[1-9]\d{0,2}(?:(?:,\d{3})+|(?: \d{3})+)(?![\d, ]*[\d,])")
_ARGUMENTS = re.compile(r"\\(frac|sqrt)(?![A-Za-z])\s*(\[[^\[\]]*\])?")
_TOKEN = re.compile(r"\s*(\\[A-Za-z]+|[^\s{}\\])")
_ASSIGNMENT = re.compile(r"([A-Za-z](?:_\{?\w{1,3}\}?)?)\s*(?:=|\\approx(?![A-Za-z]))\s*(?=[^=]+$)")


def normalise(answer: str) -> str:
    r"""The answer in one spelling.

    Mathematics delimiters, an enclosing box, currency signs, sizes, spacing commands, thousands separators, a leading
    plus and a final full stop go; ``\dfrac12`` becomes ``\frac{1}{2}``, ``\sqrt\pi`` ``\sqrt{\pi}``, ``\text``
    round a whole answer goes. What an answer says stays: units, percent signs, order, brackets, case.
    """
    text = answer.translate(_CHARACTERS).strip()
    while (inner := last_box(text)) is not None and text.startswith("\\") and text.endswith(inner + "}"):
        text = inner.strip()
    for symbol, command in _SYMBOLS.items():
        text = text.replace(symbol, command)
    for pattern, replacement in _ORDERED_REWRITES:
        text = pattern.sub(replacement, text)
    text = " ".join(text.split()).rstrip(".,; ").removesuffix("\\").strip()
    if (whole := _WHOLE_TEXT.fullmatch(text)) is not None:
        text = whole[1].strip()
    if (choice := _LETTER_CHOICE.fullmatch(text)) is not None:
        text = choice[1]
    text = (
        _THOUSANDS.sub(lambda match: re.sub(r"[, ]", "", match[0]), text, count=1)
        if text[:1] in "+-0123456789"
        else text
    )
    return _brace_arguments(text).removeprefix("+").strip()


def split_assignment(normalised: str) -> tuple[str | None, str]:
    """``("x", "5")`` for ``x = 5``: a single name on the left, and the right-hand side; else None and the whole."""
    match = _ASSIGNMENT.match(normalised)
    return (match[1], normalised[match.end() :].strip()) if match else (None, normalised)


def squeeze(normalised: str) -> str:
    r"""Without spaces and ``\text`` wrappers: what two spellings of one answer share."""
    return re.sub(r"\s+", "", _WHOLE_TEXT.sub(r"\1", normalised))


def _brace_arguments(text: str) -> str:
    r"""Put braces round the arguments of ``\frac`` and ``\sqrt`` that are a single token."""
    parts: list[str] = []
    position = 0
    while (command := _ARGUMENTS.search(text, position)) is not None:
        parts.append(text[position : command.start()] + f"\\{command[1]}{command[2] or ''}")
        position = command.end()
        for _ in range(2 if command[1] == "frac" else 1):
            token = _TOKEN.match(text, position)
            # A command that takes arguments itself cannot be braced alone; a brace group needs nothing.
            if token is not None and token[1] not in (r"\frac", r"\sqrt"):
                parts.append("{" + token[1] + "}")
                position = token.end()
            elif (end := _group_end(text, position)) is not None:
                parts.append(_brace_arguments(text[position:end]).strip())
                position = end
    return "".join(parts) + text[position:]


def _group_end(text: str, position: int) -> int | None:
    """Where the brace group that starts at ``position`` (after spaces) ends, or None if there is no balanced one."""
    start = position + len(text[position:]) - len(text[position:].lstrip())
    depth = 0
    for index in range(start, len(text)):
        depth += (text[index] == "{") - (text[index] == "}")
        if depth == 0:
            return index + 1 if index > start else None
    return None
