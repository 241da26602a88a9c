"""Scoring given completions: the hidden states that predict each completion token, for student and teacher alike.

There is one path for both: the same completion ids behind either prompt. Shapes: B rollout, S position in prompt and
completion, T completion position, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from sdbench.tasks.errors import UserError

TokenIds = Sequence[int]


@dataclass(frozen=True)
class CompletionBatch:
    """Prompts and completions side by side, padded on the right.

    Attributes:
        ids_BS: prompt, completion, padding.
        predictor_BT: for each completion token the position in S whose hidden state predicts it.
        targets_BT: the completion tokens; zero where there is none.
        mask_BT: where there is a completion token.
        token_count: prompt and completion tokens, padding not counted.
    """

    ids_BS: torch.Tensor
    predictor_BT: torch.Tensor
    targets_BT: torch.Tensor
    mask_BT: torch.Tensor
    token_count: int


def collate(
    prompts: Sequence[TokenIds], completions: Sequence[TokenIds], *, device: torch.device | str = "cpu"
) -> CompletionBatch:
    """Lay prompts and completions out as one batch.

    Raises:
        ValueError: there are no rows, not as many prompts as completions, or an empty prompt or completion.
    """
    if not prompts or len(prompts) != len(completions):
        raise ValueError(f"{len(prompts)} prompts and {len(completions)} completions do not make a batch")
    if not all(map(len, prompts)) or not all(map(len, completions)):
        raise ValueError("a prompt or completion without tokens cannot be scored")
    rows = [(*prompt, *completion) for prompt, completion in zip(prompts, completions, strict=True)]
    width, length = max(map(len, rows)), max(map(len, completions))
    prompt_lengths_B1 = torch.tensor([[len(prompt)] for prompt in prompts])
    lengths_B1 = torch.tensor([[len(completion)] for completion in completions])
    steps_1T = torch.arange(length)[None]
    mask_BT = steps_1T < lengths_B1
    # The state at a position predicts the token after it: the last prompt token predicts the first completion token.
    predictor_BT = (prompt_lengths_B1 - 1 + steps_1T) * mask_BT
    # Causal attention never looks right, so what the padding holds reaches no real position and needs no mask.
    ids_BS = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows])
    targets_BT = torch.tensor([[*completion, *[0] * (length - len(completion))] for completion in completions])
    return CompletionBatch(
        ids_BS=ids_BS.to(device),
        predictor_BT=predictor_BT.to(device),
        targets_BT=targets_BT.to(device),
        mask_BT=mask_BT.to(device),
        token_count=sum(map(len, rows)),
    )


def causal_lm(model: Any) -> Any:
    """The causal LM itself: what lies under a peft wrapper, or the model."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def output_head(model: Any) -> nn.Linear:
    """The linear layer from hidden states to logits.

    Raises:
        UserError: the model has none.
    """
    head = causal_lm(model).get_output_embeddings()
    if type(head) is not nn.Linear:
        raise UserError(
            f"{type(causal_lm(model)).__name__} ends in {type(head).__name__}, not in a linear layer (LoRA may not "
            "lie on it): choose another base or LoRA targets"
        )
    return head


def completion_hidden(model: Any, batch: CompletionBatch) -> torch.Tensor:
    """Hidden states ``[B, T, D]`` that predict the completion tokens; what stands outside the mask is meaningless."""
    return predicting_states(
        causal_lm(model).get_decoder()(input_ids=batch.ids_BS, use_cache=False).last_hidden_state, batch
    )


def predicting_states(hidden_BSD: torch.Tensor, batch: CompletionBatch) -> torch.Tensor:
    """Of a batch's hidden states those that predict its completion tokens, ``[B, T, D]``."""
    index_BTD = batch.predictor_BT[..., None].expand(-1, -1, hidden_BSD.shape[-1])
    return hidden_BSD.gather(1, index_BTD)


@torch.no_grad()
def check_scorable(model: Any) -> None:
    """Make sure that the model's logits are its output layer applied to its hidden states.

    Raises:
        UserError: they are not, as where a model scales or caps its logits afterwards: its losses would be wrong.
    """
    head = output_head(model)
    ids_BS = torch.tensor([[1, 2, 3, 4]], device=head.weight.device)
    lm = causal_lm(model)
    logits = lm(input_ids=ids_BS, use_cache=False).logits
    ours = head(lm.get_decoder()(input_ids=ids_BS, use_cache=False).last_hidden_state)
    if not torch.allclose(logits.float(), ours.float(), rtol=1e-3, atol=1e-3):
        raise UserError(f"{type(lm).__name__} scales or caps its logits after the output layer: choose another base")


def microbatches(lengths: Sequence[int], *, token_budget: int) -> Iterator[list[int]]:
    """Indices of rows in batches whose padded size stays within the budget, rows of like length together.

    A row longer than the budget has a batch of its own. The batches are a function of the lengths alone.
    """
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        # Lengths fall, so the first row of a batch is its width.
        if batch and lengths[batch[0]] * (len(batch) + 1) > token_budget:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
