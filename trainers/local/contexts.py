"""From graded groups to rows that are learned from: by reward, or by what a teacher sees."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sdbench.tasks.errors import UserError
from sdbench.tasks.problem import Problem
from sdbench.tasks.sampling.seeds import sample_seed
from sdbench.trainers.conditions import ConditionSpec, GrpoSettings
from sdbench.trainers.critic.critic import Critic
from sdbench.trainers.feedback.materials import build_contexts
from sdbench.trainers.feedback.reasons import DOES_NOT_FIT
from sdbench.trainers.feedback.types import (
    BuiltContext,
    ContextWriter,
    FeedbackType,
    NoContext,
    PrivilegedContext,
    Unbuilt,
)
from sdbench.trainers.local.rollouts import Group
from sdbench.trainers.local.update import TrainingRow, reward_advantages
from sdbench.trainers.prompting import PromptFormat
from sdbench.trainers.rollout import Rollout

UNFIT_PROMPT = "the prompt does not fit the model"


class TooManyUnbuiltError(UserError):
    """Too many rollouts have no context for the training to mean anything."""


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """A rollout and what is learned from it: ``row`` is None where nothing is.

    ``context`` is None where the objective has no teacher; ``advantage`` None where it has no reward or the rollout is
    left out of the loss.
    """

    problem: Problem
    rollout: Rollout
    context: BuiltContext | None
    advantage: float | None
    row: TrainingRow | None


def reward_lessons(groups: Sequence[Group], *, objective: GrpoSettings, prompt_format: PromptFormat) -> list[Lesson]:
    """Lessons by reward. An ungraded rollout is left out of its group and of the loss; an unfit one has no tokens."""
    advantages = reward_advantages([[rollout.reward for rollout in group.rollouts] for group in groups], objective)
    lessons = []
    for group, values in zip(groups, advantages, strict=True):
        prompt = prompt_format.student_prompt(group.problem)
        for rollout, advantage in zip(group.rollouts, values, strict=True):
            row = None
            if advantage is not None and rollout.token_ids:
                row = TrainingRow(completion=rollout.token_ids, student_prompt=prompt, advantage=advantage)
            lessons.append(Lesson(problem=group.problem, rollout=rollout, context=None, advantage=advantage, row=row))
    return lessons


@dataclass(frozen=True, kw_only=True)
class TeacherLessons:
    """Makes lessons by a teacher's context.

    Attributes:
        max_teacher_tokens: the most that the teacher's prompt and the completion may hold; None is no limit.
    """

    condition: ConditionSpec
    feedback: FeedbackType
    prompt_format: PromptFormat
    writer: ContextWriter
    critic: Critic | None
    seed: int
    max_teacher_tokens: int | None

    def lessons(self, groups: Sequence[Group], *, step: int) -> list[Lesson]:
        """Lessons of a step. A context that is unbuilt or does not fit leaves its rollout without a row."""
        pairs = [(group.problem, rollout) for group in groups for rollout in group.rollouts]
        fitting = [pair for pair in pairs if pair[1].token_ids]
        batch_seed = sample_seed(run_seed=self.seed, task="materials", problem_id="", sample_index=step)
        built = iter(build_contexts(self.feedback, fitting, writer=self.writer, critic=self.critic, seed=batch_seed))
        return [
            self._lesson(problem, rollout, next(built) if rollout.token_ids else Unbuilt(UNFIT_PROMPT))
            for problem, rollout in pairs
        ]

    def _lesson(self, problem: Problem, rollout: Rollout, context: BuiltContext) -> Lesson:
        row = None
        if isinstance(context, NoContext):
            raise UserError(
                f"condition {self.condition.name!r}: feedback {self.condition.feedback.name!r} gives no context to "
                "distil from: use the objective 'grpo'"
            )
        if isinstance(context, PrivilegedContext):
            prompt = self.prompt_format.teacher_prompt(problem, context.text)
            limit = self.max_teacher_tokens
            if limit is not None and len(prompt) + len(rollout.token_ids) > limit:
                context = Unbuilt(DOES_NOT_FIT)
            else:
                row = TrainingRow(
                    completion=rollout.token_ids,
                    student_prompt=self.prompt_format.student_prompt(problem),
                    teacher_prompt=prompt,
                )
        return Lesson(problem=problem, rollout=rollout, context=context, advantage=None, row=row)


def check_unbuilt_share(unbuilt: Counter[str], *, rollouts: int, limit: float, condition: str) -> None:
    """Stop a run that has no context for too many of its rollouts.

    Raises:
        TooManyUnbuiltError: says which reason came how often.
    """
    missing = unbuilt.total()
    if missing > limit * rollouts:
        reasons = "; ".join(f"{reason}: {count}" for reason, count in unbuilt.most_common())
        raise TooManyUnbuiltError(
            f"condition {condition!r}: {missing} of {rollouts} rollouts have no context ({reasons}), more than "
            f"max_unbuilt_share = {limit}: mend the reason or raise the setting"
        )
