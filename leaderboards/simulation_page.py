"""Pages of simulated figures: above them a reading written by hand, which is kept when the figures are made again."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

FIGURES = "## Figures"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table of numbers."""
    lines = [heads, ["--:"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def percent_text(share: float) -> str:
    """A share in percent, as short as it can be written."""
    return f"{100 * share:.4g}"


def tell(what: str, row: Sequence[str]) -> None:
    """A finished row, on stderr, as it comes."""
    print(what, *row, sep="  ", file=sys.stderr, flush=True)


def reading_above(path: Path) -> str | None:
    """What a page has above its figures; None where there is no place for figures."""
    if not path.exists():
        return ""
    above, heading, _ = path.read_text(encoding="utf-8").partition(f"{FIGURES}\n")
    return above if heading else None


def write_figures(path: Path, text: str) -> None:
    """Replace a page's figures in one step; ``text`` begins with their heading."""
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_text((reading_above(path) or "") + text, encoding="utf-8")
    os.replace(unfinished, path)
