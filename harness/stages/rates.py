"""The learning rates of a run, as its board tells them: what they are, who chose them, and what that cost."""

from __future__ import annotations

from sdbench.harness.run_directory import RunDirectory, write_atomically, write_json
from sdbench.harness.stages.prepare import RunPlan
from sdbench.leaderboards.document import RunRates
from sdbench.leaderboards.render.tuning import render_tuning_markdown
from sdbench.leaderboards.tuning_file import read_tuning


def write_tuning(plan: RunPlan) -> None:
    """``tuning.json`` and ``tuning.md`` of a run whose recipe carries a sweep."""
    if plan.tuning is not None:
        write_json(plan.directory.tuning_json, plan.tuning.model_dump(mode="json"))
        write_atomically(plan.directory.tuning_markdown, render_tuning_markdown(plan.tuning))


def rates_of(directory: RunDirectory, *, name: str | None = None) -> RunRates | None:
    """The learning rates of a run's finished conditions; None where it trained none, as a folder of ``sdbench eval``.

    ``name`` is what the run is called where several stand on one board.

    Raises:
        UserError: the recipe or the sweep in the folder is damaged.
    """
    if directory.kind != "run":
        return None
    trained = {result.condition for result in directory.results()}
    conditions = directory.resolved_recipe()["conditions"]
    rates = {condition: float(spec["learning_rate"]) for condition, spec in conditions.items() if condition in trained}
    tuning = read_tuning(directory.tuning_json) if directory.tuning_json.is_file() else None
    return RunRates(run=name, rates=rates, tuning=tuning) if rates else None
