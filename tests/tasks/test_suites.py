"""The table of suites."""

from __future__ import annotations

import pytest

from sdbench.tasks.errors import UserError
from sdbench.tasks.problem import Problem
from sdbench.tasks.suites import get_suite, heldout_suite

PROBLEMS = [Problem(id=str(index), text=f"What is {index} + 1?", answer=str(index + 1)) for index in range(3)]


def test_nano12_has_eight_trained_and_four_deeper_benchmarks() -> None:
    suite = get_suite("nano12")
    groups = [benchmark.group for benchmark in suite.benchmarks]
    assert (groups.count("trained"), groups.count("deeper")) == (8, 4)
    assert all(benchmark.group == "deeper" for benchmark in suite.benchmarks if benchmark.task.endswith("_3"))
    assert (suite.default_k, suite.default_sampling.max_tokens, suite.default_sampling.temperature) == (8, 96, 1.0)


def test_select_cuts_tasks_and_problems_and_changes_the_lock() -> None:
    suite = get_suite("nano12")
    cut = suite.select(tasks=["sdbench_nano_dot_2", "sdbench_nano_sum_1"], limit=2)
    assert cut.tasks == ("sdbench_nano_sum_1", "sdbench_nano_dot_2")
    assert [len(benchmark.problems) for benchmark in cut.benchmarks] == [2, 2]
    assert len({suite.data_lock, cut.data_lock, suite.select(limit=2).data_lock}) == 3
    assert suite.select(limit=1000).data_lock == suite.data_lock


def test_unknown_names_get_a_suggestion() -> None:
    with pytest.raises(UserError, match="'nano21'; did you mean 'nano12'"):
        get_suite("nano21")
    with pytest.raises(UserError, match="did you mean 'sdbench_nano_sum_1'"):
        get_suite("nano12").select(tasks=["sdbench_nano_sum1"])
    with pytest.raises(UserError, match="limit 0"):
        get_suite("nano12").select(limit=0)
    with pytest.raises(UserError, match="no task"):
        get_suite("nano12").select(tasks=[])


def test_heldout_is_one_benchmark_of_the_given_problems() -> None:
    suite = heldout_suite(PROBLEMS)
    assert suite.tasks == ("sdbench_heldout",)
    assert [problem.task for problem in suite.benchmarks[0].problems] == ["sdbench_heldout"] * 3
    with pytest.raises(UserError, match="'0' occurs twice"):
        heldout_suite([*PROBLEMS, PROBLEMS[0]])
    with pytest.raises(UserError, match="no problem"):
        heldout_suite([])
