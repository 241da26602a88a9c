"""Whether the packaged nano base can read what a feedback type writes.

A teacher that cannot read its context teaches nothing, whatever the context says. The base was pretrained on some
wordings and not on others, so every type was measured (``measure_readability``): the base answers validation problems
under contexts that are built on its own rollouts. The yardstick is that of the base's card: of what the context would
bring an ideal reader, the share that the base takes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from sdbench.trainers.feedback.registry import make_feedback, settings_of

FORMAT_VERSION = 1
READABILITY_FILE = "nano_readability.json"
# The lines of the base's card (trainers/nano_base/card.py), which needs torch to be read.
INFORMATIVE_GAP = 5.0
READ_SHARE = 0.25
NULL_MARGIN = 5.0

Readability = Literal["readable", "unreadable", "unclear", "nothing_to_read", "unmeasured"]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was measured of one type under its settings; accuracies in per cent over the same problems.

    Attributes:
        name, settings: the type; settings that are not named are defaults.
        contexts: how many were built, of how many rollouts.
        rollouts: how many there were.
        without, with_context: the base's accuracy on the problems of these contexts.
        gain_half_width: of the 95 % interval of ``with_context - without``, by problem.
        ideal: the accuracy of an ideal reader.
    """

    name: str
    settings: Mapping[str, Any]
    contexts: int
    rollouts: int
    without: float
    with_context: float
    gain_half_width: float
    ideal: float

    @property
    def read_share(self) -> float | None:
        """Of what an ideal reader gains, the share that the base takes; None where there is next to nothing to gain."""
        gain = self.ideal - self.without
        return (self.with_context - self.without) / gain if gain > INFORMATIVE_GAP else None

    @property
    def moves_untold(self) -> bool:
        """Whether accuracy rises beyond doubt and past the card's null margin where there is nothing to be told."""
        gain = self.with_context - self.without
        return self.read_share is None and gain > NULL_MARGIN and gain > self.gain_half_width

    @property
    def verdict(self) -> Readability:
        """Readable from the share on that the base's card asks for; unreadable where the whole interval is below it."""
        share = self.read_share
        if share is None:
            return "nothing_to_read"
        if share >= READ_SHARE:
            return "readable"
        highest = share + self.gain_half_width / (self.ideal - self.without)
        return "unclear" if highest >= READ_SHARE else "unreadable"


def readability_of(
    name: str, settings: Mapping[str, Any] | None = None, *, base_digest: str | None = None
) -> tuple[Readability, Measured | None]:
    """Whether the packaged base reads a type, and what was measured.

    Args:
        name: of the type.
        settings: of the type; what is not named is a default.
        base_digest: of the base in question, where it may be another than the packaged one: that is unmeasured.
    """
    if base_digest is not None and base_digest != _table()["base_digest"]:
        return "unmeasured", None
    wanted = settings_of(make_feedback(name, settings))
    for row in all_measured():
        if row.name == name and settings_of(make_feedback(name, row.settings)) == wanted:
            return row.verdict, row
    return "unmeasured", None


def all_measured() -> tuple[Measured, ...]:
    """Every type and setting that was measured, in order."""
    return tuple(Measured(**row) for row in _table()["types"])


def readable_on_nano(name: str, settings: Mapping[str, Any] | None = None) -> bool | None:
    """True or False as measured; None where accuracy does not tell, or where it was not measured."""
    return {"readable": True, "unreadable": False}.get(readability_of(name, settings)[0])


def unreadable_reason(name: str, settings: Mapping[str, Any] | None = None, *, base_digest: str) -> str | None:
    """Why a condition with this feedback is not ranked on this base, or None where there is no such reason."""
    verdict, measured = readability_of(name, settings, base_digest=base_digest)
    if verdict != "unreadable" or measured is None or measured.read_share is None:
        return None
    return f"the base cannot read its context (it takes {100 * measured.read_share:.0f} % of an ideal reader's gain)"


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads((files("sdbench.trainers.feedback") / READABILITY_FILE).read_text("utf-8"))
    if table["format_version"] != FORMAT_VERSION:
        raise ValueError(f"{READABILITY_FILE} has format version {table['format_version']}, not {FORMAT_VERSION}")
    return table
