"""Which results may be compared, and what differs where they may not."""

from __future__ import annotations

import hashlib
import json

from sdbench.leaderboards.schema import CheckpointResult, EvaluationSettings


def comparison_key(result: CheckpointResult) -> str:
    """Digest of all that two results must share to be compared: evaluation settings, benchmarks and their problems."""
    problems = sorted((task.task, sorted(problem.problem_id for problem in task.problems)) for task in result.tasks)
    content = json.dumps([result.settings.model_dump(mode="json"), problems], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def differences(first: EvaluationSettings, second: EvaluationSettings) -> list[str]:
    """Names of the settings that differ, with both values where they are short, for example ``k (8 / 4)``."""
    named = []
    for name in EvaluationSettings.model_fields:
        ours, theirs = getattr(first, name), getattr(second, name)
        if name == "sampling":
            keys = sorted({*ours, *theirs})
            named += [
                f"sampling.{key} ({ours.get(key, 'not set')} / {theirs.get(key, 'not set')})"
                for key in keys
                if ours.get(key) != theirs.get(key)
            ]
        elif ours != theirs:
            named.append(f"{name} ({_short(ours)} / {_short(theirs)})")
    return named


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 16 else text[:12] + "..."
