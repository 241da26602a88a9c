"""The audit of golds: by hand, and over the real files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from sdbench.tasks.data.audit import audit_golds
from sdbench.tasks.data.loading import load_benchmark, load_golds
from sdbench.tasks.data.places import AbsentDataError
from sdbench.tasks.data.sources import get_source
from sdbench.tasks.errors import UserError
from sdbench.tasks.grading.math_grader import MathGrader
from sdbench.tasks.grading.verdict import GradeItem, Verdict
from sdbench.tasks.problem import Problem


def problems(*golds: str) -> list[Problem]:
    return [Problem(id=str(index), text=f"p {index}", answer=gold) for index, gold in enumerate(golds)]


class Lenient:
    """Takes any answer for right but a gold that says `never`."""

    def grade(self, items: Sequence[GradeItem]) -> list[Verdict]:
        return [
            Verdict(
                verdict="wrong" if item.gold == "never" else "correct",
                rule="scripted",
                extracted=item.prediction.replace(".0", ""),
            )
            for item in items
        ]


def test_what_the_grader_says_is_sorted_by_what_it_means() -> None:
    found = audit_golds("set", problems("1", "1.0", "never", "2"), Lenient())
    assert (found.golds, [one.problem_id for one in found.refused]) == (4, ["2"])
    # 1 and 1.0 are one answer; "never" accepts nothing; 2 accepts the first gold.
    assert [(one.gold, one.prediction) for one in found.neighbours] == [("1.0", "never"), ("2", "1")]


def test_one_gold_has_no_neighbour() -> None:
    assert audit_golds("set", problems("1"), Lenient()).neighbours == ()


def test_the_three_dollar_golds_of_math500_are_caught(real_data: Path) -> None:
    chosen = [p for p in load_benchmark("math500", data_dir=real_data) if p.answer.startswith(("\\$", "\\frac{14}"))]
    with MathGrader() as grader:
        found = audit_golds("math500", chosen, grader)
    currency = [p.answer for p in chosen if p.answer.startswith("\\$")]
    assert len(currency) == 3
    assert set(currency) <= {gold for _, gold in found.unread}
    assert found.refused == ()


def test_what_math_verify_alone_makes_of_golds_as_they_are_written() -> None:
    found = audit_golds("set", problems("5", "\\text{east}", "12\\pi"), Lenient())
    assert ([gold for _, gold in found.unread], [gold for _, gold in found.misread]) == (["\\text{east}"], ["12\\pi"])


@pytest.mark.parametrize("name", ["aime24", "amc23", "hmmt_feb25", "aime26", "hmmt_nov25"])
def test_golds_of_real_contests(real_data: Path, name: str) -> None:
    with MathGrader() as grader:
        found = audit_golds(name, load_golds(name, data_dir=real_data), grader)
    assert (found.refused, found.neighbours) == ((), ())
    assert found.golds == get_source(name).rows


def test_golds_alone_must_be_whole(tmp_path: Path) -> None:
    (tmp_path / "aime26").mkdir()
    (tmp_path / "aime26" / "golds_only.jsonl").write_text('{"idx": 1, "answer": "277"}\n')
    with pytest.raises(UserError, match="must have 30 rows with idx and answer; it has 1 rows"):
        load_golds("aime26", data_dir=tmp_path)
    with pytest.raises(AbsentDataError, match="holds no aime25"):
        load_golds("aime25", data_dir=tmp_path)
