"""What an engine is: prompts and seeds in, completions as token ids out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from sdbench.tasks.outcome import FinishReason
from sdbench.tasks.sampling.settings import SamplingSettings


@dataclass(frozen=True, kw_only=True)
class GroupRequest:
    """One prompt (as token ids) and a seed for each completion wanted of it."""

    prompt_ids: tuple[int, ...]
    seeds: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Completion:
    """One completion.

    ``token_ids`` end with the end-of-sequence token when ``finish_reason`` is ``STOP``; they are empty when it is
    ``UNFIT``. ``text`` is their decoding without special tokens.
    """

    token_ids: tuple[int, ...]
    text: str
    finish_reason: FinishReason


Progress = Callable[[int], None]
"""Called now and then with the number of completions that have become ready since the last call."""


class Engine(Protocol):
    """Draws completions. The same requests and settings give the same completions (``hf``)."""

    @property
    def name(self) -> str:
        """``hf``, ``vllm`` or ``openai``."""
        ...

    def encode(self, prompt: str) -> tuple[int, ...]:
        """Token ids of a finished prompt (no special tokens added)."""
        ...

    def generate(
        self, requests: Sequence[GroupRequest], settings: SamplingSettings, progress: Progress | None = None
    ) -> list[list[Completion]]:
        """Completions in the order of the requests, one list a request in the order of its seeds."""
        ...
