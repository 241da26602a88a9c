"""Rows of a set from the hub, through ``datasets``. No code of a repository is run: only data files are read."""

from __future__ import annotations

from itertools import islice
from typing import Any

from sdbench.tasks.data.sources import Source
from sdbench.tasks.errors import UserError


def hub_rows(source: Source, *, first: int | None = None) -> list[dict[str, Any]]:
    """The rows of a set at its pinned revision (the newest where it is unpinned).

    Args:
        source: the benchmark.
        first: only that many rows, streamed; for a set too large to be fetched whole.

    Raises:
        UserError: the hub or the set cannot be reached.
    """
    from datasets import load_dataset  # type: ignore[import-untyped]  # half a second that listing does not need

    try:
        found = load_dataset(
            source.hub_id,
            source.configuration,
            split=source.split,
            revision=source.revision,
            streaming=first is not None,
        )
        return [dict(row) for row in islice(found, first)]
    except Exception as error:
        # What goes wrong on the way to a hub comes as a dozen classes of four libraries.
        reason = " ".join(str(error).split())[:160]
        raise UserError(
            f"{source.name} cannot be fetched from {source.hub_id}: {type(error).__name__}: {reason}; "
            f"put a copy into the data folder as {source.name}/test.jsonl"
        ) from error
