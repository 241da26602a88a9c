"""Checkpoints on the way of a training: which are scored on the benchmarks, and what each rule of choosing reports."""

from __future__ import annotations

from collections.abc import Sequence

from sdbench.harness.recipes.loader import recipe_from_data
from sdbench.harness.run_directory import ConditionFolder, RunDirectory
from sdbench.harness.stages.prepare import RunPlan
from sdbench.leaderboards.curves import read_curve
from sdbench.leaderboards.reading import read_result
from sdbench.leaderboards.selection import SeedCheckpoints, SelectionTable, chosen_step, compare_rules
from sdbench.trainers.conditions import ConditionSpec
from sdbench.trainers.local.settings import StepCheckpoints


def kept_steps(*, every_steps: int, steps: int) -> tuple[int, ...]:
    """The steps whose weights a training keeps, the last one among them; 0 keeps that alone."""
    on_the_way = range(every_steps, steps, every_steps) if every_steps else range(0)
    return (*on_the_way, steps)


def step_checkpoints(plan: RunPlan, folder: ConditionFolder) -> StepCheckpoints | None:
    """What a training of this run keeps on its way."""
    every = plan.recipe.training.checkpoint_every_steps
    return StepCheckpoints(every_steps=every, folder=lambda step: folder.step(step).checkpoint) if every else None


def steps_to_score(
    plan: RunPlan, condition: ConditionSpec, folder: ConditionFolder, *, training_seed: int
) -> list[int]:
    """The checkpoints on the way of a finished training that the recipe wants scored, the last one not among them.

    Raises:
        UserError: the learning curve is damaged.
    """
    wanted = plan.recipe.evaluation.checkpoints
    steps = condition.budget.steps
    kept = kept_steps(every_steps=plan.recipe.training.checkpoint_every_steps, steps=steps)
    if wanted == "last":
        return []
    if wanted == "all":
        return [step for step in kept if step != steps]
    chosen = chosen_step(_validation(folder, condition.name, training_seed), kept=kept)
    return [] if chosen is None or chosen == steps else [chosen]


def selection_of(directories: Sequence[RunDirectory]) -> SelectionTable | None:
    """The three rules over every finished training that kept checkpoints; of several runs a label names the folder.

    Raises:
        UserError: a record or a result is damaged.
    """
    seeds = []
    for directory in directories:
        finished = directory.curve_files()
        if not finished:
            continue
        recipe = recipe_from_data(directory.resolved_recipe(), label=f"{directory.root}: its recipe")
        for name, training_seed, _ in finished:
            folder = directory.condition(name, training_seed)
            steps = recipe.conditions[name].budget.steps
            results = {step: read_result(path) for step, path in folder.step_results().items()}
            seeds.append(
                SeedCheckpoints(
                    condition=name if len(directories) == 1 else f"{name} ({directory.root.name})",
                    training_seed=training_seed,
                    kept=kept_steps(every_steps=recipe.training.checkpoint_every_steps, steps=steps),
                    validation=_validation(folder, name, training_seed),
                    results={**results, steps: read_result(folder.results)},
                )
            )
    return compare_rules(seeds)


def _validation(folder: ConditionFolder, name: str, training_seed: int) -> dict[int, float | None]:
    curve = read_curve(folder.validation, condition=name, training_seed=training_seed)
    return {point.step: point.validation.macro for point in curve.points}
