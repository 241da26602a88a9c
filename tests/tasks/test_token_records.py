from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sdbench.tasks.errors import UserError
from sdbench.tasks.outcome import Outcome
from sdbench.tasks.token_records import (
    RecordHeader,
    ScoredTokens,
    TeacherGeneration,
    TokenClass,
    TokenMark,
    TokenRecord,
    TokenRole,
    read_records,
    write_records,
)

HEADER = RecordHeader(
    condition="mine",
    feedback="null_wrapper",
    settings={},
    student="s",
    teacher="live",
    temperature=1.0,
    sampling_temperature=0.9,
    divergence="reverse_kl",
    prompt_digest="p",
    problems=1,
    samples=2,
    seed=3,
)
TOKENS = ScoredTokens(
    token_ids=(4, 5),
    token_texts=("a", "line\u2028and\nbreak"),
    student_logprobs=(-1.5, -0.25),
    teacher_logprobs=(-0.5, -0.75),
    divergences=(0.125, 0.0),
    student_entropies=(1.0, 2.0),
    marks=(
        TokenMark(TokenClass.CORRECT, TokenRole.NAME, True, False),
        TokenMark(TokenClass.FIRST_ERROR, TokenRole.RESULT, False, True),
    ),
)
SCORED = TokenRecord(
    problem_id="x",
    sample_index=0,
    outcome=Outcome.WRONG,
    context="|note",
    unbuilt=None,
    tokens=TOKENS,
    generation=TeacherGeneration(alone=Outcome.WRONG, with_context=Outcome.CORRECT, text="#1"),
)
BARE = TokenRecord(
    problem_id="x",
    sample_index=1,
    outcome=Outcome.TRUNCATED,
    context=None,
    unbuilt="no reason",
    tokens=None,
    generation=TeacherGeneration(alone=Outcome.NO_ANSWER, with_context=None, text=None),
)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    records = [SCORED, BARE, replace(SCORED, tokens=replace(TOKENS, marks=None))]
    path.write_text(write_records(HEADER, records), encoding="utf-8")
    assert read_records(path) == (HEADER, records)


def test_the_advantage_is_teacher_minus_student() -> None:
    assert TOKENS.advantages == (1.0, -0.5)
    row = json.loads(write_records(HEADER, [SCORED]).split("\n")[1])
    assert row["advantages"] == [1.0, -0.5]
    assert row["classes"] == ["correct", "first_error"]
    assert row["step_starts"] == [0]
    assert row["error_tokens"] == [1]


@pytest.mark.parametrize(
    ("line", "change", "message"),
    [
        (0, lambda row: row.update(format_version=2), "format version 2"),
        (0, lambda row: row.update(kind="samples"), "holds 'samples'"),
        (0, lambda row: row.pop("seed"), "line 1 is broken"),
        (1, lambda row: row.update(advantages=[-1.0, 0.5]), "line 2 .*teacher minus student"),
        (1, lambda row: row.pop("outcome"), "line 2 is broken"),
        (1, lambda row: row["divergences"].pop(), "line 2 .*different lengths"),
        (2, lambda row: row.update(outcome="fine"), "line 3 is broken"),
    ],
)
def test_a_damaged_file_is_named(
    tmp_path: Path, line: int, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    path = tmp_path / "records.jsonl"
    rows = [json.loads(text) for text in write_records(HEADER, [SCORED, BARE]).removesuffix("\n").split("\n")]
    change(rows[line])
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    with pytest.raises(UserError, match=message):
        read_records(path)


def test_an_empty_or_missing_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("")
    for name in ("empty.jsonl", "missing.jsonl"):
        with pytest.raises(UserError, match=name):
            read_records(tmp_path / name)


def test_a_rollout_has_numbers_or_a_reason() -> None:
    for change in ({"unbuilt": "both"}, {"context": None}):
        with pytest.raises(ValueError, match="or a reason"):
            replace(SCORED, **change)  # type: ignore[arg-type]
