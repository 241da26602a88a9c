"""From one value per token to one value per step. The mask (true where a token counts) is the caller's.

Every reduction is a weighted sum whose weights depend on the mask alone. A trainer that splits a step into
micro-batches takes ``reduction_weights`` of the whole step once and sums weight times value piece by piece: the
gradient is that of the undivided step, however it was cut.

**Where no token counts the result is 0 with zero gradient**, never NaN: such a step changes nothing. It is no
measurement; who logs it writes null where ``mask.any()`` is false.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Reduction = Literal["token_mean", "sequence_mean"]


def reduction_weights(*, mask_BT: Tensor, reduction: Reduction) -> Tensor:
    """The weight of every token, shape BT, float32; they sum to 1, or are all 0 where no token counts.

    ``token_mean``: every token alike. ``sequence_mean``: every row that has a token alike, its tokens alike within it.

    Raises:
        ValueError: a mask that is not boolean, or an unknown reduction.
    """
    _check_mask(mask_BT)
    weights_BT = mask_BT.to(torch.float32)
    if reduction == "token_mean":
        return weights_BT / weights_BT.sum().clamp(min=1)
    if reduction != "sequence_mean":
        raise ValueError(f"reduction {reduction!r} is not one of token_mean, sequence_mean")
    lengths_B1 = weights_BT.sum(dim=-1, keepdim=True)
    rows = (lengths_B1 > 0).sum().clamp(min=1)
    return weights_BT / lengths_B1.clamp(min=1) / rows


def token_mean(*, values: Tensor, mask: Tensor) -> Tensor:
    """Mean over the tokens that count, any shape; 0 where none does."""
    _check_mask(mask)
    # where, not a product: a NaN at a masked position must not come through.
    return torch.where(mask, values, 0.0).sum() / mask.sum().clamp(min=1)


def sequence_mean(*, values_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Mean over rows of the mean over each row's tokens; rows without a token are left out, 0 where all are."""
    _check_mask(mask_BT)
    lengths_B = mask_BT.sum(dim=-1)
    means_B = torch.where(mask_BT, values_BT, 0.0).sum(dim=-1) / lengths_B.clamp(min=1)
    return means_B.sum() / (lengths_B > 0).sum().clamp(min=1)


def _check_mask(mask: Tensor) -> None:
    if mask.dtype != torch.bool:
        raise ValueError(f"the mask has dtype {mask.dtype}; it must be boolean")
