"""Grading a file: order, atomic output, and errors that name the line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from sdbench.tasks.errors import UserError
from sdbench.tasks.grading.files import grade_file, list_disagreements
from sdbench.tasks.grading.math_grader import MathGrader
from sdbench.tasks.grading.verdict import GradeItem, Verdict

GOOD = '{"gold": "4", "prediction": "#4", "kind": "text"}\n'


class _BrokenGrader:
    def grade(self, items: Sequence[GradeItem]) -> list[Verdict]:
        raise RuntimeError("broken")


def test_order_and_keys_are_kept_and_three_are_added(tmp_path: Path) -> None:
    rows = [
        {"gold": "4", "prediction": "so\n#4", "kind": "text", "id": 7},
        {"gold": "1/2", "prediction": "0.50", "kind": "answer"},
        {"gold": "4", "prediction": "we get 4", "kind": "text"},
        {"gold": "\u2028", "prediction": "\ud800 \u2028 \\boxed{3}", "kind": "text"},
    ]
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows) + "\n")
    with MathGrader() as grader:
        counts = grade_file(source, target, grader)
    graded = [json.loads(line) for line in target.read_text().splitlines()]
    assert [{key: row[key] for key in row if key not in ("verdict", "rule", "extracted")} for row in graded] == rows
    assert [(row["verdict"], row["extracted"]) for row in graded] == [
        ("correct", "4"),
        ("correct", "0.5"),
        ("no_answer", None),
        ("ungraded", "3"),
    ]
    assert all(row["rule"] for row in graded)
    assert counts == {"correct": 2, "no_answer": 1, "ungraded": 1}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl"]


def test_lines_on_which_math_verify_says_something_else_are_listed(tmp_path: Path) -> None:
    rows = [
        {"gold": "40", "prediction": "40_9", "kind": "answer"},
        {"gold": "4", "prediction": "4", "kind": "answer"},
        {"gold": "x+1", "prediction": "so \\boxed{1+x}", "kind": "text"},
        {"gold": "4", "prediction": "nothing", "kind": "text"},
        {"gold": "1/5", "prediction": "6:30", "kind": "answer"},
    ]
    source, target = tmp_path / "in.jsonl", tmp_path / "list.jsonl"
    # The empty line counts as a line.
    source.write_text("\n" + "".join(json.dumps(row) + "\n" for row in rows))
    with MathGrader(workers=1) as grader:
        assert list_disagreements(source, target, grader, grader) == 2
        with pytest.raises(UserError, match=r"--disagreements .* is a folder"):
            list_disagreements(source, tmp_path, grader, grader)
    listed = [json.loads(line) for line in target.read_text().splitlines()]
    assert [(row["line"], row["verdict"], row["math_verify"]) for row in listed] == [
        (2, "wrong", "correct"),
        (6, "wrong", "correct"),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{broken", "line 2 is not JSON"),
        ("[" * 100_000, "line 2 is not JSON"),
        ("\xff", "line 2 is not JSON"),
        ("[1]", "line 2 is no JSON object"),
        ('{"gold": "4", "kind": "text"}', "line 2 has no 'prediction'"),
        ('{"prediction": "4", "kind": "text"}', "line 2 has no 'gold'"),
        ('{"gold": "4", "prediction": "4"}', "line 2 has no 'kind'"),
        ('{"gold": 4, "prediction": "4", "kind": "text"}', "line 2: 'gold' is 4; it must be a string"),
        ('{"gold": "4", "prediction": null, "kind": "text"}', "line 2: 'prediction' is null"),
        ('{"gold": "4", "prediction": "4", "kind": "prose"}', "line 2: kind 'prose' is unknown"),
    ],
)
def test_a_broken_line_is_named_and_nothing_is_written(tmp_path: Path, line: str, message: str) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes((GOOD + line + "\n").encode("latin-1"))
    with MathGrader() as grader, pytest.raises(UserError, match=message) as caught:
        grade_file(source, target, grader)
    assert "\n" not in str(caught.value)
    assert not target.exists()


def test_missing_input_and_impossible_output(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    with MathGrader() as grader:
        with pytest.raises(UserError, match="cannot read"):
            grade_file(source, tmp_path / "out.jsonl", grader)
        source.write_text(GOOD)
        with pytest.raises(UserError, match="does not exist"):
            grade_file(source, tmp_path / "no" / "out.jsonl", grader)
        with pytest.raises(UserError, match="is a folder"):
            grade_file(source, tmp_path, grader)


def test_a_failure_leaves_the_old_output_alone(tmp_path: Path) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text(GOOD)
    target.write_text("old")
    with pytest.raises(RuntimeError, match="broken"):
        grade_file(source, target, _BrokenGrader())
    assert target.read_text() == "old"
