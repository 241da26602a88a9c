"""A check as JSON: ``{"format_version": 1, "decision": ..., "comparisons": [...], ...}``; what is undefined is null."""

from __future__ import annotations

import json
from dataclasses import asdict
from math import isfinite
from typing import Any, Final

from sdbench.leaderboards.regression.report import CheckReport, Comparison
from sdbench.leaderboards.regression.verdict import Criterion, Look

FORMAT_VERSION: Final = 1


def render_check_json(report: CheckReport) -> str:
    """The report as JSON text: shares in [0, 1], lengths in tokens; the same report gives the same text."""
    return json.dumps(check_to_json(report), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def check_to_json(report: CheckReport) -> dict[str, Any]:
    """The same as JSON values."""
    return {
        "format_version": FORMAT_VERSION,
        "decision": report.decision.value,
        "candidate": report.candidate,
        "baseline": {"name": report.baseline, "digest": report.digest, "pinned": report.pinned},
        "suite": report.suite,
        "rules": {**asdict(report.rules), "task_margins": dict(report.rules.task_margins)},
        "comparisons": [_comparison(comparison) for comparison in report.comparisons],
        "notes": list(report.notes),
    }


def _comparison(comparison: Comparison) -> dict[str, Any]:
    verdict = comparison.verdict
    return {
        "name": comparison.name,
        "decision": comparison.decision.value,
        "no_verdict": comparison.blind,
        "left_out": dict(comparison.left_out),
        "samples_a_problem": list(comparison.samples),
        "training_seeds": list(comparison.seeds),
        "problems": verdict.problems if verdict else None,
        "samples_saved": verdict.samples_saved if verdict else None,
        "criteria": [_criterion(criterion) for criterion in verdict.criteria] if verdict else [],
        "looks": [_look(look) for look in verdict.looks] if verdict else [],
        "would_settle": asdict(verdict.settling) if verdict and verdict.settling else None,
    }


def _criterion(criterion: Criterion) -> dict[str, Any]:
    return {
        "name": criterion.name,
        "kind": criterion.kind,
        "decision": criterion.decision.value,
        "baseline": criterion.baseline,
        "candidate": criterion.candidate,
        "allowed": criterion.allowed,
        "standard_error": _finite(criterion.excess.standard_error),
        "p_regressed": criterion.p_regressed,
        "p_holds": criterion.excess.p_holds,
    }


def _look(look: Look) -> dict[str, Any]:
    return {**asdict(look), "holds_below": _finite(look.holds_below), "regressed_above": _finite(look.regressed_above)}


def _finite(value: float) -> float | None:
    return value if isfinite(value) else None
