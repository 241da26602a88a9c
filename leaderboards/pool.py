"""What the filter of training problems left, and what the base makes of it. Pure; loads no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sdbench.leaderboards.render.text import percent


@dataclass(frozen=True, kw_only=True)
class PoolSummary:
    """The training problems that a filter by the base's solve rate kept.

    ``filter_rate`` is the base's solve rate on them in the samples that chose them, too low by the choosing;
    ``fresh_rate`` that in as many fresh samples. None where no sample could be graded.
    """

    sampled: int
    kept: int
    samples: int
    filter_rate: float | None
    fresh_rate: float | None

    @property
    def note(self) -> str:
        """One sentence for below the board."""
        return (
            f"Training problems: {self.kept} of {self.sampled} sampled, those that the base rarely solves: "
            f"{_share(self.filter_rate)} in the {self.samples} samples each that chose them, "
            f"{_share(self.fresh_rate)} in as many fresh ones."
        )

    def to_json(self) -> dict[str, Any]:
        """The summary as JSON data, shares in [0, 1]."""
        return {
            "sampled": self.sampled,
            "kept": self.kept,
            "samples": self.samples,
            "filter_rate": self.filter_rate,
            "fresh_rate": self.fresh_rate,
        }


def _share(rate: float | None) -> str:
    return "not measured" if rate is None else f"{percent(rate)} %"
