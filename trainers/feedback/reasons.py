"""Why a context was not built. One constant a reason, so that counts of the same thing add up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from sdbench.trainers.feedback.types import BuiltContext, Unbuilt

DOES_NOT_FIT = "the context does not fit beside the problem"
"""For whoever encodes prompts: a context that would have to be cut is ``Unbuilt`` instead."""

NO_SOLUTION = "the problem has no worked solution"
NO_PROCEDURE = "the attempt opens neither procedure"
NO_OTHER_PROBLEM = "the batch holds no other problem"
NO_OTHER_CRITIQUE = "no rollout of another problem in the batch could be critiqued"


def count_unbuilt(contexts: Iterable[BuiltContext]) -> dict[str, int]:
    """How many contexts were not built, by reason, in order of reason."""
    counts = Counter(context.reason for context in contexts if isinstance(context, Unbuilt))
    return dict(sorted(counts.items()))
