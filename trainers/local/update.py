"""One update: losses of a step's rollouts, micro-batch by micro-batch, and their gradient.

Shapes: P problem, G rollout in its group, B rollout, T completion position, N completion tokens laid end to end,
D width. Every token's weight in the step's loss is fixed before the step is cut, so the cut does not matter.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sdbench.trainers.conditions import DistillationSettings, GrpoSettings
from sdbench.trainers.local.policy import compute_context, trained_parameters, training_mode
from sdbench.trainers.local.settings import LocalTrainerSettings
from sdbench.trainers.objectives.chunked import chunked_logprobs
from sdbench.trainers.objectives.grpo import clipped_policy_loss, group_advantages, kept_rollouts
from sdbench.trainers.objectives.reductions import Reduction, reduction_weights
from sdbench.trainers.scoring import CompletionBatch, collate, completion_hidden, microbatches, output_head
from sdbench.trainers.teacher import Teacher
from sdbench.trainers.teacher_scoring import head_of, score_against_teacher

TokenIds = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class TrainingRow:
    """A rollout that is learned from: its completion, what the student saw, and what it is measured by.

    ``teacher_prompt`` for distillation, ``advantage`` for GRPO; the other is None.
    """

    completion: TokenIds
    student_prompt: TokenIds
    teacher_prompt: TokenIds | None = None
    advantage: float | None = None


@dataclass(frozen=True, kw_only=True)
class UpdateResult:
    """What an update did. Means are over the completion tokens that were learned from.

    Attributes:
        loss: what was minimised; a surrogate for GRPO and the sampled-token form.
        divergence: mean divergence between teacher and student; None without a teacher.
        token_advantage: mean of teacher minus student log-prob of the sampled token; None without a teacher.
        entropy: mean entropy of the student, in nats.
        gradient_norm: before clipping.
        teacher_tokens: prompt and completion tokens that the teacher read.
    """

    loss: float
    divergence: float | None
    token_advantage: float | None
    entropy: float
    gradient_norm: float
    teacher_tokens: int


@dataclass(frozen=True, kw_only=True)
class Learner:
    """The student with all that updates it."""

    model: Any
    teacher: Teacher
    optimizer: torch.optim.Optimizer
    objective: GrpoSettings | DistillationSettings
    settings: LocalTrainerSettings
    device: str

    @property
    def chunk_tokens(self) -> int:
        """Completion tokens whose logits are held at once."""
        return max(1, self.settings.logits_per_chunk // output_head(self.model).out_features)


def reward_advantages(rewards_PG: Sequence[Sequence[float | None]], settings: GrpoSettings) -> list[list[float | None]]:
    """The advantage of each rollout of each group; None where a rollout is left out of the loss.

    An ungraded reward is None: it enters neither its group's mean nor the loss.
    """
    rewards = torch.tensor([[math.nan if reward is None else reward for reward in group] for group in rewards_PG])
    advantages = group_advantages(rewards_PG=rewards, std_normalisation=settings.std_normalisation).tolist()
    kept = kept_rollouts(rewards_PG=rewards, degenerate=settings.degenerate_groups).tolist()
    return [
        [value if keep else None for value, keep in zip(values, keeps, strict=True)]
        for values, keeps in zip(advantages, kept, strict=True)
    ]


def update(rows: Sequence[TrainingRow], learner: Learner, *, learning_rate: float, passes: int) -> list[UpdateResult]:
    """``passes`` updates on the same rollouts. Behind the first, ratios are against the policy that drew them."""
    if not rows:
        raise ValueError("an update needs at least one row")
    batches = _cut(rows, learner)
    behaviour = _behaviour_logprobs(batches, learner) if _needs_behaviour(learner, passes) else None
    return [_one_update(batches, learner, behaviour=behaviour, learning_rate=learning_rate) for _ in range(passes)]


@dataclass(frozen=True, kw_only=True)
class _Batch:
    rows: tuple[TrainingRow, ...]
    student: CompletionBatch
    weights_N: Tensor
    sampled_ids_N: Tensor


def _cut(rows: Sequence[TrainingRow], learner: Learner) -> list[_Batch]:
    """The step's rows in micro-batches, each token with its weight in the whole step."""
    objective = learner.objective
    reduction: Reduction = objective.length_normalisation if objective.name == "grpo" else objective.reduction
    lengths_B1 = torch.tensor([[len(row.completion)] for row in rows])
    mask_BT = torch.arange(int(lengths_B1.max()))[None] < lengths_B1
    weights_BT = reduction_weights(mask_BT=mask_BT, reduction=reduction)
    sizes = [max(len(row.student_prompt), len(row.teacher_prompt or ())) + len(row.completion) for row in rows]
    batches = []
    for indices in microbatches(sizes, token_budget=learner.settings.tokens_per_microbatch):
        chosen = tuple(rows[index] for index in indices)
        student = collate(
            [row.student_prompt for row in chosen], [row.completion for row in chosen], device=learner.device
        )
        weights = weights_BT[indices, : student.mask_BT.shape[1]].to(learner.device)
        batches.append(
            _Batch(
                rows=chosen,
                student=student,
                weights_N=weights[student.mask_BT],
                sampled_ids_N=student.targets_BT[student.mask_BT],
            )
        )
    return batches


def _needs_behaviour(learner: Learner, passes: int) -> bool:
    objective = learner.objective
    if objective.name == "grpo":
        return passes > 1  # in the first pass the policy is the one that sampled
    return objective.importance_clip is not None


@torch.no_grad()
def _behaviour_logprobs(batches: Sequence[_Batch], learner: Learner) -> list[Tensor]:
    logprobs = []
    for batch in batches:
        with compute_context(learner.settings):
            hidden_ND = completion_hidden(learner.model, batch.student)[batch.student.mask_BT]
            logprobs_N, _ = chunked_logprobs(
                hidden_ND=hidden_ND,
                head=head_of(learner.model),
                sampled_ids_N=batch.sampled_ids_N,
                temperature=learner.settings.temperature,
                chunk_tokens=learner.chunk_tokens,
            )
        logprobs.append(logprobs_N)
    return logprobs


@dataclass(frozen=True, kw_only=True)
class _BatchLoss:
    loss_N: Tensor
    entropy_N: Tensor
    divergence_N: Tensor | None = None
    token_advantage_N: Tensor | None = None
    teacher_tokens: int = 0


def _one_update(
    batches: Sequence[_Batch], learner: Learner, *, behaviour: Sequence[Tensor] | None, learning_rate: float
) -> UpdateResult:
    score: Callable[[_Batch, Learner, Tensor | None], _BatchLoss] = (
        _grpo_loss if learner.objective.name == "grpo" else _distillation_loss
    )
    learner.optimizer.zero_grad(set_to_none=True)
    totals = {"loss": 0.0, "entropy": 0.0, "divergence": 0.0, "token_advantage": 0.0}
    teacher_tokens = 0
    for index, batch in enumerate(batches):
        with training_mode(learner.model, settings=learner.settings), compute_context(learner.settings):
            scored = score(batch, learner, None if behaviour is None else behaviour[index])
            loss = (scored.loss_N * batch.weights_N).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        totals["loss"] += float(loss.detach())
        totals["entropy"] += float(scored.entropy_N.sum())
        if scored.divergence_N is not None and scored.token_advantage_N is not None:
            totals["divergence"] += float(scored.divergence_N.sum())
            totals["token_advantage"] += float(scored.token_advantage_N.sum())
        teacher_tokens += scored.teacher_tokens
    parameters = list(trained_parameters(learner.model).values())
    clip = learner.settings.gradient_clip
    norm = float(torch.nn.utils.clip_grad_norm_(parameters, math.inf if clip is None else clip))
    if not math.isfinite(norm) or not math.isfinite(totals["loss"]):
        raise FloatingPointError(f"loss {totals['loss']} and gradient norm {norm}: the training has diverged")
    for group in learner.optimizer.param_groups:
        group["lr"] = learning_rate
    learner.optimizer.step()
    learner.teacher.after_update()
    tokens = sum(len(batch.sampled_ids_N) for batch in batches)
    has_teacher = learner.objective.name == "distillation"
    return UpdateResult(
        loss=totals["loss"],
        divergence=totals["divergence"] / tokens if has_teacher else None,
        token_advantage=totals["token_advantage"] / tokens if has_teacher else None,
        entropy=totals["entropy"] / tokens,
        gradient_norm=norm,
        teacher_tokens=teacher_tokens,
    )


def _grpo_loss(batch: _Batch, learner: Learner, behaviour_N: Tensor | None) -> _BatchLoss:
    objective = learner.objective
    assert isinstance(objective, GrpoSettings)
    advantages_B = torch.tensor([row.advantage for row in batch.rows], dtype=torch.float32, device=learner.device)
    mask_BT = batch.student.mask_BT
    hidden_ND = completion_hidden(learner.model, batch.student)[mask_BT]
    logprobs_N, entropy_N = chunked_logprobs(
        hidden_ND=hidden_ND,
        head=head_of(learner.model),
        sampled_ids_N=batch.sampled_ids_N,
        temperature=learner.settings.temperature,
        chunk_tokens=learner.chunk_tokens,
    )
    old_N = logprobs_N if behaviour_N is None else behaviour_N
    # Each token is a row of length one here: the loss is per token and knows no neighbours.
    loss_N1 = clipped_policy_loss(
        logprobs_BT=logprobs_N[:, None],
        old_logprobs_BT=old_N[:, None],
        advantages_B=advantages_B[:, None].expand_as(mask_BT)[mask_BT],
        clip_low=objective.clip_low,
        clip_high=objective.clip_high,
    )
    return _BatchLoss(loss_N=loss_N1[:, 0], entropy_N=entropy_N)


def _distillation_loss(batch: _Batch, learner: Learner, behaviour_N: Tensor | None) -> _BatchLoss:
    objective = learner.objective
    assert isinstance(objective, DistillationSettings)
    prompts = [row.teacher_prompt for row in batch.rows]
    assert all(prompt is not None for prompt in prompts), "a distilled row has a teacher's prompt"
    scored = score_against_teacher(
        model=learner.model,
        teacher=learner.teacher,
        student=batch.student,
        teacher_prompts=[prompt for prompt in prompts if prompt],
        completions=[row.completion for row in batch.rows],
        temperature=learner.settings.temperature,
        settings=objective,
        chunk_tokens=learner.chunk_tokens,
        behaviour_logprobs_N=behaviour_N,
    )
    result = scored.values
    return _BatchLoss(
        loss_N=result.loss_N,
        entropy_N=result.student_entropy_N,
        divergence_N=result.divergence_N,
        token_advantage_N=result.teacher_logprobs_N - result.student_logprobs_N,
        teacher_tokens=scored.teacher_tokens,
    )
