"""Overlap of training data and benchmarks, worked by hand."""

from __future__ import annotations

import pytest

from sdbench.tasks.data.overlap import GRAM_WORDS, find_overlap, without_overlap
from sdbench.tasks.errors import UserError
from sdbench.tasks.problem import Problem


def words(first: int, count: int) -> str:
    return " ".join(f"w{number}" for number in range(first, first + count))


def problem(identity: str, text: str) -> Problem:
    return Problem(id=identity, text=text, answer="1")


# 20 words have 8 runs of thirteen.
BENCHMARKS = {"sdbench_a": [problem("a1", words(0, 20)), problem("a2", "What is 1 + 1?")]}


def test_equal_but_for_case_quotes_and_white_space() -> None:
    training = [problem("t1", "  what is\n1 + 1?"), problem("t2", "What is 1 + 2?")]
    (found,) = find_overlap(training, BENCHMARKS)
    assert (found.training_id, found.task, found.benchmark_id, found.equal) == ("t1", "sdbench_a", "a2", True)


@pytest.mark.parametrize(
    ("shared_words", "share"),
    [
        # Runs shared: words - 12, of the 8 that both have.
        (20, 8 / 8),
        (17, 5 / 8),
        (16, 4 / 8),
        (15, None),
        (GRAM_WORDS - 1, None),
    ],
)
def test_share_of_runs(shared_words: int, share: float | None) -> None:
    training = [problem("t", f"{words(0, shared_words)} {words(100, 20 - shared_words)}".strip() + ".")]
    found = find_overlap(training, BENCHMARKS)
    assert [overlap.shared for overlap in found] == ([] if share is None else [share])


def test_a_benchmark_problem_inside_a_longer_text_is_found() -> None:
    (found,) = find_overlap([problem("t", f"{words(200, 50)} {words(0, 20)} {words(300, 50)}")], BENCHMARKS)
    assert (found.benchmark_id, found.shared, found.equal) == ("a1", 1.0, False)


def test_refused_or_left_out_by_name_and_count() -> None:
    training = [problem("t1", "What is 1 + 1?"), problem("t2", words(0, 19)), problem("t3", "something else")]
    found = find_overlap(training, BENCHMARKS)
    message = r"file: 2 of 3 problems stand in benchmarks \(sdbench_a: 2, 1 of them word for word\)"
    with pytest.raises(UserError, match=message + r", the first is like sdbench_a a2; .*problems.overlap"):
        without_overlap(training, found, mode="refuse", label="file")
    kept, note = without_overlap(training, found, mode="filter", label="file")
    assert [one.id for one in kept] == ["t3"]
    assert note is not None
    assert note.startswith("file: 2 of 3 problems stand in benchmarks and are left out")
    assert without_overlap(training, [], mode="refuse", label="file") == (training, None)
