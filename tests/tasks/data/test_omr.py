"""The paper's held-out set, from rows in the published schema of OpenMathReasoning."""

from __future__ import annotations

from typing import Any

import pytest

from sdbench.tasks.data.normal_form import normal_text
from sdbench.tasks.data.omr import OmrSettings, split_omr
from sdbench.tasks.errors import UserError


def row(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "problem": f"Compute the value of case {number}.",
        "generated_solution": f"<think>\nhm\n</think>\n\nIt is \\boxed{{{number}}}.",
        "expected_answer": str(number),
        "problem_type": "has_answer_extracted",
        "problem_source": "aops_c4_high_school_math",
        "generation_model": "DeepSeek-R1",
        "pass_rate_72b_tir": "0.5",
        "inference_mode": "cot",
        "used_in_kaggle": True,
        **changes,
    }


def test_282_to_train_on_and_30_held_out_whatever_the_order() -> None:
    rows = [row(number) for number in range(320)]
    split = split_omr(rows)
    assert (len(split.training), len(split.heldout)) == (282, 30)
    assert not {one["id"] for one in split.training} & {one["id"] for one in split.heldout}
    assert split.heldout[0]["solution"].startswith("It is")
    assert set(split.heldout[0]) == {"id", "problem", "answer", "solution"}
    assert split_omr(rows[::-1]) == split
    assert split_omr(rows, settings=OmrSettings(seed=1)).heldout != split.heldout


def test_everything_left_out_is_counted_by_reason() -> None:
    good = [row(number) for number in range(312)]
    bad = [
        row(1000, pass_rate_72b_tir="0.0"),
        row(1001, pass_rate_72b_tir="1.0"),
        row(1002, pass_rate_72b_tir="n/a"),
        row(1003, problem_type="converted_proof"),
        row(1004, expected_answer=""),
        row(1005, generated_solution="<think> on and on"),
        row(1006, generated_solution="<think></think> "),
        row(1007),
        row(3, generated_solution="another"),
    ]
    split = split_omr([*good, *bad], benchmark_texts={normal_text(row(1007)["problem"])})
    assert split.left == {
        "pass rate out of bounds": 2,
        "no pass rate": 1,
        "problem_type converted_proof": 1,
        "no expected answer": 1,
        "thinking that never ends": 1,
        "no solution after the thinking": 1,
        "in a benchmark": 1,
        "another solution of a problem above": 1,
    }
    assert len(split.training) + len(split.heldout) == 312


def test_too_few_or_other_rows_are_refused() -> None:
    with pytest.raises(UserError, match="311 problems are left of 311 rows, but 312 are needed"):
        split_omr([row(number) for number in range(311)])
    with pytest.raises(UserError, match="row 1 is not in the columns of OpenMathReasoning; they are problem, answer"):
        split_omr([{"problem": "p", "answer": "1"}])
