"""What the filter of training problems left of them, below the board."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from sdbench.leaderboards.document import RunPool
from sdbench.leaderboards.render.markdown import escape
from sdbench.leaderboards.render.text import clean

_TITLE = "What was trained on"


def print_pools(pools: Sequence[RunPool], console: Console) -> None:
    """Print a sentence a run."""
    if not pools:
        return
    ascii_only = not console.encoding.lower().startswith("utf")
    console.print(Text(f"\n{_TITLE}", style="bold"))
    for pool in pools:
        console.print(Text(clean(_sentence(pool), ascii_only=ascii_only)))


def render_pools_markdown(pools: Sequence[RunPool]) -> str:
    """The same as Markdown; empty where nothing was filtered."""
    if not pools:
        return ""
    return "\n\n".join([f"## {_TITLE}", *(escape(_sentence(pool)) for pool in pools)]) + "\n"


def pools_to_json(pools: Sequence[RunPool]) -> list[dict[str, Any]]:
    """The same as JSON data: one entry a run."""
    return [{"run": pool.run, **pool.summary.to_json()} for pool in pools]


def _sentence(pool: RunPool) -> str:
    return pool.summary.note if pool.run is None else f"{pool.run}: {pool.summary.note}"
