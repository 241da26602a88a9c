"""How a work list is cut into batches: a fixed function of the whole list, longest prompts first. Loads no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class GroupShape:
    """What the planner needs to know of one request.

    Attributes:
        prompt_tokens: length of its prompt.
        rows: how many completions are wanted of it.
        max_tokens: cap of its completions.
    """

    prompt_tokens: int
    rows: int
    max_tokens: int


@dataclass(frozen=True, kw_only=True)
class GroupSlice:
    """Completions ``start`` to ``stop`` (exclusive) of the request at ``index``; they share one prefill."""

    index: int
    start: int
    stop: int

    @property
    def rows(self) -> int:
        """How many completions these are."""
        return self.stop - self.start


def plan_batches(groups: Sequence[GroupShape], *, max_rows: int, max_cache_tokens: int) -> list[tuple[GroupSlice, ...]]:
    """Batches of slices that together are every row of every group once.

    Groups are taken by falling prompt length, ties in order of the list, so that a batch holds little padding and the
    largest comes first. One that does not fit beside those before it opens a new batch; only one that exceeds a whole
    batch is cut.

    Args:
        groups: the shapes, in the order of the requests; those without rows are skipped.
        max_rows: most rows of a batch.
        max_cache_tokens: most tokens in a batch's cache if every row runs to its cap; a batch has at least one row.
    """
    batches: list[tuple[GroupSlice, ...]] = []
    open_batch: list[GroupSlice] = []
    open_rows = open_prompt = open_cap = 0
    for index in sorted(range(len(groups)), key=lambda index: -groups[index].prompt_tokens):
        group = groups[index]
        start = 0
        while start < group.rows:
            prompt, cap = max(open_prompt, group.prompt_tokens), max(open_cap, group.max_tokens)
            room = min(max_rows, max_cache_tokens // (prompt + cap)) - open_rows
            if open_batch and room < group.rows - start:
                batches.append(tuple(open_batch))
                open_batch, open_rows, open_prompt, open_cap = [], 0, 0, 0
                continue
            stop = min(group.rows, start + max(1, room))
            open_batch.append(GroupSlice(index=index, start=start, stop=stop))
            open_rows, open_prompt, open_cap = open_rows + stop - start, prompt, cap
            start = stop
    if open_batch:
        batches.append(tuple(open_batch))
    return batches
