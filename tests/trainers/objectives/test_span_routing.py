"""TRACE's routing: by hand, against a loop, its gradient, and its limits."""

import math

import pytest
import torch

from sdbench.trainers.objectives.span_routing import routed_loss

KEY = torch.tensor([True, False, False, True, False])
ERROR = torch.tensor([False, True, False, False, False])


def tensors(seed=0, requires_grad=False):
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(5, dtype=torch.float64, generator=generator).requires_grad_(requires_grad)
        for name in ("policy_loss_N", "forward_kl_N", "reverse_kl_N")
    }


def routed(values, *, key=KEY, error=ERROR, weight=0.2, full=0.5):
    return routed_loss(**values, key_N=key, error_N=error, divergence_weight=weight, full_weight=full)


# Weight 0.2 of 0.5: a marked token has 0.2 of its divergence and 1 - 0.2 / 0.5 = 0.6 of its reward's loss.
def test_by_hand():
    values = {
        "policy_loss_N": torch.tensor([1.0, 2.0, 3.0, -1.0, 5.0]),
        "forward_kl_N": torch.tensor([10.0, 20.0, 30.0, 40.0, 50.0]),
        "reverse_kl_N": torch.tensor([-1.0, -2.0, -3.0, -4.0, -5.0]),
    }
    assert routed(values).tolist() == pytest.approx([0.6 + 2.0, 1.2 - 0.4, 3.0, -0.6 + 8.0, 5.0])


@pytest.mark.parametrize("weight", [0.0, 0.1, 0.5])
def test_value_and_gradient_against_a_loop(weight):
    values = tensors(3, requires_grad=True)
    policy, forward, backward = values.values()
    wanted = []
    for n in range(5):
        divergence = forward[n] if KEY[n] else backward[n]
        marked = bool(KEY[n] or ERROR[n])
        wanted.append((1 - weight / 0.5) * policy[n] + weight * divergence if marked else policy[n])
    scale = torch.arange(1, 6)
    ours = routed(values, weight=weight)
    torch.testing.assert_close(ours, torch.stack(wanted))
    ours_gradients = torch.autograd.grad((scale * ours).sum(), list(values.values()))
    naive = torch.autograd.grad((scale * torch.stack(wanted)).sum(), list(values.values()), allow_unused=True)
    for one, other in zip(ours_gradients, naive, strict=True):
        torch.testing.assert_close(one, torch.zeros_like(one) if other is None else other)


def test_gradcheck():
    values = tensors(5, requires_grad=True)
    assert torch.autograd.gradcheck(lambda *args: routed(dict(zip(values, args, strict=True))), tuple(values.values()))


def test_at_full_weight_marked_tokens_have_their_divergence_alone_and_at_none_their_reward():
    values = tensors(7)
    full = routed(values, weight=0.5)
    torch.testing.assert_close(full[KEY], 0.5 * values["forward_kl_N"][KEY])
    torch.testing.assert_close(full[ERROR], 0.5 * values["reverse_kl_N"][ERROR])
    torch.testing.assert_close(routed(values, weight=0.0), values["policy_loss_N"])


def test_without_spans_it_is_the_reward():
    values = tensors(9)
    none = torch.zeros(5, dtype=torch.bool)
    assert torch.equal(routed(values, key=none, error=none), values["policy_loss_N"])


def test_what_stands_outside_of_a_span_does_not_matter():
    values = tensors(11)
    for name, inside in (("forward_kl_N", KEY), ("reverse_kl_N", ERROR)):
        values[name] = torch.where(inside, values[name], math.nan).requires_grad_()
    loss = routed(values)
    assert loss.isfinite().all()
    for gradient in torch.autograd.grad(loss.sum(), [values["forward_kl_N"], values["reverse_kl_N"]]):
        assert gradient.isfinite().all()


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="key span and in an error span"):
        routed(tensors(), key=KEY, error=KEY)
    for weight, full in ((0.6, 0.5), (-0.1, 0.5), (0.0, 0.0)):
        with pytest.raises(ValueError, match="divergence_weight"):
            routed(tensors(), weight=weight, full=full)
