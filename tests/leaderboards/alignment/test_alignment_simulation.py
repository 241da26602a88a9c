"""Planted effects are found, and none where there is none; the rates over many boards stand in docs/alignment.md."""

from __future__ import annotations

import pytest

from sdbench.leaderboards.alignment.factorial import effects_of
from sdbench.leaderboards.alignment.simulation import (
    FACTORS,
    planted_accuracies,
    simulate_layout,
    simulate_predictors,
)

BOARDS = 30


def test_what_is_planted_is_what_the_effects_measure() -> None:
    accuracies = planted_accuracies({"path": 0.1, "quote": 0.06}, interaction=0.08)
    truths = {
        effect.name: sum(weight * accuracies[levels] for levels, weight in effect.weights.items())
        for effect in effects_of(FACTORS)
    }
    assert truths.pop("path: own - other") == pytest.approx(0.1)
    assert truths.pop("quote: up_to_error - none") == pytest.approx(0.03)
    assert truths.pop("quote: whole - up_to_error") == pytest.approx(0.03)
    assert truths.pop("path: own - other × notation: solver - words") == pytest.approx(0.08)
    assert all(truth == pytest.approx(0.0, abs=1e-12) for truth in truths.values())


def test_nothing_planted_nothing_found() -> None:
    found = simulate_layout({}, boards=BOARDS, seed=3)
    assert found.wrong_main <= 0.2  # more than 6 of 30 at a rate of 5 % has a chance of 0.0006
    assert found.wrong_interaction <= 0.2
    assert found.covered > 0.9


def test_a_planted_effect_is_found_and_the_others_are_not() -> None:
    found = simulate_layout({"path": 0.06}, boards=BOARDS, seed=4)
    assert found.clear["path: own - other"] > 0.9
    assert found.wrong_main <= 0.2
    assert found.covered > 0.9


def test_an_interaction_alone_is_no_main_effect() -> None:
    found = simulate_layout({}, interaction=0.15, boards=BOARDS, seed=5)
    assert found.clear["path: own - other × notation: solver - words"] > 0.9
    assert found.wrong_main <= 0.2


def test_a_predictor_is_found_at_its_rate_and_chance_is_not() -> None:
    strong, wrong, covered = simulate_predictors(correlation=0.95, boards=60, seed=6)
    assert strong > 0.9
    assert wrong <= 0.17  # more than 10 of 60 at a rate of 5 % has a chance of 0.0003
    assert covered > 0.85
    none, _, covered = simulate_predictors(correlation=0.0, boards=60, seed=7)
    assert none <= 0.12  # of the family of five, one predictor's share
    assert covered > 0.85
