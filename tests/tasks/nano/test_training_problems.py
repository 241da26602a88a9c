"""Nano problems as trainers take them."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest

from sdbench.tasks.errors import UserError
from sdbench.tasks.nano import training_problems as training_problems_module
from sdbench.tasks.nano.facts import Hiddenness, default_facts
from sdbench.tasks.nano.families import TRAINED_DEPTHS
from sdbench.tasks.nano.problems import HiddennessRange, Split, parse_problem
from sdbench.tasks.nano.traces import Notation, execute
from sdbench.tasks.nano.training_problems import (
    to_problem,
    training_problems,
    validation_problems,
    validation_strata,
)


def test_a_problem_by_hand() -> None:
    nano = parse_problem("sum3:a3b8c9")
    problem = to_problem(nano, task="t", seed=0)
    assert (problem.id, problem.text, problem.answer, problem.task) == (nano.digest[:16], "sum3:a3b8c9", "0", "t")
    assert problem.solution in (
        "plus a3b8 gives p1, plus p1c9 gives q0, #0",
        "plus c9b8 gives i7, plus i7a3 gives j0, #0",
    )


def test_references_take_either_path_and_follow_the_seed() -> None:
    problems = training_problems(count=64, seed=0)
    paths = Counter(
        next(p for p in (0, 1) if execute(parse_problem(x.text), p).write(Notation.WORDS) == x.solution)
        for x in problems
    )
    assert set(paths) == {0, 1}
    assert 16 <= paths[0] <= 48
    assert problems == training_problems(count=64, seed=0)
    assert problems != training_problems(count=64, seed=1)


def test_training_has_the_trained_depths_in_equal_parts_and_no_problem_twice() -> None:
    problems = training_problems(count=80, seed=0)
    nanos = [parse_problem(problem.text) for problem in problems]
    assert {nano.split for nano in nanos} == {Split.TRAINING}
    assert {nano.depth for nano in nanos} == set(TRAINED_DEPTHS)
    assert set(Counter(nano.stratum for nano in nanos).values()) == {10}
    assert len({problem.id for problem in problems}) == 80


def test_validation_has_all_twelve_strata() -> None:
    problems = validation_problems(per_stratum=3, seed=0)
    nanos = [parse_problem(problem.text) for problem in problems]
    assert {nano.split for nano in nanos} == {Split.VALIDATION}
    counts = Counter(nano.stratum for nano in nanos)
    assert len(counts) == 12
    assert set(counts.values()) == {3}


def test_hiddenness_is_kept() -> None:
    wanted = HiddennessRange(at_least=Hiddenness.SHADED)
    for problem in training_problems(count=16, seed=0, hiddenness=wanted):
        assert min(parse_problem(problem.text).hardest_levels(default_facts())) >= Hiddenness.SHADED


def test_more_than_there_are_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="per_stratum = 1000, but sum_1 has only"):
        validation_problems(per_stratum=1000, seed=0)
    # Using the whole training split up takes minutes; two problems a stratum do as well.
    whole = training_problems_module.generate_problems
    monkeypatch.setattr(
        training_problems_module, "generate_problems", lambda **given: itertools.islice(whole(**given), 2)
    )
    assert len(training_problems(count=16, seed=0)) == 16
    with pytest.raises(UserError, match="count = 17 training problems, but the nano world has only 16"):
        training_problems(count=17, seed=0)


def test_validation_strata_hold_what_they_are_called() -> None:
    strata = validation_strata(per_stratum=2, seed=0)
    assert len(strata) == 12
    assert [problem for problems in strata.values() for problem in problems] == validation_problems(
        per_stratum=2, seed=0
    )
    for (family, depth), problems in strata.items():
        parsed = [parse_problem(problem.text) for problem in problems]
        assert {(nano.family, nano.depth) for nano in parsed} == {(family, depth)}
