"""What conditions reveal, held against each other: a partial order, so that unequal information is not ranked as equal.

What is revealed goes by name (the members of ``Reveals``); one thing may tell another.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

Comparison = Literal["equal", "dominates", "dominated", "not_comparable"]

# Who knows the first also knows the others: who sees the answer can tell whether an attempt's is right.
TELLS: dict[str, frozenset[str]] = {
    "answer": frozenset({"outcome"}),
    "solution": frozenset({"answer", "plan", "intermediate_results", "solution_start", "solution_to_critic"}),
}


def all_told(revealed: Collection[str]) -> frozenset[str]:
    """Everything that is known where these things are revealed."""
    known, unread = set(revealed), list(revealed)
    while unread:
        fresh = TELLS.get(unread.pop(), frozenset()) - known
        known |= fresh
        unread += fresh
    return frozenset(known)


def compare_information(first: Collection[str], second: Collection[str]) -> Comparison:
    """Whether the first reveals as much as the second: the same, strictly more, strictly less, or neither."""
    ours, theirs = all_told(first), all_told(second)
    if ours == theirs:
        return "equal"
    if ours > theirs:
        return "dominates"
    return "dominated" if ours < theirs else "not_comparable"
