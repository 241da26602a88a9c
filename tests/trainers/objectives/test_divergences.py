"""Divergences against numbers worked by hand, a plain-Python reference, finite differences, and identities."""

import math
from functools import partial

import pytest
import torch
from torch import Tensor

from sdbench.trainers.objectives.divergences import (
    clip_per_token,
    divergence_of_logprobs,
    forward_kl,
    importance_weights,
    jsd,
    reverse_kl,
    sampled_token_loss,
    token_advantages,
    top_k_divergence,
)

NAMES = ("forward_kl", "reverse_kl", "jsd")
LN2, LN3 = math.log(2), math.log(3)


def logits(*rows, requires_grad=False):
    """Logits of the given probabilities, shifted by a constant per row, which must not matter."""
    shifts = torch.arange(len(rows), dtype=torch.float64).unsqueeze(-1)
    values = torch.tensor(rows, dtype=torch.float64).log() + shifts - 0.7
    return values.requires_grad_(requires_grad)


def random_logits(*shape, seed, scale=2.0):
    return scale * torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def full(name, weight=0.5):
    return {"forward_kl": forward_kl, "reverse_kl": reverse_kl, "jsd": partial(jsd, teacher_weight=weight)}[name]


# --- The naive reference: lists, loops, probabilities. ---


def softmax_list(row):
    exps = [math.exp(value) for value in row]
    return [value / sum(exps) for value in exps]


def kl_list(p, q):
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def divergence_list(name, student, teacher, weight):
    if name == "forward_kl":
        return kl_list(teacher, student)
    if name == "reverse_kl":
        return kl_list(student, teacher)
    mixture = [weight * t + (1 - weight) * s for s, t in zip(student, teacher, strict=True)]
    return weight * kl_list(teacher, mixture) + (1 - weight) * kl_list(student, mixture)


def bucketed_list(student, teacher, top_k):
    order = sorted(range(len(teacher)), key=lambda i: -teacher[i])
    if top_k >= len(teacher):
        return student, teacher
    top, tail = order[:top_k], order[top_k:]
    return tuple([p[i] for i in top] + [sum(p[i] for i in tail)] for p in (student, teacher))


def naive(name, student_row, teacher_row, weight, top_k=None):
    student, teacher = softmax_list(student_row), softmax_list(teacher_row)
    if top_k is not None:
        student, teacher = bucketed_list(student, teacher, top_k)
    return divergence_list(name, student, teacher, weight)


def naive_gradient(function, row, step=1e-5):
    """Central differences of a function of a list."""
    gradient = []
    for i in range(len(row)):
        up, down = list(row), list(row)
        up[i] += step
        down[i] -= step
        gradient.append((function(up) - function(down)) / (2 * step))
    return gradient


# --- By hand ---


# Teacher (3/4, 1/4), student (1/2, 1/2):
#   forward: 3/4 ln(3/2) + 1/4 ln(1/2) = 3/4 ln 3 - ln 2
#   reverse: 1/2 ln(2/3) + 1/2 ln 2    = ln 2 - 1/2 ln 3
#   jsd 1/2, mixture (5/8, 3/8): 1/2 [3/4 ln(6/5) + 1/4 ln(2/3)] + 1/2 [1/2 ln(4/5) + 1/2 ln(4/3)]
#   jsd 1/4 (weight of the teacher), mixture (9/16, 7/16):
#     1/4 [3/4 ln(4/3) + 1/4 ln(4/7)] + 3/4 [1/2 ln(8/9) + 1/2 ln(8/7)]
@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (forward_kl, 0.75 * LN3 - LN2),
        (reverse_kl, LN2 - 0.5 * LN3),
        (
            partial(jsd, teacher_weight=0.5),
            (0.75 * math.log(6 / 5) + 0.25 * math.log(2 / 3)) / 2 + (math.log(4 / 5) + math.log(4 / 3)) / 4,
        ),
        (
            partial(jsd, teacher_weight=0.25),
            (0.75 * math.log(4 / 3) + 0.25 * math.log(4 / 7)) / 4 + 3 * (math.log(8 / 9) + math.log(8 / 7)) / 8,
        ),
    ],
)
def test_value_by_hand(function, expected):
    # The second token has equal distributions and so no divergence.
    values = function(
        student_logits_NV=logits((0.5, 0.5), (0.2, 0.8)), teacher_logits_NV=logits((0.75, 0.25), (0.2, 0.8))
    )
    assert values.tolist() == pytest.approx([expected, 0.0], abs=1e-12)


def test_decimal_values_by_hand():
    student, teacher = logits((0.5, 0.5)), logits((0.75, 0.25))
    assert forward_kl(student_logits_NV=student, teacher_logits_NV=teacher).item() == pytest.approx(0.130812, abs=1e-6)
    assert reverse_kl(student_logits_NV=student, teacher_logits_NV=teacher).item() == pytest.approx(0.143841, abs=1e-6)
    assert jsd(student_logits_NV=student, teacher_logits_NV=teacher, teacher_weight=0.5).item() == pytest.approx(
        0.033822, abs=1e-6
    )


# With respect to the student's logits z, p = softmax(z), same distributions as above:
#   forward: p - teacher = (-1/4, 1/4)
#   reverse: p_i (ln(p_i / t_i) - KL): first 1/2 (ln(2/3) - ln 2 + 1/2 ln 3) = -1/4 ln 3
@pytest.mark.parametrize(
    ("function", "expected"), [(forward_kl, (-0.25, 0.25)), (reverse_kl, (-0.25 * LN3, 0.25 * LN3))]
)
def test_gradient_by_hand(function, expected):
    student = logits((0.5, 0.5), requires_grad=True)
    function(student_logits_NV=student, teacher_logits_NV=logits((0.75, 0.25))).sum().backward()
    assert student.grad is not None
    assert student.grad[0].tolist() == pytest.approx(expected, abs=1e-12)


# Teacher (1/6, 1/2, 1/3), student (1/2, 1/4, 1/4), k = 1: the teacher's first choice is token 1, so the buckets are
# teacher (1/2, 1/2) and student (1/4, 3/4).
#   forward: 1/2 ln 2 + 1/2 ln(2/3) = ln 2 - 1/2 ln 3;  reverse: 1/4 ln(1/2) + 3/4 ln(3/2) = 3/4 ln 3 - ln 2
@pytest.mark.parametrize(("name", "expected"), [("forward_kl", LN2 - 0.5 * LN3), ("reverse_kl", 0.75 * LN3 - LN2)])
def test_top_k_by_hand(name, expected):
    value = top_k_divergence(
        divergence=name,
        student_logits_NV=logits((1 / 2, 1 / 4, 1 / 4)),
        teacher_logits_NV=logits((1 / 6, 1 / 2, 1 / 3)),
        top_k=1,
        jsd_teacher_weight=0.5,
    )
    assert value.item() == pytest.approx(expected, abs=1e-12)


def test_a_tail_far_below_rounding_keeps_its_logarithm():
    # In float32 1 - (mass of the first token) is exactly 0 here, and the divergence would be infinite. With the student
    # at (1/2, 1/4, 1/4): 1/2 ln(1/2) + 1/2 (ln(1/2) + 70 - ln(1 + e^-2)).
    value = top_k_divergence(
        divergence="reverse_kl",
        student_logits_NV=torch.tensor([[0.5, 0.25, 0.25]]).log(),
        teacher_logits_NV=torch.tensor([[0.0, -70.0, -72.0]]),
        top_k=1,
        jsd_teacher_weight=0.5,
    )
    assert value.item() == pytest.approx(-LN2 + (70 - math.log1p(math.exp(-2))) / 2, rel=1e-6)


def test_sampled_token_loss_by_hand():
    # Token 0: student 1/2, teacher 1/4, A = -ln 2; token 1: student 1/4, teacher 3/4, A = ln 3.
    student = torch.tensor([0.5, 0.25], dtype=torch.float64).log().requires_grad_()
    teacher = torch.tensor([0.25, 0.75], dtype=torch.float64).log()
    advantages = token_advantages(student_logprobs=student, teacher_logprobs=teacher)
    assert advantages.tolist() == pytest.approx([-LN2, LN3])
    loss = sampled_token_loss(student_logprobs_N=student, teacher_logprobs_N=teacher)
    assert loss.tolist() == pytest.approx([LN2 * -LN2, -LN3 * -2 * LN2])
    (gradient,) = torch.autograd.grad(loss.sum(), student)
    assert gradient.tolist() == pytest.approx([LN2, -LN3])


def test_token_clip_of_the_sampled_form_bounds_the_push_down_alone():
    student = torch.tensor([0.5, 0.25], dtype=torch.float64).log().requires_grad_()
    teacher = torch.tensor([0.25, 0.75], dtype=torch.float64).log()
    loss = sampled_token_loss(student_logprobs_N=student, teacher_logprobs_N=teacher, token_clip=0.3)
    (gradient,) = torch.autograd.grad(loss.sum(), student)
    assert gradient.tolist() == pytest.approx([0.3, -LN3])


def test_clip_per_token_by_hand():
    values = torch.tensor([0.1, 0.5, -2.0], requires_grad=True)
    clipped = clip_per_token(values_N=values, upper=0.25)
    assert clipped.tolist() == pytest.approx([0.1, 0.25, -2.0])
    (gradient,) = torch.autograd.grad(clipped.sum(), values)
    assert gradient.tolist() == [1.0, 0.0, 1.0]


def test_importance_weights_by_hand():
    # Ratios 3, 1/2, 1 with the bound 2.
    now = torch.tensor([0.6, 0.2, 0.3]).log().requires_grad_()
    then = torch.tensor([0.2, 0.4, 0.3]).log()
    weights = importance_weights(logprobs_N=now, behaviour_logprobs_N=then, upper=2.0)
    assert weights.tolist() == pytest.approx([2.0, 0.5, 1.0])
    assert not weights.requires_grad


def test_importance_weight_that_overflows_is_the_bound():
    weights = importance_weights(
        logprobs_N=torch.tensor([-1.0]), behaviour_logprobs_N=torch.tensor([-200.0]), upper=2.0
    )
    assert weights.tolist() == [2.0]


# --- Against the naive reference ---


@pytest.mark.parametrize("top_k", [None, 1, 2, 4, 5, 9])
@pytest.mark.parametrize("name", NAMES)
def test_value_and_gradient_equal_the_naive_reference(name, top_k):
    student, teacher, weight = random_logits(3, 5, seed=1).requires_grad_(), random_logits(3, 5, seed=2), 0.3
    if top_k is None:
        values = full(name, weight)(student_logits_NV=student, teacher_logits_NV=teacher)
    else:
        values = top_k_divergence(
            divergence=name,
            student_logits_NV=student,
            teacher_logits_NV=teacher,
            top_k=top_k,
            jsd_teacher_weight=weight,
        )
    (gradient,) = torch.autograd.grad(values.sum(), student)
    for n in range(3):
        student_row, teacher_row = student[n].tolist(), teacher[n].tolist()
        assert values[n].item() == pytest.approx(naive(name, student_row, teacher_row, weight, top_k), abs=1e-12)
        expected = naive_gradient(
            lambda row, other=teacher_row: naive(name, row, other, weight, top_k=top_k), student_row
        )
        assert gradient[n].tolist() == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("top_k", [2, 6])
@pytest.mark.parametrize("name", NAMES)
def test_gradcheck(name, top_k):
    student, teacher = random_logits(2, 6, seed=3).requires_grad_(), random_logits(2, 6, seed=4)

    def of(logits_NV: Tensor) -> Tensor:
        return top_k_divergence(
            divergence=name,
            student_logits_NV=logits_NV,
            teacher_logits_NV=teacher,
            top_k=top_k,
            jsd_teacher_weight=0.7,
        )

    assert torch.autograd.gradcheck(of, (student,))


# --- Identities ---


@pytest.mark.parametrize("name", NAMES)
def test_zero_with_zero_gradient_between_equals_and_positive_otherwise(name):
    student, teacher = random_logits(4, 7, seed=5).requires_grad_(), random_logits(4, 7, seed=6)
    same = full(name)(student_logits_NV=student, teacher_logits_NV=student.detach() + 3.0)
    (gradient,) = torch.autograd.grad(same.sum(), student)
    torch.testing.assert_close(same, torch.zeros_like(same), atol=1e-12, rtol=0)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-12, rtol=0)
    assert (full(name)(student_logits_NV=student, teacher_logits_NV=teacher) > 0).all()


def test_the_two_directions_are_each_other_with_the_roles_exchanged():
    a, b = random_logits(4, 7, seed=7), random_logits(4, 7, seed=8)
    forward = forward_kl(student_logits_NV=a, teacher_logits_NV=b)
    torch.testing.assert_close(forward, reverse_kl(student_logits_NV=b, teacher_logits_NV=a))
    assert not torch.allclose(forward, reverse_kl(student_logits_NV=a, teacher_logits_NV=b), rtol=0.01)


def test_forward_kl_is_infinite_in_the_limit_where_the_student_rules_out_and_reverse_where_the_teacher_does():
    even, sharp = torch.zeros(1, 2, dtype=torch.float64), torch.tensor([[0.0, -400.0]], dtype=torch.float64)
    assert forward_kl(student_logits_NV=sharp, teacher_logits_NV=even).item() == pytest.approx(200 - LN2)
    assert reverse_kl(student_logits_NV=sharp, teacher_logits_NV=even).item() == pytest.approx(LN2)


def test_jsd_is_symmetric_at_one_half_and_bounded_by_ln_2():
    a, b = random_logits(50, 7, seed=9, scale=20.0), random_logits(50, 7, seed=10, scale=20.0)
    values = jsd(student_logits_NV=a, teacher_logits_NV=b, teacher_weight=0.5)
    torch.testing.assert_close(values, jsd(student_logits_NV=b, teacher_logits_NV=a, teacher_weight=0.5))
    assert values.max() <= LN2 + 1e-12
    assert values.max() > 0.9 * LN2


def test_jsd_weights_exchange_with_the_roles():
    a, b = random_logits(4, 7, seed=11), random_logits(4, 7, seed=12)
    torch.testing.assert_close(
        jsd(student_logits_NV=a, teacher_logits_NV=b, teacher_weight=0.2),
        jsd(student_logits_NV=b, teacher_logits_NV=a, teacher_weight=0.8),
    )


def test_jsd_tends_to_the_two_kls():
    student, teacher = random_logits(4, 7, seed=13, scale=1.0), random_logits(4, 7, seed=14, scale=1.0)
    near = 1e-6
    torch.testing.assert_close(
        jsd(student_logits_NV=student, teacher_logits_NV=teacher, teacher_weight=near) / near,
        forward_kl(student_logits_NV=student, teacher_logits_NV=teacher),
        rtol=1e-4,
        atol=0,
    )
    torch.testing.assert_close(
        jsd(student_logits_NV=student, teacher_logits_NV=teacher, teacher_weight=1 - near) / near,
        reverse_kl(student_logits_NV=student, teacher_logits_NV=teacher),
        rtol=1e-4,
        atol=0,
    )


@pytest.mark.parametrize("name", NAMES)
def test_top_k_rises_to_the_full_divergence(name):
    student, teacher = random_logits(20, 8, seed=15), random_logits(20, 8, seed=16)
    by_k = torch.stack(
        [
            top_k_divergence(
                divergence=name,
                student_logits_NV=student,
                teacher_logits_NV=teacher,
                top_k=top_k,
                jsd_teacher_weight=0.5,
            )
            for top_k in range(1, 10)
        ]
    )
    assert (by_k[1:] >= by_k[:-1] - 1e-12).all()
    assert (by_k[0] < by_k[-1]).all()
    for top_k in (7, 8, 9):
        # With V - 1 tokens the tail is a single one, so nothing is merged.
        torch.testing.assert_close(by_k[top_k - 1], full(name)(student_logits_NV=student, teacher_logits_NV=teacher))


@pytest.mark.parametrize("name", NAMES)
def test_invariant_to_the_order_of_tokens_and_of_the_vocabulary(name):
    student, teacher = random_logits(5, 6, seed=17), random_logits(5, 6, seed=18)
    options = {"divergence": name, "top_k": 3, "jsd_teacher_weight": 0.4}
    values = top_k_divergence(student_logits_NV=student, teacher_logits_NV=teacher, **options)
    rows, columns = torch.tensor([3, 1, 4, 0, 2]), torch.tensor([5, 2, 0, 4, 1, 3])
    moved = top_k_divergence(
        student_logits_NV=student[rows][:, columns], teacher_logits_NV=teacher[rows][:, columns], **options
    )
    torch.testing.assert_close(moved, values[rows])


def test_expected_sampled_gradient_is_exactly_the_reverse_kl_gradient():
    student, teacher = random_logits(3, 6, seed=19).requires_grad_(), random_logits(3, 6, seed=20)
    (exact,) = torch.autograd.grad(
        reverse_kl(student_logits_NV=student, teacher_logits_NV=teacher).sum(), student, retain_graph=True
    )
    expected = torch.zeros_like(exact)
    for token in range(6):
        student_logprobs = torch.log_softmax(student, dim=-1)[:, token]
        loss = sampled_token_loss(
            student_logprobs_N=student_logprobs, teacher_logprobs_N=torch.log_softmax(teacher, dim=-1)[:, token]
        )
        (gradient,) = torch.autograd.grad(loss.sum(), student)
        expected += student_logprobs.detach().exp().unsqueeze(-1) * gradient
    torch.testing.assert_close(expected, exact, atol=1e-12, rtol=0)


def test_sampled_form_gives_the_teacher_no_gradient():
    student = torch.tensor([-1.0], requires_grad=True)
    teacher = torch.tensor([-2.0], requires_grad=True)
    sampled_token_loss(student_logprobs_N=student, teacher_logprobs_N=teacher).sum().backward()
    assert teacher.grad is None


# --- Bad input ---


@pytest.mark.parametrize("weight", [None, 0.0, 1.0, -0.2])
def test_jsd_refuses_a_weight_outside_the_open_interval(weight):
    logprobs = torch.log_softmax(random_logits(1, 3, seed=21), dim=-1)
    with pytest.raises(ValueError, match="teacher weight"):
        divergence_of_logprobs(
            divergence="jsd", student_logprobs_NV=logprobs, teacher_logprobs_NV=logprobs, jsd_teacher_weight=weight
        )


def test_unknown_divergence_and_top_k_of_zero_are_refused():
    values = random_logits(1, 3, seed=22)
    with pytest.raises(ValueError, match="'kl' is not one of"):
        divergence_of_logprobs(
            divergence="kl", student_logprobs_NV=values, teacher_logprobs_NV=values, jsd_teacher_weight=0.5
        )
    with pytest.raises(ValueError, match="top_k 0"):
        top_k_divergence(
            divergence="forward_kl", student_logits_NV=values, teacher_logits_NV=values, top_k=0, jsd_teacher_weight=0.5
        )
