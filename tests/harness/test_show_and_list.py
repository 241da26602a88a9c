"""`sdbench list feedback` and `sdbench show feedback|prompt`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from sdbench.trainers.feedback.registry import feedback_names


def test_every_feedback_type_is_listed_with_what_it_needs_and_reveals(call: Callable[..., Any]) -> None:
    listed = call("list", "feedback", "--json")
    assert listed.code == 0, listed.err
    rows = json.loads(listed.out)
    assert len(rows) >= 20
    for row in rows:
        assert row.keys() >= {"name", "summary", "reveals", "needs", "rollout_dependent", "nano_base", "settings"}
        assert isinstance(row["rollout_dependent"], bool)
    by_name = {row["name"]: row for row in rows}
    assert by_name["environment_peer"]["needs"] == ["peers", "environment"]
    assert by_name["environment_peer"]["rollout_dependent"] is True
    assert by_name["peer_success"]["rollout_dependent"] is False
    table = call("list", "feedback")
    assert table.code == 0
    assert len(table.out.splitlines()) == len(rows)


@pytest.mark.parametrize("name", feedback_names())
def test_every_feedback_type_is_shown_beside_the_students_prompt(call: Callable[..., Any], name: str) -> None:
    shown = call("show", "feedback", name)
    assert shown.code == 0, shown.err
    assert "student sees sum4:a4b3c7d8>" in shown.out
    assert "A pen costs 3 dollars" in shown.out
    assert shown.out.count("teacher sees") == 2
    assert ("none, by design" in shown.out) is (name == "binary_reward")


def test_prompts_of_a_base_are_shown(call: Callable[..., Any]) -> None:
    shown = call("show", "prompt", "nano")
    assert shown.code == 0, shown.err
    assert "student sees (12 tokens) sum4:a4b3c7d8>" in shown.out
    described = json.loads(call("show", "prompt", "nano", "--json").out)
    assert described["format"] == described["steps"] == "nano"
    assert described["notes"] == []
    assert described["teacher_prompt"].startswith("sum4:a4b3c7d8|reference sum4:a4b3c7d8/")
    wrong = call("show", "prompt", "no/such/folder")
    assert wrong.code == 2
    assert "no/such/folder" in wrong.err
