"""What one optimiser step did to each token's log-probability. Trainers write these records, leaderboards read them.

One JSON-lines file a condition: a header line for each training seed, then its rollouts, one a line.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from sdbench.tasks.outcome import Outcome
from sdbench.tasks.token_records import MarkSource, TokenMark

FORMAT_VERSION = 1
KIND = "token_updates"
Place = Literal["batch", "elsewhere"]
"""The rollouts of the step itself, or others of the base at problems that the step did not hold."""


@dataclass(frozen=True, kw_only=True)
class UpdateHeader:
    """One optimiser step from the base.

    Attributes:
        learning_rate: that the step was taken with.
        temperature: of the log-probabilities.
        drawn: rollouts of the step.
        learned_from: those of them that had a part in the loss.
        unbuilt: the others for want of a context, by reason.
    """

    condition: str
    feedback: str
    settings: dict[str, Any]
    objective: str
    learning_rate: float
    training_seed: int
    base: str
    temperature: float
    drawn: int
    learned_from: int
    unbuilt: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class UpdateRecord:
    """One rollout before and after the step; one number a completion token."""

    problem_id: str
    sample_index: int
    outcome: Outcome
    place: Place
    token_texts: tuple[str, ...]
    before: tuple[float, ...]
    after: tuple[float, ...]
    marks: tuple[TokenMark, ...] | None
    marked_by: MarkSource

    def __post_init__(self) -> None:
        sizes = {len(self.token_texts), len(self.before), len(self.after)}
        sizes |= set() if self.marks is None else {len(self.marks)}
        if len(sizes) != 1:
            raise ValueError(f"per-token values of different lengths: {sorted(sizes)}")

    @property
    def changes(self) -> tuple[float, ...]:
        """Log-probability after minus before, in nats."""
        return tuple(after - before for before, after in zip(self.before, self.after, strict=True))


def write_updates(measured: Sequence[tuple[UpdateHeader, Sequence[UpdateRecord]]]) -> str:
    """The whole file as text; the same records give the same text."""
    lines: list[dict[str, Any]] = []
    for header, records in measured:
        lines.append({"format_version": FORMAT_VERSION, "kind": KIND, **asdict(header)})
        lines += [_row(record) for record in records]
    return "".join(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n" for line in lines)


def _row(record: UpdateRecord) -> dict[str, Any]:
    marks = record.marks
    return {
        "problem_id": record.problem_id,
        "sample_index": record.sample_index,
        "outcome": record.outcome.value,
        "place": record.place,
        "token_texts": record.token_texts,
        "before": record.before,
        "after": record.after,
        "changes": [round(change, 6) for change in record.changes],
        "classes": None if marks is None else [mark.token_class.value for mark in marks],
        "error_tokens": None if marks is None else [index for index, mark in enumerate(marks) if mark.error],
        "marked_by": None if marks is None else record.marked_by,
    }
