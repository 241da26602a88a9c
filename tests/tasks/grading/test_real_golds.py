"""Every gold of the real benchmarks: accepted in its own spelling, its neighbour refused, in little time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sdbench.tasks.data.loading import at_hand, load_benchmark
from sdbench.tasks.data.sources import SOURCES
from sdbench.tasks.grading.math_grader import MathGrader
from sdbench.tasks.grading.pool import WorkerLimits
from sdbench.tasks.grading.reading import normalised_answer
from sdbench.tasks.grading.verdict import GradeItem

# A gold that says nothing ("np.arcsin(10/13)" is code) can only be compared with its own spelling.
UNREADABLE = 2
ONE_SECOND = 1.0

Gold = tuple[str, float | None]


@pytest.fixture(scope="module")
def golds(real_data: Path) -> dict[str, list[Gold]]:
    """The golds by benchmark, with their tolerances."""
    found: dict[str, list[Gold]] = {
        name: [(problem.answer, problem.relative_tolerance) for problem in load_benchmark(name, data_dir=real_data)]
        for name, there in at_hand(list(SOURCES), data_dir=real_data).items()
        if there
    }
    for path in sorted(real_data.glob("*/golds_only.jsonl")):
        found[path.parent.name] = [(str(json.loads(line)["answer"]), None) for line in path.read_text().splitlines()]
    if not found:
        pytest.skip(f"{real_data} holds no benchmark")
    return found


def test_every_gold_is_accepted_in_a_box(golds: dict[str, list[Gold]]) -> None:
    everything = [gold for one in golds.values() for gold in one]
    items = [
        GradeItem(gold=gold, prediction=f"So it is \\boxed{{{gold}}}.", relative_tolerance=tolerance)
        for gold, tolerance in everything
    ]
    with MathGrader(workers=2, limits=WorkerLimits(cpu_seconds=ONE_SECOND)) as grader:
        verdicts = grader.grade(items)
    refused = [item.gold for item, verdict in zip(items, verdicts, strict=True) if verdict.verdict != "correct"]
    assert len(refused) <= 0.002 * len(items), refused


def test_no_gold_accepts_its_neighbour_unless_they_are_equal(golds: dict[str, list[Gold]]) -> None:
    pairs = [
        (name, gold, other, tolerance)
        for name, own in golds.items()
        for (gold, tolerance), (other, _) in zip(own, [*own[1:], own[0]], strict=True)
    ]
    # What takes more than a second of a worker's time ends as too costly.
    with MathGrader(workers=2, limits=WorkerLimits(cpu_seconds=ONE_SECOND)) as grader:
        verdicts = grader.grade(
            [
                GradeItem(gold=gold, prediction=f"\\boxed{{{other}}}", relative_tolerance=tolerance)
                for _, gold, other, tolerance in pairs
            ]
        )
    for (name, gold, other, tolerance), verdict in zip(pairs, verdicts, strict=True):
        if verdict.verdict == "correct":
            ours, theirs = normalised_answer(gold), normalised_answer(other)
            near = tolerance is not None and abs(float(ours) - float(theirs)) <= tolerance * abs(float(ours))
            assert ours == theirs or near, (name, gold, other)
        assert "too_costly" not in verdict.rule, (name, gold, other)
    unreadable = [pair[:2] for pair, verdict in zip(pairs, verdicts, strict=True) if verdict.verdict == "ungraded"]
    assert len(unreadable) <= UNREADABLE, unreadable
