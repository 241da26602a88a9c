"""The next token of every row: penalty, temperature and filters as the settings say, then the inverse CDF.

The order is that of transformers: repetition penalty, temperature, top_k, top_p, min_p. Every filter is a threshold
on the logit, so tokens of equal logit stay or go together and no result depends on how a sort breaks ties.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sdbench.tasks.sampling.settings import SamplingSettings
from sdbench.trainers.engines.counter_random import uniform


def choose_tokens(
    logits_BV: Tensor, *, seeds_B: Tensor, position: int, settings: SamplingSettings, seen_BV: Tensor | None = None
) -> Tensor:
    """One token id a row, int64.

    Args:
        logits_BV: the model's raw logits.
        seeds_B: the seed of each row's sample, int64.
        position: how many tokens of the completion there are already.
        settings: how to draw.
        seen_BV: which tokens stand in each row's prompt or completion; needed for a repetition penalty.

    Raises:
        FloatingPointError: logits that are not numbers.
    """
    logits = logits_BV if logits_BV.dtype == torch.float64 else logits_BV.float()
    if settings.repetition_penalty != 1.0:
        if seen_BV is None:
            raise ValueError("a repetition penalty needs seen_BV")
        penalised = torch.where(logits < 0, logits * settings.repetition_penalty, logits / settings.repetition_penalty)
        logits = torch.where(seen_BV, penalised, logits)
    if settings.temperature == 0:
        best = logits.max(dim=-1)
        _require_numbers(best.values)
        return best.indices
    logits = filter_logits(logits / settings.temperature, settings)
    cumulative_BV = torch.softmax(logits, dim=-1).cumsum(dim=-1, dtype=torch.float64)
    total_B = cumulative_BV[:, -1]
    _require_numbers(total_B)
    # The first token whose cumulative probability exceeds the target: never one of probability zero.
    target_B1 = (uniform(seeds_B, position) * total_B)[:, None]
    return torch.searchsorted(cumulative_BV, target_B1, right=True)[:, 0]


def filter_logits(logits_BV: Tensor, settings: SamplingSettings) -> Tensor:
    """Logits at the sampling temperature with minus infinity for every token that top_k, top_p or min_p leaves out."""
    vocabulary = logits_BV.shape[-1]
    sorted_BK: Tensor | None = None
    if 0 < settings.top_k < vocabulary:
        sorted_BK = logits_BV.topk(settings.top_k, dim=-1).values
        logits_BV = _keep_from(logits_BV, sorted_BK[:, -1:])
    if settings.top_p < 1:
        if sorted_BK is None:
            sorted_BK = logits_BV.sort(dim=-1, descending=True).values
        logits_BV = _keep_from(logits_BV, _top_p_threshold(logits_BV, sorted_BK, settings.top_p))
    if settings.min_p > 0:
        peak = logits_BV.max(dim=-1, keepdim=True).values
        log_share = torch.tensor(settings.min_p, dtype=logits_BV.dtype, device=logits_BV.device).log()
        logits_BV = _keep_from(logits_BV, peak + log_share)
    return logits_BV


def _top_p_threshold(logits_BV: Tensor, sorted_BK: Tensor, top_p: float) -> Tensor:
    """The smallest logit kept: a token stays while the tokens above it hold less than ``top_p`` of the mass."""
    log_total = logits_BV.logsumexp(dim=-1, keepdim=True)
    mass_BK = (sorted_BK - log_total).exp()
    mass_above_BK = mass_BK.cumsum(dim=-1, dtype=torch.float64) - mass_BK
    kept_B1 = (mass_above_BK < top_p).sum(dim=-1, keepdim=True)
    return sorted_BK.gather(1, (kept_B1 - 1).clamp_min(0))


def _keep_from(logits_BV: Tensor, threshold_B1: Tensor) -> Tensor:
    return logits_BV.masked_fill(logits_BV < threshold_B1, -torch.inf)


def _require_numbers(values_B: Tensor) -> None:
    if not torch.isfinite(values_B).all():
        raise FloatingPointError("the model's logits are not finite numbers: its weights have diverged or overflow")
