"""The recipe ``alignment``: a whole factorial layout in which nothing but the factors differs."""

from __future__ import annotations

from itertools import product

from sdbench.harness.recipes.loader import read_recipe, resolve_recipe


def test_the_recipe_has_every_cell_once_and_differs_in_nothing_else() -> None:
    recipe = resolve_recipe(read_recipe("alignment"))
    cells = {
        tuple(condition.feedback.settings[factor] for factor in ("path", "notation", "quote")): condition.name
        for condition in recipe.conditions.values()
        if condition.feedback.settings
    }
    assert set(cells) == set(product(("own", "other"), ("solver", "words"), ("none", "up_to_error", "whole")))
    assert len(set(cells.values())) == 12
    same = {
        (condition.learning_rate, condition.budget, condition.objective, condition.teacher)
        for condition in recipe.conditions.values()
    }
    assert len(same) == 1
