"""What an answer may look like before any parser sees it.

The longest gold of the public suites has some 160 characters and eight levels of nesting. What lies far beyond is not
an answer but a load on the grader, so a *prediction* over a limit is wrong, by a rule that names the limit: were it
missing instead, a policy could leave the score by writing monsters. A *gold* over a limit is the data's fault and
makes the sample ungraded.
"""

from __future__ import annotations

import re

MAX_CHARACTERS = 1000
MAX_NESTING = 24
MAX_DIGIT_RUN = 200

_DIGIT_RUN = re.compile(rf"\d{{{MAX_DIGIT_RUN + 1}}}")
_OPENING, _CLOSING = "([{", ")]}"


def exceeded_limit(answer: str) -> str | None:
    """The rule that an answer breaks: ``too_long``, ``too_nested`` or ``digit_run_too_long``; None if it keeps all."""
    if len(answer) > MAX_CHARACTERS:
        return "too_long"
    depth = 0
    for character in answer:
        if character in _OPENING:
            depth += 1
            if depth > MAX_NESTING:
                return "too_nested"
        elif character in _CLOSING:
            depth = max(0, depth - 1)
    return "digit_run_too_long" if _DIGIT_RUN.search(answer) else None
