"""What the output layer does while a model is run for its loss: never all logits, but what is made of them.

A model's forward pass ends in its output layer. Here the layer answers with something else, inside the pass: so
DeepSpeed's hooks, which gather sharded weights around a layer's forward and backward pass, hold the layer's weight
whenever it is needed, also where the loss computes chunks of logits a second time. Shapes: B rollout, S position in
prompt and completion, T completion position, N completion tokens laid end to end, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from sdbench.trainers.objectives.chunked import Head
from sdbench.trainers.scoring import CompletionBatch, output_head, predicting_states
from sdbench.trainers.teacher_scoring import head_of


@contextmanager
def _answering(head: nn.Linear, answer: Callable[[Tensor], Tensor]) -> Iterator[None]:
    head.forward = answer  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        del head.forward


def run_for(engine: Any, batch: CompletionBatch, *, compute: Callable[[Tensor, Head], Tensor]) -> Tensor:
    """Run a model on a batch; its output layer answers with ``compute(states_ND, head)``, shape N, which is returned.

    Args:
        engine: DeepSpeed's engine around the model, or the model.
        batch: the completions.
        compute: given the states that predict the completion tokens, and the output layer's weights.
    """
    module = getattr(engine, "module", engine)
    layer = output_head(module)

    def answer(hidden_BSD: Tensor) -> Tensor:
        return compute(predicting_states(hidden_BSD, batch)[batch.mask_BT], head_of(module))

    with _answering(layer, answer):
        found: Tensor = engine(input_ids=batch.ids_BS, use_cache=False).logits
    return found


@torch.no_grad()
def states_of(engine: Any, batch: CompletionBatch) -> Tensor:
    """The last hidden states that predict the completion tokens, shape ND, without a gradient."""
    return run_for(engine, batch, compute=lambda states_ND, head: states_ND)
