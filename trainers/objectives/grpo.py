"""Group-relative policy optimisation with clipped ratios (DeepSeekMath, arXiv 2402.03300)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor


def degenerate_groups(*, rewards_PG: Tensor) -> Tensor:
    """Which groups hold fewer than two distinct rewards, shape P, boolean; NaN, an ungraded rollout, is no reward."""
    graded_PG = ~rewards_PG.isnan()
    highest_P = rewards_PG.masked_fill(~graded_PG, -torch.inf).amax(dim=-1)
    lowest_P = rewards_PG.masked_fill(~graded_PG, torch.inf).amin(dim=-1)
    return ~(highest_P > lowest_P)


def group_advantages(*, rewards_PG: Tensor, std_normalisation: bool) -> Tensor:
    """Reward minus the mean of its group, divided by the group's standard deviation if asked, shape PG.

    The standard deviation is that of the population (divided by G). A NaN reward is an ungraded rollout: it enters
    neither mean nor deviation and its advantage is 0; ``kept_rollouts`` says that it is to be left out. Degenerate
    groups have zero advantages.
    """
    graded_PG = ~rewards_PG.isnan()
    counts_P1 = graded_PG.sum(dim=-1, keepdim=True).clamp(min=1)
    means_P1 = rewards_PG.nansum(dim=-1, keepdim=True) / counts_P1
    centred_PG = torch.where(graded_PG, rewards_PG - means_P1, 0.0)
    live_P1 = ~degenerate_groups(rewards_PG=rewards_PG).unsqueeze(-1)
    if std_normalisation:
        stds_P1 = (centred_PG.square().sum(dim=-1, keepdim=True) / counts_P1).sqrt()
        centred_PG = centred_PG / torch.where(live_P1, stds_P1, 1.0)
    # Exactly zero: the mean of equal rewards can be off by a rounding, which must not become an advantage.
    return torch.where(live_P1, centred_PG, 0.0)


def kept_rollouts(*, rewards_PG: Tensor, degenerate: Literal["zero", "drop"]) -> Tensor:
    """Which rollouts enter the loss, shape PG, boolean.

    An ungraded one (NaN) never does; those of a degenerate group do with ``zero`` (and count in the mean over tokens)
    and do not with ``drop``.

    Raises:
        ValueError: an unknown treatment.
    """
    if degenerate not in ("zero", "drop"):
        raise ValueError(f"treatment of degenerate groups {degenerate!r} is not one of zero, drop")
    graded_PG = ~rewards_PG.isnan()
    if degenerate == "zero":
        return graded_PG
    return graded_PG & ~degenerate_groups(rewards_PG=rewards_PG).unsqueeze(-1)


def clipped_policy_loss(
    *, logprobs_BT: Tensor, old_logprobs_BT: Tensor, advantages_B: Tensor, clip_low: float, clip_high: float
) -> Tensor:
    """The clipped surrogate of each token, to be minimised, shape BT.

    With the ratio r of the policy to the one that sampled: -min(r A, clip(r, 1 - clip_low, 1 + clip_high) A). Masked
    positions must hold finite log-probabilities; the mask is the caller's. ``old_logprobs_BT`` are detached here.
    """
    ratios_BT = (logprobs_BT - old_logprobs_BT.detach()).exp()
    advantages_B1 = advantages_B.unsqueeze(-1)
    clipped_BT = ratios_BT.clamp(1 - clip_low, 1 + clip_high)
    return -torch.minimum(ratios_BT * advantages_B1, clipped_BT * advantages_B1)
