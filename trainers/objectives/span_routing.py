"""TRACE (arXiv 2605.10194): which loss a token has depends on the span that it lies in."""

from __future__ import annotations

import torch
from torch import Tensor


def routed_loss(
    *,
    policy_loss_N: Tensor,
    forward_kl_N: Tensor,
    reverse_kl_N: Tensor,
    key_N: Tensor,
    error_N: Tensor,
    divergence_weight: float,
    full_weight: float,
) -> Tensor:
    """The loss of each token, shape N.

    On a key token ``divergence_weight`` times the forward KL, on an error token as much of the reverse KL, either
    beside (1 - ``divergence_weight`` / ``full_weight``) of the reward's loss; elsewhere the reward's loss alone.

    Args:
        policy_loss_N: the reward's loss.
        forward_kl_N: KL(teacher || student); read where ``key_N``.
        reverse_kl_N: KL(student || teacher); read where ``error_N``.
        key_N: where key spans lie, boolean.
        error_N: where error spans lie, boolean; disjoint from ``key_N``.
        divergence_weight: of this step.
        full_weight: at the beginning, before it falls.

    Raises:
        ValueError: a token lies in both, or a weight is out of range.
    """
    if bool((key_N & error_N).any()):
        raise ValueError("a token lies in a key span and in an error span")
    if not 0 <= divergence_weight <= full_weight or full_weight == 0:
        raise ValueError(f"divergence_weight {divergence_weight} does not lie between 0 and full_weight {full_weight}")
    # where, not products: what stands outside of a span may be anything, and its gradient is none.
    divergence_N = torch.where(key_N, forward_kl_N, torch.where(error_N, reverse_kl_N, 0.0))
    reward_share = 1 - divergence_weight / full_weight
    return torch.where(key_N | error_N, reward_share * policy_loss_N + divergence_weight * divergence_N, policy_loss_N)
