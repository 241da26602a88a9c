"""One update against a naive reference: full logits, one row at a time, no chunks, no micro-batches."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM

from sdbench.trainers.conditions import DistillationSettings, GrpoSettings, TeacherSettings
from sdbench.trainers.local.policy import enable_gradient_checkpointing, make_optimizer
from sdbench.trainers.local.settings import LocalTrainerSettings
from sdbench.trainers.local.update import Learner, TrainingRow, reward_advantages, update
from sdbench.trainers.teacher import make_teacher

COMPLETIONS = [(3, 4, 9, 1), (5, 6), (7, 8, 10, 11, 12, 1), (13,)]
STUDENT_PROMPTS = [(20, 21), (22, 23, 24), (25,), (26, 27, 28, 29)]
TEACHER_PROMPTS = [(20, 21, 5, 6), (22, 23, 24, 7), (25, 8, 9, 10, 11), (26, 27, 28, 29, 2, 2)]
TEMPERATURE = 1.3


def model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=31, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2
    )
    config.tie_word_embeddings = True
    return LlamaForCausalLM(config).double().eval()


def learner_of(student, objective, *, teacher="frozen", **settings) -> Learner:
    chosen = LocalTrainerSettings(temperature=TEMPERATURE, gradient_clip=None, **settings)
    return Learner(
        model=student,
        teacher=make_teacher(TeacherSettings(kind=teacher), student),
        optimizer=make_optimizer(student, settings=chosen, learning_rate=1e-2),
        objective=objective,
        settings=chosen,
        device="cpu",
    )


def distilled_rows() -> list[TrainingRow]:
    return [
        TrainingRow(completion=c, student_prompt=s, teacher_prompt=t)
        for c, s, t in zip(COMPLETIONS, STUDENT_PROMPTS, TEACHER_PROMPTS, strict=True)
    ]


def full_logprobs(lm, prompt, completion) -> torch.Tensor:
    logits = lm(input_ids=torch.tensor([[*prompt, *completion]])).logits[0]
    return functional.log_softmax(logits[len(prompt) - 1 : -1] / TEMPERATURE, dim=-1)


def naive_distillation(student, teacher, reduction: str) -> torch.Tensor:
    """Mean of KL(student || teacher) over tokens, or over the means of the rows."""
    per_row = []
    for row in distilled_rows():
        s = full_logprobs(student, row.student_prompt, row.completion)
        with torch.no_grad():
            t = full_logprobs(teacher, row.teacher_prompt, row.completion)
        per_row.append((s.exp() * (s - t)).sum(-1))
    if reduction == "token_mean":
        return torch.cat(per_row).mean()
    return torch.stack([row.mean() for row in per_row]).mean()


def gradients(lm) -> dict[str, torch.Tensor]:
    return {name: parameter.grad.clone() for name, parameter in lm.named_parameters()}


def assert_same_gradients(got, wanted) -> None:
    for name, value in wanted.items():
        torch.testing.assert_close(got[name], value, rtol=1e-5, atol=1e-9, msg=name)


@pytest.mark.parametrize("reduction", ["token_mean", "sequence_mean"])
@pytest.mark.parametrize("cut", [{}, {"tokens_per_microbatch": 9, "logits_per_chunk": 70}])
def test_distillation_is_the_naive_loss_however_it_is_cut(reduction: str, cut: dict[str, int]) -> None:
    student, reference = model(), model()
    wanted = naive_distillation(reference, copy.deepcopy(reference), reduction)
    wanted.backward()
    learner = learner_of(student, DistillationSettings(reduction=reduction), **cut)
    (result,) = update(distilled_rows(), learner, learning_rate=1e-2, passes=1)
    assert result.loss == pytest.approx(float(wanted.detach()), rel=1e-6)
    assert result.loss > 1e-4
    assert_same_gradients(gradients(student), gradients(reference))
    norm = math.sqrt(sum(float(g.square().sum()) for g in gradients(reference).values()))
    assert result.gradient_norm == pytest.approx(norm, rel=1e-6)
    assert result.teacher_tokens == sum(map(len, COMPLETIONS)) + sum(map(len, TEACHER_PROMPTS))


def test_a_frozen_teacher_scores_with_the_initial_weights_and_a_live_one_with_the_students() -> None:
    for kind in ("frozen", "live"):
        student, initial = model(), model()
        learner = learner_of(student, DistillationSettings(), teacher=kind)
        update(distilled_rows(), learner, learning_rate=1e-2, passes=1)
        moved = copy.deepcopy(student)
        wanted = naive_distillation(moved, initial if kind == "frozen" else moved, "token_mean")
        (result,) = update(distilled_rows(), learner, learning_rate=1e-2, passes=1)
        assert result.loss == pytest.approx(float(wanted.detach()), rel=1e-6), kind


def test_a_teacher_that_sees_no_more_than_the_student_changes_nothing() -> None:
    student = model()
    before = copy.deepcopy(student.state_dict())
    rows = [
        TrainingRow(completion=c, student_prompt=p, teacher_prompt=p)
        for c, p in zip(COMPLETIONS, STUDENT_PROMPTS, strict=True)
    ]
    (result,) = update(rows, learner_of(student, DistillationSettings()), learning_rate=0.0, passes=1)
    assert abs(result.loss) < 1e-12
    assert result.token_advantage == pytest.approx(0.0, abs=1e-12)
    assert result.gradient_norm < 1e-9
    assert all(torch.equal(value, before[name]) for name, value in student.state_dict().items())


def test_grpo_is_the_naive_policy_gradient() -> None:
    student, reference = model(), model()
    advantages = [1.5, -0.5, 0.25, -1.25]
    rows = [
        TrainingRow(completion=c, student_prompt=p, advantage=a)
        for c, p, a in zip(COMPLETIONS, STUDENT_PROMPTS, advantages, strict=True)
    ]
    total = torch.zeros((), dtype=torch.float64)
    for row in rows:
        logprobs = full_logprobs(reference, row.student_prompt, row.completion)
        sampled = logprobs.gather(1, torch.tensor(row.completion)[:, None])[:, 0]
        total = total - row.advantage * sampled.sum()
    (total / sum(map(len, COMPLETIONS))).backward()
    learner = learner_of(student, GrpoSettings(), tokens_per_microbatch=9)
    (result,) = update(rows, learner, learning_rate=1e-2, passes=1)
    assert_same_gradients(gradients(student), gradients(reference))
    assert result.divergence is None
    assert result.token_advantage is None
    assert result.loss == pytest.approx(
        -sum(a * len(c) for a, c in zip(advantages, COMPLETIONS, strict=True)) / sum(map(len, COMPLETIONS))
    )


def test_later_passes_are_clipped_against_the_policy_that_sampled() -> None:
    """Far from it in the direction of the reward, the clipped loss is flat."""
    student = model()
    rows = [TrainingRow(completion=(3, 4), student_prompt=(20, 21), advantage=1.0)]
    learner = learner_of(student, GrpoSettings(clip_low=0.01, clip_high=0.01))
    first, second = update(rows, learner, learning_rate=0.05, passes=2)
    assert first.gradient_norm > 1e-2
    assert second.gradient_norm == 0
    assert second.loss == pytest.approx(-1.01)


def test_gradient_checkpointing_changes_no_gradient() -> None:
    plain, checkpointed = model(), model()
    enable_gradient_checkpointing(checkpointed)
    update(distilled_rows(), learner_of(plain, DistillationSettings()), learning_rate=1e-2, passes=1)
    learner = learner_of(checkpointed, DistillationSettings(), gradient_checkpointing=True)
    update(distilled_rows(), learner, learning_rate=1e-2, passes=1)
    assert_same_gradients(gradients(checkpointed), gradients(plain))
    assert not checkpointed.training


def test_advantages_by_hand() -> None:
    rewards = [[1.0, 0.0, None, 0.0], [1.0, 1.0, 1.0, None]]
    plain = reward_advantages(rewards, GrpoSettings(std_normalisation=False))
    assert plain[0].pop(2) is None
    assert plain[0] == pytest.approx([2 / 3, -1 / 3, -1 / 3], rel=1e-6)
    assert plain[1] == [0.0, 0.0, 0.0, None]
    dropped = reward_advantages(rewards, GrpoSettings(std_normalisation=False, degenerate_groups="drop"))
    assert dropped[1] == [None] * 4


def test_a_diverged_training_is_told() -> None:
    student = model()
    with torch.no_grad():
        student.model.norm.weight.fill_(math.nan)
    with pytest.raises(FloatingPointError, match="diverged"):
        update(distilled_rows(), learner_of(student, DistillationSettings()), learning_rate=1e-2, passes=1)
