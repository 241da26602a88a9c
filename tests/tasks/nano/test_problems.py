from __future__ import annotations

import itertools
import random
import re

import pytest

from sdbench.tasks.nano.facts import Hiddenness, default_facts
from sdbench.tasks.nano.families import PROCEDURES, Depth, Family
from sdbench.tasks.nano.problems import (
    HiddennessRange,
    NanoProblem,
    Split,
    generate_problems,
    parse_problem,
    random_problem,
)
from sdbench.tasks.nano.traces import execute

STRATA = list(itertools.product(Family, Depth))


def answer_by_formula(text: str) -> int:
    """The answer from the written problem alone, by ordinary arithmetic: a second opinion on the procedures."""
    head, body = text.split(":")
    values = {name: int(digit) for name, digit in re.findall(r"([a-z])(\d)", body)}
    family = head.rstrip("0123456789")
    x = values.pop("x", 0)
    terms = list(values.values())
    if family == "sum":
        return sum(terms) % 10
    if family == "alt":
        return sum(term if i % 2 == 0 else -term for i, term in enumerate(terms)) % 10
    if family == "dot":
        return sum(a * b for a, b in zip(terms[::2], terms[1::2], strict=True)) % 10
    return sum(c * x ** (len(terms) - 1 - i) for i, c in enumerate(terms)) % 10


@pytest.mark.parametrize(("family", "depth"), STRATA)
def test_both_procedures_reach_the_answer_of_the_formula(family: Family, depth: Depth) -> None:
    rng = random.Random(11)
    for _ in range(200):
        problem = random_problem(rng, family=family, depth=depth)
        expected = answer_by_formula(problem.text)
        assert problem.answer == expected
        assert [execute(problem, path).answer for path in PROCEDURES] == [expected, expected]


@pytest.mark.parametrize(("family", "depth"), STRATA)
def test_the_two_procedures_differ_from_their_first_step_on(family: Family, depth: Depth) -> None:
    problem = random_problem(random.Random(0), family=family, depth=depth)
    first, second = (execute(problem, path).steps for path in PROCEDURES)
    assert first[0].write()[:2] != second[0].write()[:2] or first[0].result_name != second[0].result_name
    assert not {step.result_name for step in first} & {step.result_name for step in second}


def test_text_round_trips_and_bad_text_is_named() -> None:
    problem = NanoProblem(Family.DOT, Depth.SHALLOW, (3, 7, 2, 5))
    assert problem.text == "dot2:a3b7c2d5"
    assert parse_problem(problem.text) == problem
    for text in ("dot2:a3b7c2", "sum5:a1b2c3d4e5", "dot2:b3a7c2d5", "mul2:a1b1c1d1", "sum3:a1b2c3 "):
        with pytest.raises(ValueError, match=re.escape(repr(text))):
            parse_problem(text)


def test_no_problem_serves_two_uses() -> None:
    problems = {
        split: {
            problem.text
            for (family, depth), seed in itertools.product(STRATA, (0, 1))
            for problem in itertools.islice(generate_problems(split=split, family=family, depth=depth, seed=seed), 150)
        }
        for split in Split
    }
    for first, second in itertools.combinations(Split, 2):
        assert not problems[first] & problems[second]
    assert all(parse_problem(text).split is split for split, texts in problems.items() for text in texts)


@pytest.mark.parametrize("split", [Split.VALIDATION, Split.BENCHMARK, Split.TRAINING])
def test_every_stratum_has_enough_problems_of_every_use(split: Split) -> None:
    for family, depth in STRATA:
        drawn = list(itertools.islice(generate_problems(split=split, family=family, depth=depth, seed=5), 60))
        assert len({problem.text for problem in drawn}) == 60
        assert {problem.stratum for problem in drawn} == {f"{family.value}_{depth.value}"}


def test_generators_are_seeded_and_end() -> None:
    def draw(seed: int) -> list[NanoProblem]:
        return list(
            itertools.islice(
                generate_problems(split=Split.TRAINING, family=Family.SUM, depth=Depth.SHALLOW, seed=seed), 20
            )
        )

    assert draw(1) == draw(1) != draw(2)
    every = list(generate_problems(split=Split.TRAINING, family=Family.SUM, depth=Depth.SHALLOW, seed=0))
    assert 80 < len(every) < 160  # about 12 % of the 1,000 problems of this stratum


def test_hiddenness_restricts_both_procedures() -> None:
    facts = default_facts()
    for wanted in (
        HiddennessRange(at_most=Hiddenness.OPEN),
        HiddennessRange(at_least=Hiddenness.HIDDEN),
    ):
        drawn = itertools.islice(
            generate_problems(split=Split.TRAINING, family=Family.SUM, depth=Depth.MIDDLE, seed=0, hiddenness=wanted),
            10,
        )
        for problem in drawn:
            for path in PROCEDURES:
                hardest = max(
                    facts[step.left, step.sign, step.right].hiddenness for step in execute(problem, path).steps
                )
                assert wanted.at_least <= hardest <= wanted.at_most
