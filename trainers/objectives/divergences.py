"""Per-token divergences between self-teacher and student, and the sampled-token form.

The direction stands in the name: ``forward_kl`` = KL(teacher || student), ``reverse_kl`` = KL(student || teacher).
Logits are finite and already divided by the temperature. Gradients flow into whatever asks for them; a training loss
detaches its teacher (``chunked.py`` does). All values are in nats.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

Divergence = Literal["forward_kl", "reverse_kl", "jsd"]
Side = Literal["teacher", "student"]


def forward_kl(*, student_logits_NV: Tensor, teacher_logits_NV: Tensor) -> Tensor:
    """KL(teacher || student) of each token, shape N."""
    return divergence_of_logprobs(
        divergence="forward_kl",
        student_logprobs_NV=torch.log_softmax(student_logits_NV, dim=-1),
        teacher_logprobs_NV=torch.log_softmax(teacher_logits_NV, dim=-1),
        jsd_teacher_weight=None,
    )


def reverse_kl(*, student_logits_NV: Tensor, teacher_logits_NV: Tensor) -> Tensor:
    """KL(student || teacher) of each token, shape N."""
    return divergence_of_logprobs(
        divergence="reverse_kl",
        student_logprobs_NV=torch.log_softmax(student_logits_NV, dim=-1),
        teacher_logprobs_NV=torch.log_softmax(teacher_logits_NV, dim=-1),
        jsd_teacher_weight=None,
    )


def jsd(*, student_logits_NV: Tensor, teacher_logits_NV: Tensor, teacher_weight: float) -> Tensor:
    """Generalised Jensen-Shannon divergence of each token, shape N (GKD, arXiv 2306.13649).

    With w = ``teacher_weight`` and the mixture m = w teacher + (1 - w) student it is
    w KL(teacher || m) + (1 - w) KL(student || m). Divided by w it tends to the forward KL as w goes to 0; divided by
    1 - w, to the reverse KL as w goes to 1.
    """
    return divergence_of_logprobs(
        divergence="jsd",
        student_logprobs_NV=torch.log_softmax(student_logits_NV, dim=-1),
        teacher_logprobs_NV=torch.log_softmax(teacher_logits_NV, dim=-1),
        jsd_teacher_weight=teacher_weight,
    )


def divergence_of_logprobs(
    *,
    divergence: Divergence,
    student_logprobs_NV: Tensor,
    teacher_logprobs_NV: Tensor,
    jsd_teacher_weight: float | None,
    entry_clip: float | None = None,
) -> Tensor:
    """The named divergence of each token from normalised log-probabilities, shape N.

    A token's divergence is a sum over the vocabulary; ``entry_clip`` bounds each summand from above (OPSD, arXiv
    2601.18734), and one beyond it has no gradient. Clipped, the sum is no divergence: it can be negative.
    ``jsd_teacher_weight`` is read for ``jsd`` alone.

    Raises:
        ValueError: an unknown divergence, or ``jsd`` with a weight outside (0, 1).
    """
    entries_NV = _entries(divergence, student_logprobs_NV, teacher_logprobs_NV, jsd_teacher_weight)
    if entry_clip is not None:
        entries_NV = entries_NV.clamp(max=entry_clip)
    return entries_NV.sum(dim=-1)


def _entries(
    divergence: Divergence,
    student_logprobs_NV: Tensor,
    teacher_logprobs_NV: Tensor,
    jsd_teacher_weight: float | None,
) -> Tensor:
    """What each entry of the vocabulary adds to each token's divergence."""
    if divergence == "forward_kl":
        return _kl_entries(teacher_logprobs_NV, student_logprobs_NV)
    if divergence == "reverse_kl":
        return _kl_entries(student_logprobs_NV, teacher_logprobs_NV)
    if divergence != "jsd":
        raise ValueError(f"divergence {divergence!r} is not one of forward_kl, reverse_kl, jsd")
    if jsd_teacher_weight is None or not 0 < jsd_teacher_weight < 1:
        raise ValueError(f"teacher weight {jsd_teacher_weight!r} of jsd does not lie between 0 and 1")
    mixture_NV = torch.logaddexp(
        teacher_logprobs_NV + math.log(jsd_teacher_weight), student_logprobs_NV + math.log1p(-jsd_teacher_weight)
    )
    return jsd_teacher_weight * _kl_entries(teacher_logprobs_NV, mixture_NV) + (1 - jsd_teacher_weight) * _kl_entries(
        student_logprobs_NV, mixture_NV
    )


def top_k_divergence(
    *,
    divergence: Divergence,
    student_logits_NV: Tensor,
    teacher_logits_NV: Tensor,
    top_k: int,
    jsd_teacher_weight: float,
    top_k_of: Side = "teacher",
) -> Tensor:
    """The named divergence over the ``top_k`` likeliest tokens of one side and one bucket for all others, shape N.

    The tail bucket is that of SDPO (arXiv 2601.20802), whose code takes the student's top-k. Merging tokens can only
    lower a divergence, so the value is a lower bound of the full one; with ``top_k`` >= V it is the full one.

    Raises:
        ValueError: ``top_k`` below 1, and as ``divergence_of_logprobs``.
    """
    return top_k_divergence_of_logprobs(
        divergence=divergence,
        student_logprobs_NV=torch.log_softmax(student_logits_NV, dim=-1),
        teacher_logprobs_NV=torch.log_softmax(teacher_logits_NV, dim=-1),
        top_k=top_k,
        jsd_teacher_weight=jsd_teacher_weight,
        top_k_of=top_k_of,
    )


def top_k_divergence_of_logprobs(
    *,
    divergence: Divergence,
    student_logprobs_NV: Tensor,
    teacher_logprobs_NV: Tensor,
    top_k: int,
    jsd_teacher_weight: float | None,
    top_k_of: Side = "teacher",
    entry_clip: float | None = None,
) -> Tensor:
    """``top_k_divergence`` from normalised log-probabilities, shape N; ``entry_clip`` bounds a bucket like an entry."""
    if top_k < 1:
        raise ValueError(f"top_k {top_k} is not at least 1")
    if top_k_of not in ("teacher", "student"):
        raise ValueError(f"top_k_of {top_k_of!r} is not one of teacher, student")
    if top_k < teacher_logprobs_NV.shape[-1]:
        chooser_NV = teacher_logprobs_NV if top_k_of == "teacher" else student_logprobs_NV
        top_ids_NK = chooser_NV.topk(top_k, dim=-1).indices
        student_logprobs_NV = _bucket_logprobs(student_logprobs_NV, top_ids_NK)
        teacher_logprobs_NV = _bucket_logprobs(teacher_logprobs_NV, top_ids_NK)
    return divergence_of_logprobs(
        divergence=divergence,
        student_logprobs_NV=student_logprobs_NV,
        teacher_logprobs_NV=teacher_logprobs_NV,
        jsd_teacher_weight=jsd_teacher_weight,
        entry_clip=entry_clip,
    )


def token_advantages(*, student_logprobs: Tensor, teacher_logprobs: Tensor) -> Tensor:
    """Teacher minus student log-probability of the sampled token (arXiv 2606.11173), any shape."""
    return teacher_logprobs - student_logprobs


def sampled_token_loss(
    *, student_logprobs_N: Tensor, teacher_logprobs_N: Tensor, token_clip: float | None = None
) -> Tensor:
    """Surrogate whose gradient is the policy gradient of the reverse KL from the sampled token alone, shape N.

    The gradient of each entry is -A times that of the student's log-probability, A the token advantage, detached. Its
    mean over tokens drawn from the student is the gradient of the reverse KL. The *value* is no divergence.

    ``token_clip`` bounds the token's one-sample estimate of the reverse KL, -A, from above: a token that the teacher
    all but rules out pushes no harder than that.
    """
    advantages_N = token_advantages(student_logprobs=student_logprobs_N, teacher_logprobs=teacher_logprobs_N).detach()
    estimates_N = -advantages_N
    if token_clip is not None:
        estimates_N = clip_per_token(values_N=estimates_N, upper=token_clip)
    return estimates_N * student_logprobs_N


def clip_per_token(*, values_N: Tensor, upper: float) -> Tensor:
    """Values bounded by ``upper`` from above, shape N; a token beyond it has no gradient.

    This bounds a token's sum; ``entry_clip`` of ``divergence_of_logprobs`` bounds its summands.
    """
    return values_N.clamp(max=upper)


def importance_weights(*, logprobs_N: Tensor, behaviour_logprobs_N: Tensor, upper: float) -> Tensor:
    """Ratio of the current to the sampling policy on the sampled token, truncated at ``upper``, detached, shape N."""
    return (logprobs_N - behaviour_logprobs_N).detach().exp().clamp(max=upper)


def _kl_entries(logprobs_NV: Tensor, other_logprobs_NV: Tensor) -> Tensor:
    """The summands of KL(first || second) of each token."""
    return logprobs_NV.exp() * (logprobs_NV - other_logprobs_NV)


def _bucket_logprobs(logprobs_NV: Tensor, top_ids_NK: Tensor) -> Tensor:
    """Log-probabilities of the chosen tokens and, in a last column, of all others together."""
    # Summed from the tail's own members: 1 - (mass of the top) would lose a small tail to rounding.
    tail_N = torch.logsumexp(logprobs_NV.scatter(-1, top_ids_NK, -math.inf), dim=-1)
    return torch.cat([logprobs_NV.gather(-1, top_ids_NK), tail_N.unsqueeze(-1)], dim=-1)
