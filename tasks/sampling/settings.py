"""The settings that completions are drawn with: every one explicit on every engine."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, kw_only=True)
class SamplingSettings:
    """How completions are drawn.

    ``top_k = 0`` and ``top_p = 1`` switch those filters off; ``temperature = 0`` is greedy. ``max_tokens`` counts
    completion tokens, the end token included.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    max_tokens: int = 96

    def __post_init__(self) -> None:
        for name, holds, bound in (
            ("temperature", self.temperature >= 0, ">= 0"),
            ("top_p", 0 < self.top_p <= 1, "in (0, 1]"),
            ("top_k", self.top_k >= 0, ">= 0"),
            ("min_p", 0 <= self.min_p < 1, "in [0, 1)"),
            ("repetition_penalty", self.repetition_penalty > 0, "> 0"),
            ("max_tokens", self.max_tokens >= 1, ">= 1"),
        ):
            if not holds:
                raise ValueError(f"{name} = {getattr(self, name)} must be {bound}")

    @property
    def digest(self) -> str:
        """Short hash of all settings: another setting is another key in the sample store."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]
