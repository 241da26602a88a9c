from __future__ import annotations

import pytest

from sdbench.harness.recipes.overrides import apply_overrides, parse_override
from sdbench.tasks.errors import UserError


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("evaluation.k=4", ("evaluation", "k"), 4),
        ("defaults.learning_rate = 1e-4", ("defaults", "learning_rate"), 1e-4),
        ("training.seeds=[0, 1]", ("training", "seeds"), [0, 1]),
        ("a.b=true", ("a", "b"), True),
        ('a.b="4"', ("a", "b"), "4"),
        ("evaluation.suite=nano12", ("evaluation", "suite"), "nano12"),
        ("base.model=./some/folder", ("base", "model"), "./some/folder"),
        ("a.b={c = 1}", ("a", "b"), {"c": 1}),
    ],
)
def test_value_is_toml_or_a_plain_word(text: str, path: tuple[str, ...], value: object) -> None:
    assert parse_override(text) == (path, value)
    assert type(parse_override(text)[1]) is type(value)


@pytest.mark.parametrize("text", ["k", "=3", "a..b=3", "a.b=[1", "a b=1", "a=1\nb=2"])
def test_malformed_override_is_refused_by_name(text: str) -> None:
    with pytest.raises(UserError, match="--set"):
        parse_override(text)


def test_overrides_leave_the_original_alone_and_later_ones_win() -> None:
    data = {"a": {"b": 1, "c": 2}}
    assert apply_overrides(data, ["a.b=3", "a.b=4", "d.e.f=5"]) == {"a": {"b": 4, "c": 2}, "d": {"e": {"f": 5}}}
    assert data == {"a": {"b": 1, "c": 2}}


def test_path_through_a_value_is_refused() -> None:
    with pytest.raises(UserError, match=r"a\.b is a value"):
        apply_overrides({"a": {"b": 1}}, ["a.b.c=3"])
