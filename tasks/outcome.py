"""The one outcome that every sample has."""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """What became of a sample; the six add up to the number of samples.

    Only ``UNGRADED`` is missing; every other one that is not ``CORRECT`` counts as zero.
    """

    CORRECT = "correct"
    WRONG = "wrong"
    NO_ANSWER = "no_answer"
    TRUNCATED = "truncated"
    UNFIT = "unfit"
    UNGRADED = "ungraded"


class FinishReason(StrEnum):
    """Why a completion ended: its end token, the token cap, or a prompt that did not fit the model at all."""

    STOP = "stop"
    LENGTH = "length"
    UNFIT = "unfit"
