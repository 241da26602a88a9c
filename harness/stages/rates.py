"""The learning rates of a run, as its board tells them: what they are, who chose them, and what that cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from sdbench.harness.run_directory import RunDirectory, write_atomically, write_json
from sdbench.harness.stages.prepare import RunPlan
from sdbench.leaderboards.render.text import clean
from sdbench.leaderboards.render.tuning import rates_summary, render_tuning_markdown
from sdbench.leaderboards.tuning_file import read_tuning


def write_tuning(plan: RunPlan) -> None:
    """``tuning.json`` and ``tuning.md`` of a run whose recipe carries a sweep."""
    if plan.tuning is not None:
        write_json(plan.directory.tuning_json, plan.tuning.model_dump(mode="json"))
        write_atomically(plan.directory.tuning_markdown, render_tuning_markdown(plan.tuning))


def rates_of(directory: RunDirectory) -> list[str]:
    """Sentences about the learning rates of a run; none for a folder of ``sdbench eval``.

    Raises:
        UserError: the recipe or the sweep in the folder is damaged.
    """
    if directory.kind != "run":
        return []
    trained = {result.condition for result in directory.results()}
    conditions = directory.resolved_recipe()["conditions"]
    rates = {name: float(spec["learning_rate"]) for name, spec in conditions.items() if name in trained}
    tuning = read_tuning(directory.tuning_json) if directory.tuning_json.is_file() else None
    return rates_summary(rates, tuning=tuning) if rates else []


def show_rates(sentences: Sequence[str], stream: TextIO | None = None) -> None:
    """The sentences on stdout (or another stream), below the board."""
    from rich.console import Console

    console = Console(file=stream)
    ascii_only = not console.encoding.lower().startswith("utf")
    for index, sentence in enumerate(sentences):
        if index == 0:
            console.print()
        console.print(clean(sentence, ascii_only=ascii_only), markup=False, highlight=False)
