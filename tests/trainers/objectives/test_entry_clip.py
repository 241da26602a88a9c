"""Entries of the vocabulary bounded one by one (OPSD), and a top-k chosen by the student (SDPO)."""

import math

import pytest
import torch

from sdbench.trainers.objectives.divergences import (
    divergence_of_logprobs,
    top_k_divergence,
    top_k_divergence_of_logprobs,
)

NAMES = ("forward_kl", "reverse_kl", "jsd")


def logprobs(seed, n=4, v=6):
    values = 2 * torch.randn(n, v, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return torch.log_softmax(values, dim=-1)


def divergence(name, student, teacher, **options):
    return divergence_of_logprobs(
        divergence=name,
        student_logprobs_NV=student,
        teacher_logprobs_NV=teacher,
        jsd_teacher_weight=0.5,
        **options,
    )


def entries_list(name, student, teacher):
    """What each entry adds, by lists and loops."""
    found = []
    for s, t in zip(student, teacher, strict=True):
        if name == "forward_kl":
            found.append(t * math.log(t / s))
        elif name == "reverse_kl":
            found.append(s * math.log(s / t))
        else:
            m = (s + t) / 2
            found.append((t * math.log(t / m) + s * math.log(s / m)) / 2)
    return found


# Teacher (3/4, 1/4), student (1/2, 1/2): forward entries 3/4 ln(3/2) = 0.304 and 1/4 ln(1/2) = -0.173.
def test_by_hand():
    teacher = torch.tensor([[0.75, 0.25]], dtype=torch.float64).log()
    student = torch.tensor([[0.5, 0.5]], dtype=torch.float64).log()
    assert divergence("forward_kl", student, teacher, entry_clip=0.05).item() == pytest.approx(
        0.05 + 0.25 * math.log(0.5), abs=1e-12
    )
    assert divergence("forward_kl", student, teacher, entry_clip=0.31).item() == pytest.approx(
        0.75 * math.log(1.5) + 0.25 * math.log(0.5), abs=1e-12
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("clip", [0.01, 0.1])
def test_value_and_gradient_against_lists(name, clip):
    student, teacher = logprobs(1), logprobs(2)

    def naive(row, n):
        values = [math.exp(x) for x in row]
        total = sum(values)
        entries = entries_list(name, [value / total for value in values], teacher[n].exp().tolist())
        return sum(min(entry, clip) for entry in entries)

    logits = student.clone().requires_grad_()
    ours = divergence(name, torch.log_softmax(logits, dim=-1), teacher, entry_clip=clip)
    assert ours.tolist() == pytest.approx([naive(student[n].tolist(), n) for n in range(4)], abs=1e-10)
    (gradient,) = torch.autograd.grad(ours.sum(), logits)
    for n in range(4):
        for v in range(6):
            up, down = student[n].tolist(), student[n].tolist()
            up[v] += 1e-6
            down[v] -= 1e-6
            assert gradient[n, v].item() == pytest.approx((naive(up, n) - naive(down, n)) / 2e-6, abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_gradcheck(name):
    teacher = logprobs(4)
    student = logprobs(3).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: divergence(name, torch.log_softmax(x, dim=-1), teacher, entry_clip=0.07), student
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_bound_that_no_entry_reaches_changes_nothing_and_a_lower_one_lowers(name):
    student, teacher = logprobs(5), logprobs(6)
    plain = divergence(name, student, teacher)
    assert torch.equal(divergence(name, student, teacher, entry_clip=1e3), plain)
    assert (divergence(name, student, teacher, entry_clip=0.05) < plain).any()
    assert (divergence(name, student, teacher, entry_clip=0.05) <= plain).all()


def test_an_entry_at_its_bound_has_no_gradient():
    teacher = torch.tensor([[0.9, 0.05, 0.05]], dtype=torch.float64).log()
    student = torch.tensor([[0.1, 0.45, 0.45]], dtype=torch.float64).log().requires_grad_()
    (gradient,) = torch.autograd.grad(divergence("forward_kl", student, teacher, entry_clip=0.05).sum(), student)
    assert gradient[0].tolist() == pytest.approx([0.0, -0.05, -0.05])


# Teacher (1/2, 1/4, 1/4), student (1/8, 5/8, 1/4). The teacher's likeliest is the first, the student's the second.
def test_top_k_of_either_side_by_hand():
    teacher = torch.tensor([[0.5, 0.25, 0.25]], dtype=torch.float64).log()
    student = torch.tensor([[0.125, 0.625, 0.25]], dtype=torch.float64).log()

    def forward(side):
        return top_k_divergence(
            divergence="forward_kl",
            student_logits_NV=student,
            teacher_logits_NV=teacher,
            top_k=1,
            jsd_teacher_weight=0.5,
            top_k_of=side,
        ).item()

    assert forward("teacher") == pytest.approx(0.5 * math.log(4) + 0.5 * math.log(0.5 / 0.875))
    assert forward("student") == pytest.approx(0.25 * math.log(0.25 / 0.625) + 0.75 * math.log(0.75 / 0.375))


@pytest.mark.parametrize("name", NAMES)
def test_top_k_of_the_student_is_the_teachers_with_the_sides_swapped(name):
    student, teacher = logprobs(7), logprobs(8)
    swapped = {"forward_kl": "reverse_kl", "reverse_kl": "forward_kl", "jsd": "jsd"}[name]

    def top_2(which, one, other, side):
        return top_k_divergence_of_logprobs(
            divergence=which,
            student_logprobs_NV=one,
            teacher_logprobs_NV=other,
            top_k=2,
            jsd_teacher_weight=0.5,
            top_k_of=side,
        )

    ours = top_2(name, student, teacher, "student")
    torch.testing.assert_close(ours, top_2(swapped, teacher, student, "teacher"))
    assert not torch.allclose(ours, top_2(name, student, teacher, "teacher"))


def test_a_bucket_is_bounded_like_an_entry():
    teacher = torch.tensor([[0.1, 0.3, 0.6]], dtype=torch.float64).log()
    student = torch.tensor([[0.8, 0.1, 0.1]], dtype=torch.float64).log()
    value = top_k_divergence_of_logprobs(
        divergence="forward_kl",
        student_logprobs_NV=student,
        teacher_logprobs_NV=teacher,
        top_k=1,
        jsd_teacher_weight=None,
        top_k_of="student",
        entry_clip=0.05,
    )
    assert value.item() == pytest.approx(0.1 * math.log(0.1 / 0.8) + 0.05)


def test_another_side_is_refused():
    with pytest.raises(ValueError, match="top_k_of 'both' is not one of teacher, student"):
        top_k_divergence_of_logprobs(
            divergence="jsd",
            student_logprobs_NV=logprobs(1),
            teacher_logprobs_NV=logprobs(2),
            top_k=1,
            jsd_teacher_weight=0.5,
            top_k_of="both",
        )
