"""Learning curves of a run: how they are recorded during training, and read back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sdbench.harness.run_directory import ConditionFolder, RunDirectory
from sdbench.harness.stages.prepare import RunPlan
from sdbench.harness.stages.validation import score_weights
from sdbench.leaderboards.curves import Curve, mean_curves, read_curve
from sdbench.tasks.grading.verdict import Grader
from sdbench.tasks.sampling.engine import Engine
from sdbench.trainers.local.settings import LearningCurve


def curve_recorder(plan: RunPlan, folder: ConditionFolder, *, grader: Grader) -> LearningCurve | None:
    """What a training of this run scores its weights with meanwhile; None where the recipe asks for no curve."""
    every, validation = plan.recipe.training.curve_every_steps, plan.validation
    if not every or validation is None:
        return None

    def score(engine: Engine) -> Mapping[str, Any]:
        found = score_weights(validation, engine=engine, grader=grader, prompt_format=plan.prompt_format)
        data: dict[str, Any] = found.model_dump(mode="json")
        return data

    return LearningCurve(every_steps=every, file=folder.validation, score=score)


def curves_of(directory: RunDirectory) -> list[Curve]:
    """The learning curve of every condition whose training recorded one, over its finished seeds.

    In the order of the recipe.

    Raises:
        UserError: a record is damaged.
    """
    curves = mean_curves(
        read_curve(path, condition=name, training_seed=seed) for name, seed, path in directory.curve_files()
    )
    order = list(directory.resolved_recipe()["conditions"]) if curves else []
    return sorted(curves, key=lambda curve: order.index(curve.condition))
