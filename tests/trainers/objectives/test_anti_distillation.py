"""AntiSD: its advantage by hand, against a plain reference and the gradient of the divergence; its gate."""

import math

import pytest
import torch

from sdbench.trainers.objectives.anti_distillation import EntropyGate, ascent_advantages
from sdbench.trainers.objectives.divergences import jsd, reverse_kl

LN2 = math.log(2)


def of(u):
    """The ascent advantage of tokens whose teacher log-probability lies ``u`` above the student's."""
    student = torch.full((len(u),), -2.0, dtype=torch.float64, requires_grad=True)
    return ascent_advantages(
        student_logprobs=student, teacher_logprobs=student.detach() + torch.tensor(u, dtype=torch.float64)
    )


def random_logits(seed, n=5, v=7):
    return 2 * torch.randn(n, v, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


# u = ln 3: softplus = ln 4, so -(ln 4 - ln 2) / 2 = -ln 2 / 2. u = -ln 3: softplus = ln(4/3), so (ln 2 - ln(4/3)) / 2.
def test_advantage_by_hand():
    expected = [0.0, -LN2 / 2, (LN2 - math.log(4 / 3)) / 2]
    assert of([0.0, math.log(3), -math.log(3)]).tolist() == pytest.approx(expected, abs=1e-12)


def test_advantage_against_a_plain_reference():
    values = [-30.0, -4.2, -0.3, 0.01, 1.7, 12.0]
    wanted = [-(math.log1p(math.exp(u)) - math.log(2)) / 2 for u in values]
    assert of(values).tolist() == pytest.approx(wanted, abs=1e-12)


def test_advantage_is_bounded_above_linear_below_and_a_quarter_of_reverse_kl_at_zero():
    assert of([-1e4]).item() == pytest.approx(LN2 / 2)
    assert of([1e4]).item() == pytest.approx(-1e4 / 2, rel=1e-3)
    small = 1e-4
    assert of([small]).item() == pytest.approx(-small / 4, rel=1e-3)


def test_advantage_falls_with_u_and_carries_no_gradient():
    values = of([-3.0, -1.0, 0.0, 1.0, 3.0])
    assert (values.diff() < 0).all()
    assert not values.requires_grad


@pytest.mark.parametrize("seed", range(3))
def test_the_policy_gradient_with_it_is_ascent_on_the_jensen_shannon_divergence(seed):
    """In the mean over the student's own tokens: sum over v of p(v) A(v) grad log p(v) = grad of the divergence."""
    student = random_logits(seed).requires_grad_()
    teacher = random_logits(seed + 100)
    (wanted,) = torch.autograd.grad(
        jsd(student_logits_NV=student, teacher_logits_NV=teacher, teacher_weight=0.5).sum(), student
    )
    logprobs = torch.log_softmax(student, dim=-1)
    advantages = ascent_advantages(student_logprobs=logprobs, teacher_logprobs=torch.log_softmax(teacher, dim=-1))
    (ours,) = torch.autograd.grad((logprobs.exp().detach() * advantages * logprobs).sum(), student)
    torch.testing.assert_close(ours, wanted)
    assert ours.abs().max() > 1e-3


def test_it_pushes_against_descent_on_reverse_kl_where_teacher_and_student_are_close():
    """There ascent is -1/4 of the descent's gradient (u is small: phi is u / 4)."""
    student = random_logits(1).requires_grad_()
    teacher = student.detach() + 1e-3 * random_logits(2)
    (descent,) = torch.autograd.grad(reverse_kl(student_logits_NV=student, teacher_logits_NV=teacher).sum(), student)
    logprobs = torch.log_softmax(student, dim=-1)
    advantages = ascent_advantages(student_logprobs=logprobs, teacher_logprobs=torch.log_softmax(teacher, dim=-1))
    (ascent,) = torch.autograd.grad((logprobs.exp().detach() * advantages * logprobs).sum(), student)
    torch.testing.assert_close(ascent, descent / 4, rtol=1e-2, atol=1e-7)


def heard(entropies, **settings):
    gate, states = EntropyGate(), []
    for entropy in entropies:
        gate = gate.after(entropy, **{"warmup_steps": 3, "close_below": 0.9, **settings})
        states.append(gate.is_open)
    return gate, states


def test_the_gate_listens_then_is_open_closes_below_and_opens_at_its_level():
    # Level: the median of 1, 3, 2. It closes below 1.8 and opens at 2.
    _, states = heard([1.0, 3.0, 2.0, 1.9, 1.81, 1.79, 1.9, 1.99, 2.0, 1.85])
    assert states == [None, None, None, True, True, False, False, False, True, True]


def test_a_gate_may_close_right_after_the_warm_up():
    assert heard([1.0, 1.0, 1.0, 0.5])[1][-1] is False


def test_with_the_same_threshold_both_ways_it_has_no_memory():
    _, states = heard([1.0, 0.99, 1.0, 0.99, 1.01], warmup_steps=1, close_below=1.0)
    assert states == [None, False, True, False, True]


def test_a_gate_survives_being_saved():
    for count in range(6):
        gate, _ = heard([1.0, 3.0, 2.0, 1.0, 2.5][:count])
        assert EntropyGate.from_data(gate.as_data()) == gate
