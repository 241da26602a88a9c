"""Pages of simulated figures: above them a reading written by hand, which is kept when the figures are made again."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
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


def figures_command(
    name: str,
    *,
    counted: str,
    description: str | None,
    figures: Callable[[int, int, str], str],
    arguments: Sequence[str] | None,
) -> None:
    """The command line of a simulation: prints its figures, or writes them into a page.

    Args:
        name: of its module.
        counted: what a figure is over so many of, in the singular; its plural is the option.
        description: for ``--help``.
        figures: makes them of the count, the seed, and the command that they are said to be made by.
        arguments: of the command line; None for the process's own.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {name}", description=description)
    add = parser.add_argument
    add(f"--{counted}s", dest="count", type=int, default=2000, help=f"simulated {counted}s behind each figure")
    add("--seed", type=int, default=1, help="seed of the simulation")
    add("--out", type=Path, help="page whose figures to write; default: standard output")
    options = parser.parse_args(arguments)
    if options.count < 1 or options.seed < 0:
        given = f"--{counted}s {options.count} --seed {options.seed}"
        parser.error(f"{given}: at least one {counted}, and no negative seed")
    if options.out is not None and not options.out.parent.is_dir():
        parser.error(f"--out {options.out}: no folder {options.out.parent}; create it first")
    if options.out is not None and reading_above(options.out) is None:
        parser.error(f"--out {options.out}: that file has no line {FIGURES!r}; add it where the figures belong")
    command = f"{parser.prog} --{counted}s {options.count} --seed {options.seed}"
    if options.out is None:
        print(figures(options.count, options.seed, command))
    else:
        write_figures(options.out, figures(options.count, options.seed, f"{command} --out {options.out}"))
