"""The learning rates that a run's conditions were trained with, who chose them, and what the choosing cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from sdbench.leaderboards.document import RunRates
from sdbench.leaderboards.render.markdown import escape, markdown_table
from sdbench.leaderboards.render.text import clean
from sdbench.leaderboards.render.tuning import COST_HEADS, cost_cells, rates_summary

_TITLE = "Where the learning rates come from"


def print_rates(rates: Sequence[RunRates], console: Console) -> None:
    """Print what is to be said of each run."""
    if not rates:
        return
    ascii_only = not console.encoding.lower().startswith("utf")
    console.print(Text(f"\n{_TITLE}", style="bold"))
    for run in rates:
        told = " ".join(_sentences(run))
        console.print(Text(clean(told, ascii_only=ascii_only)))


def render_rates_markdown(rates: Sequence[RunRates]) -> str:
    """The same as Markdown, with the cost of each condition's sweep; empty where nothing was trained."""
    if not rates:
        return ""
    parts = [f"## {_TITLE}"]
    for run in rates:
        parts.append(" ".join(escape(sentence) for sentence in _sentences(run)))
        tuning = run.tuning
        if tuning is None:
            continue
        tuned = [name for name in run.rates if name in tuning.conditions]
        rows = [[escape(name), f"{run.rates[name]:g}", *cost_cells(tuning.cost_of(name))] for name in tuned]
        if rows:
            heads = ["condition", "learning rate", *(f"{head} of its sweep" for head in COST_HEADS)]
            parts.append(markdown_table(heads, rows))
    return "\n\n".join(parts) + "\n"


def rates_to_json(rates: Sequence[RunRates]) -> list[dict[str, Any]]:
    """The same as JSON data: one entry a run; ``sweep`` is null where no sweep chose the rates."""
    return [
        {
            "run": run.run,
            "rates": dict(run.rates),
            "sweep": None
            if run.tuning is None
            else {
                "recipe": run.tuning.recipe,
                "rule": run.tuning.rule,
                "chosen": {name: choice.learning_rate for name, choice in run.tuning.choices.items()},
                "at_edge": [name for name, choice in run.tuning.choices.items() if choice.at_edge],
                "cost": run.tuning.cost.model_dump(mode="json"),
                "cost_by_condition": {
                    name: run.tuning.cost_of(name).model_dump(mode="json") for name in run.tuning.conditions
                },
            },
            "told": rates_summary(run.rates, tuning=run.tuning),
        }
        for run in rates
    ]


def _sentences(run: RunRates) -> list[str]:
    told = rates_summary(run.rates, tuning=run.tuning)
    return told if run.run is None else [f"{run.run}:", *told]
