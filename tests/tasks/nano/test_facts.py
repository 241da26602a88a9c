from __future__ import annotations

import random
from collections import Counter

import pytest

from sdbench.tasks.nano.facts import (
    RIGHT_PROBABILITY_RANGES,
    FactTable,
    Hiddenness,
    default_facts,
    true_result,
)


def test_results_worked_by_hand() -> None:
    assert true_result(7, "+", 8) == 5
    assert true_result(3, "-", 9) == 4
    assert true_result(7, "*", 8) == 6
    with pytest.raises(ValueError, match="'/'"):
        true_result(1, "/", 1)


def test_levels_partition_the_three_hundred_facts() -> None:
    levels = Counter(fact.hiddenness for fact in default_facts())
    assert sum(levels.values()) == len(default_facts()) == 300
    assert levels == {Hiddenness.KNOWN: 180, Hiddenness.OPEN: 40, Hiddenness.SHADED: 40, Hiddenness.HIDDEN: 40}


def test_hard_facts_stay_in_the_range_of_their_level_and_one_wrong_result_dominates() -> None:
    for fact in default_facts():
        probabilities = dict(fact.result_probabilities)
        assert sum(probabilities.values()) == pytest.approx(1)
        low, high = RIGHT_PROBABILITY_RANGES[fact.hiddenness]
        assert low <= probabilities[fact.true_result] <= high
        if fact.hiddenness is not Hiddenness.KNOWN:
            wrong = [p for result, p in probabilities.items() if result != fact.true_result]
            assert max(wrong) / sum(wrong) == pytest.approx(0.75)


def test_draws_follow_the_probabilities() -> None:
    fact = next(fact for fact in default_facts() if fact.hiddenness is Hiddenness.OPEN)
    rng = random.Random(3)
    counts = Counter(fact.draw_result(rng) for _ in range(20_000))
    for result, probability in fact.result_probabilities:
        assert counts[result] / 20_000 == pytest.approx(probability, abs=0.015)
    assert set(counts) == {result for result, _ in fact.result_probabilities}


def test_the_table_is_a_function_of_its_seed() -> None:
    assert list(FactTable(seed=1)) == list(FactTable(seed=1))
    assert list(FactTable(seed=1)) != list(FactTable(seed=2))
