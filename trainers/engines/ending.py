"""Which tokens end a completion, and what a row of drawn tokens comes to: one rule for every engine that draws ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sdbench.tasks.errors import UserError
from sdbench.tasks.outcome import FinishReason
from sdbench.tasks.sampling.engine import Completion


def end_ids_of(*sources: Any, model: str) -> frozenset[int]:
    """Every id that one of the sources (generation_config, config, tokenizer) calls an end of sequence: their union.

    Checkpoints disagree with themselves (a chat model's config often names the end of text, its generation_config the
    end of a turn as well), and a completion that goes on after any of them is of no use.

    Raises:
        UserError: none of them names any; ``model`` is what the message calls the model.
    """
    ids: set[int] = set()
    for source in sources:
        found = getattr(source, "eos_token_id", None)
        if found is not None:
            ids.update(found if isinstance(found, list | tuple) else (found,))
    if not ids:
        raise UserError(
            f"model {model!r} names no end-of-sequence token; set eos_token_id in its generation_config.json"
        )
    return frozenset(int(token) for token in ids)


def unfit() -> Completion:
    """What comes of a prompt that leaves no room for one token."""
    return Completion(token_ids=(), text="", finish_reason=FinishReason.UNFIT)


def completions_of(token_ids: Sequence[Sequence[int]], *, tokenizer: Any, end_ids: frozenset[int]) -> list[Completion]:
    """The completions of rows of drawn tokens, none of them empty: ``STOP`` where the last one is an end token."""
    if not token_ids:  # batch_decode would take no rows for one empty row
        return []
    rows = [list(ids) for ids in token_ids]
    texts = tokenizer.batch_decode(rows, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return [
        Completion(
            token_ids=tuple(ids),
            text=text,
            finish_reason=FinishReason.STOP if ids[-1] in end_ids else FinishReason.LENGTH,
        )
        for ids, text in zip(rows, texts, strict=True)
    ]
