"""AntiSD (arXiv 2605.11609): a per-token advantage that ascends the Jensen-Shannon divergence, and its entropy gate."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor
from torch.nn import functional

from sdbench.trainers.objectives.divergences import token_advantages


def ascent_advantages(*, student_logprobs: Tensor, teacher_logprobs: Tensor) -> Tensor:
    """-phi(u) of each sampled token, detached, any shape; phi(u) = (softplus(u) - ln 2) / 2, u the token advantage.

    The policy gradient with it is, in the mean over tokens drawn from the student, the gradient of ascent on the
    Jensen-Shannon divergence (weight 1/2, ``jsd``) in the student, the teacher held fixed. It is at most ln(2) / 2,
    where the teacher all but rules the token out, and falls like -u / 2 where the teacher wants it (their lemmas 4, 5).
    """
    u = token_advantages(student_logprobs=student_logprobs, teacher_logprobs=teacher_logprobs).detach()
    return (math.log(2) - functional.softplus(u)) / 2


@dataclass(frozen=True, kw_only=True)
class EntropyGate:
    """Whether the ascent is on: a Schmitt trigger on the teacher's median entropy (their equation 7).

    In its first steps it only listens. The paper does not say how several medians become one level (here: their median)
    nor which way the gate stands when the warm-up is over (here: open).

    Attributes:
        heard: the median teacher entropy of each step of the warm-up so far, in nats.
        is_open: whether the ascent is on; None while the gate listens, which is off too.
    """

    heard: tuple[float, ...] = ()
    is_open: bool | None = None

    def after(self, entropy: float, *, warmup_steps: int, close_below: float) -> EntropyGate:
        """The gate once a step's median teacher entropy is known; it holds for that very step."""
        if len(self.heard) < warmup_steps:
            return replace(self, heard=(*self.heard, entropy))
        level = statistics.median(self.heard)
        if self.is_open is False:
            return replace(self, is_open=entropy >= level)
        return replace(self, is_open=entropy >= close_below * level)

    def as_data(self) -> dict[str, Any]:
        """Plain JSON data, for the state of a training."""
        return {"heard": list(self.heard), "is_open": self.is_open}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> EntropyGate:
        """A gate read back."""
        return cls(heard=tuple(data["heard"]), is_open=data["is_open"])
