"""The rule for learning rates, worked by hand; the file of a sweep and its tables."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from sdbench.leaderboards.render.tuning import print_tuning, rates_summary, render_tuning_markdown
from sdbench.leaderboards.tuning import (
    CellStatus,
    RateGrid,
    TuningCell,
    best_rate,
    half_decade_step,
    is_half_decade,
    lies_at_edge,
    next_rate,
    rate_scores,
    rule_in_words,
)
from sdbench.leaderboards.tuning_file import (
    GridRecord,
    TuningFile,
    ValidationRecord,
    build_tuning,
    cost_of,
    next_cells,
    read_tuning,
)
from sdbench.leaderboards.validation import StratumOutcomes, ValidationScore, validation_score
from sdbench.tasks.errors import UserError
from sdbench.tasks.outcome import Outcome

GRID = RateGrid(start=(1e-4, 3e-4, 1e-3), lowest=1e-5, highest=1e-2)
RIGHT, WRONG, CUT, UNSURE = Outcome.CORRECT, Outcome.WRONG, Outcome.TRUNCATED, Outcome.UNGRADED


def score(macro: float) -> ValidationScore:
    return ValidationScore(
        macro=macro,
        groups={"trained": macro + 0.1, "deeper": macro - 0.2},
        strata={"a": macro},
        samples=40,
        completion_tokens=1000,
        ungraded=0,
    )


def cell(rate: float, seed: int, macro: float | None, *, name: str = "c", status: CellStatus = "scored") -> TuningCell:
    return TuningCell(
        condition=name,
        learning_rate=rate,
        seed=seed,
        status=status,
        steps=2,
        rollouts=64,
        student_tokens=640,
        teacher_tokens=None if macro is None else 1280,
        validation=None if macro is None else score(macro),
    )


def cells(table: dict[float, tuple[float | None, ...]], name: str = "c") -> list[TuningCell]:
    return [
        cell(rate, 1000 + index, macro, name=name, status="scored" if macro is not None else "diverged")
        for rate, macros in table.items()
        for index, macro in enumerate(macros)
    ]


def test_validation_score_by_hand() -> None:
    strata = [
        StratumOutcomes(name="sum_1", group="trained", outcomes=((RIGHT, WRONG), (RIGHT, RIGHT))),  # 0.75
        StratumOutcomes(name="sum_2", group="trained", outcomes=((WRONG, CUT), (RIGHT, WRONG))),  # 0.25
        StratumOutcomes(name="sum_3", group="deeper", outcomes=((WRONG, WRONG), (RIGHT, WRONG))),  # 0.25
    ]
    found = validation_score(strata, completion_tokens=7)
    assert found.macro == pytest.approx((0.75 + 0.25 + 0.25) / 3)
    assert found.groups == {"trained": 0.5, "deeper": 0.25}
    assert (found.samples, found.completion_tokens, found.ungraded) == (12, 7, 0)


def test_a_score_with_too_many_ungraded_samples_is_undefined_never_lower() -> None:
    few = StratumOutcomes(name="s", group="", outcomes=((RIGHT, *[WRONG] * 98, UNSURE),))
    assert validation_score([few], completion_tokens=0).macro == pytest.approx(1 / 99)
    many = StratumOutcomes(name="s", group="", outcomes=((RIGHT, *[WRONG] * 97, UNSURE, UNSURE),))
    assert validation_score([many], completion_tokens=0).macro is None
    unjudged = StratumOutcomes(name="t", group="", outcomes=((UNSURE,),))
    large = StratumOutcomes(name="s", group="", outcomes=((RIGHT,) * 200,))
    assert validation_score([large, unjudged], completion_tokens=0).macro is None
    with pytest.raises(ValueError, match="at least one stratum"):
        validation_score([], completion_tokens=0)


def test_half_decade_grid() -> None:
    assert [is_half_decade(rate) for rate in (1e-4, 3e-4, 1.0, 30.0, 2e-4, 3.1e-4, 0.0, -1e-3)] == [
        True,
        True,
        True,
        True,
        False,
        False,
        False,
        False,
    ]
    up = [1e-5]
    for _ in range(9):
        up.append(half_decade_step(up[-1], up=True))
    assert up == [1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1]
    assert [half_decade_step(rate, up=False) for rate in up[1:]] == up[:-1]
    with pytest.raises(ValueError, match=r"0\.0002 is not"):
        half_decade_step(2e-4, up=True)


def test_the_mean_over_seeds_decides_and_not_the_best_seed() -> None:
    scores = rate_scores(cells({1e-4: (0.5, 0.5), 3e-4: (0.9, 0.2), 1e-3: (0.56, 0.56)}))
    assert [s.macro for s in scores] == pytest.approx([0.5, 0.55, 0.56])
    assert best_rate(scores) == 1e-3
    assert scores[1].group("deeper") == pytest.approx(0.35)


def test_ties_go_to_the_smaller_rate() -> None:
    # 0.1 + 0.2 and 0.3 differ in the last bit; they are one value all the same.
    scores = rate_scores(cells({1e-4: (0.1, 0.2), 3e-4: (0.0, 0.30000000000000004), 1e-3: (0.1, 0.1)}))
    assert best_rate(scores) == 1e-4


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({1e-4: (0.1, 0.1), 3e-4: (0.2, 0.2), 1e-3: (0.1, 0.1)}, None),
        ({1e-4: (0.1, 0.1), 3e-4: (0.2, 0.2), 1e-3: (0.3, 0.3)}, 3e-3),
        ({1e-4: (0.3, 0.3), 3e-4: (0.2, 0.2), 1e-3: (0.1, 0.1)}, 3e-5),
        # All alike: the smallest is chosen, so the grid goes on below it.
        ({1e-4: (0.2, 0.2), 3e-4: (0.2, 0.2), 1e-3: (0.2, 0.2)}, 3e-5),
        # The largest has the best seed but diverged in the other: the edge is not the best, nothing is added.
        ({1e-4: (0.1, 0.1), 3e-4: (0.2, 0.2), 1e-3: (0.9, None)}, None),
        ({1e-4: (None, None), 3e-4: (None, None), 1e-3: (None, None)}, 3e-5),
        ({1e-5: (0.3, 0.3), 3e-5: (0.2, 0.2)}, None),
        ({3e-3: (0.1, 0.1), 1e-2: (0.2, 0.2)}, None),
        ({1e-5: (None, 0.9), 3e-5: (None, None)}, None),
        # A single value is both edges: below first, then above.
        ({1e-4: (0.1, 0.1)}, 3e-5),
        ({1e-5: (0.1, 0.1)}, 3e-5),
    ],
)
def test_extension_of_the_grid(table: dict[float, tuple[float | None, ...]], expected: float | None) -> None:
    assert next_rate(rate_scores(cells(table)), GRID) == expected


def test_the_whole_walk_ends_where_the_best_is_inside() -> None:
    value = {3e-5: 0.1, 1e-4: 0.2, 3e-4: 0.3, 1e-3: 0.4, 3e-3: 0.5, 1e-2: 0.45}
    tried = {rate: (value[rate],) * 2 for rate in GRID.start}
    while (rate := next_rate(rate_scores(cells(tried)), GRID)) is not None:
        tried[rate] = (value[rate],) * 2
    assert list(tried) == [1e-4, 3e-4, 1e-3, 3e-3, 1e-2]
    assert best_rate(rate_scores(cells(tried))) == 3e-3
    assert not lies_at_edge(rate_scores(cells(tried)))


def test_cells_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ValueError, match="several conditions: a, b"):
        rate_scores([cell(1e-4, 0, 0.1, name="a"), cell(1e-4, 1, 0.1, name="b")])
    with pytest.raises(ValueError, match="seed 0 stands twice"):
        rate_scores([cell(1e-4, 0, 0.1), cell(1e-4, 0, 0.2)])
    with pytest.raises(ValueError, match="same seeds"):
        rate_scores([cell(1e-4, 0, 0.1), cell(3e-4, 1, 0.2)])
    with pytest.raises(ValueError, match="cannot have the validation score"):
        cell(1e-4, 0, 0.3, status="diverged")
    with pytest.raises(ValueError, match="cannot have the validation score"):
        cell(1e-4, 0, None, status="scored")


RECORD = GridRecord(start=GRID.start, lowest=1e-5, highest=1e-2, seeds=(1000, 1001))
TABLES = {
    "first": {1e-4: (0.5, 0.5), 3e-4: (0.6, 0.62), 1e-3: (0.4, None)},
    "a_very_long_condition_name": {
        rate: (value, value) for rate, value in {1e-3: 0.1, 3e-4: 0.2, 1e-4: 0.3, 3e-5: 0.4, 1e-5: 0.5}.items()
    },
}


def tuning() -> TuningFile:
    return build_tuning(
        recipe="r",
        base_digest="b",
        grid=RECORD,
        validation=ValidationRecord(problems={"a": 10}, k=4, sampling={"temperature": 1.0}, data_lock="l"),
        base=score(0.3),
        conditions={name: {} for name in TABLES},
        cells=[c for name, table in TABLES.items() for c in cells(table, name)],
    )


def test_the_file_of_a_sweep_comes_back_and_is_checked(tmp_path: Path) -> None:
    made = tuning()
    assert made.choices["first"].learning_rate == 3e-4
    assert made.choices["first"].macro == pytest.approx(0.61)
    assert not made.choices["first"].at_edge
    assert made.choices["a_very_long_condition_name"].learning_rate == 1e-5
    assert made.choices["a_very_long_condition_name"].at_edge
    # 6 + 10 trainings of 64 rollouts; the one that diverged has no teacher tokens and no score.
    assert (made.cost.trainings, made.cost.rollouts, made.cost.teacher_tokens) == (16, 1024, 15 * 1280)
    assert made.cost.validation_samples == 15 * 40
    assert made.cost_of("first").trainings == 6
    assert cost_of([]).rollouts == 0
    path = tmp_path / "tuning.json"
    path.write_text(made.model_dump_json())
    assert read_tuning(path) == made

    data = json.loads(made.model_dump_json())
    for change, message in (
        ({"format_version": 2}, "has format version 2"),
        ({"extra": 1}, "is broken at extra"),
        ({"cells": data["cells"][1:]}, "rate 0.0001, seed 1000 is missing"),
        ({"cells": [*data["cells"], {**data["cells"][0], "seed": 7}]}, "not all trained with the same seeds"),
        ({"cells": data["cells"][:6] + data["cells"][8:]}, "rate 1e-05, seed 1000 is missing"),
        ({"choices": {**data["choices"], "first": {**data["choices"]["first"], "learning_rate": 1e-4}}}, "'first'"),
    ):
        path.write_text(json.dumps({**data, **change}))
        with pytest.raises(UserError, match=message):
            read_tuning(path)
    path.write_text("{")
    with pytest.raises(UserError, match="is not JSON"):
        read_tuning(path)
    with pytest.raises(UserError, match="No such file"):
        read_tuning(tmp_path / "absent.json")


def test_an_unfinished_sweep_makes_no_file() -> None:
    with pytest.raises(ValueError, match="rate 3e-05, seed 1000 is missing"):
        build_tuning(
            recipe="r",
            base_digest="b",
            grid=RECORD,
            validation=tuning().validation,
            base=score(0.3),
            conditions={"c": {}},
            cells=cells({1e-4: (0.3, 0.3), 3e-4: (0.2, 0.2), 1e-3: (0.1, 0.1)}),
        )


@pytest.mark.parametrize(("encoding", "width"), [("utf-8", 80), ("ascii", 80), ("utf-8", 60)])
def test_the_table_fits_eighty_columns_and_tells_divergence(encoding: str, width: int) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    print_tuning(tuning(), Console(file=stream, width=width))
    stream.seek(0)
    text = stream.read()
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "base 30.0 40.0 10.0" in lines
    assert "1 training did not end" in text
    assert "first 0.0001 50.0 60.0 30.0 50.0 50.0" in lines
    assert "0.0003 61.0 71.0 41.0 60.0 62.0 chosen" in lines
    assert any(line.startswith("0.001 undef. undef. undef. 40.0 diverged out") for line in lines)
    assert "chosen*" in text
    assert "* The best rate lies at a bound" in text
    assert "all 16 1,024 10.2k 19.2k 15.0k" in lines


def test_markdown_escapes_and_marks_the_choice() -> None:
    text = render_tuning_markdown(tuning())
    assert "| first | **0.0003** | 61.0 | 71.0 | 41.0 | 60.0 62.0 | chosen |" in text
    assert "| first | 0.001 | undef. | undef. | undef. | 40.0 diverged | out |" in text
    assert "| all | 16 | 1,024 |" in text
    hostile = build_tuning(
        recipe="r|x",
        base_digest="b",
        grid=RECORD,
        validation=tuning().validation,
        base=score(0.3),
        conditions={"<b>": {}},
        cells=cells({1e-4: (0.1, 0.1), 3e-4: (0.2, 0.2), 1e-3: (0.1, 0.1)}, "<b>"),
    )
    page = render_tuning_markdown(hostile)
    assert "<b>" not in page
    assert "r\\|x" in page


def test_what_the_board_says_of_learning_rates() -> None:
    assert rates_summary({"a": 3e-4}, tuning=None) == ["Learning rates, not chosen by `sdbench tune`: a 0.0003."]
    rates = {"first": 3e-4, "a_very_long_condition_name": 1e-5, "other": 0.5}
    told = rates_summary(rates, tuning=tuning())
    assert told[0] == "Learning rates: first 0.0003, a_very_long_condition_name 1e-05, other 0.5."
    assert "16 trainings, 1,024 rollouts, 10.2k student and 19.2k teacher tokens" in told[1]
    assert told[2:] == [
        "But for a_very_long_condition_name the best rate lies at the bound of the grid.",
        "But other was not tuned.",
    ]
    assert "But first was trained at 0.5, and the sweep chose 0.0003." in rates_summary({"first": 0.5}, tuning=tuning())


def test_the_rule_names_what_it_depends_on() -> None:
    words = rule_in_words(GRID, seeds=(1000, 1001))
    for part in ("0.0001, 0.0003, 0.001", "1000, 1001", "1e-05", "0.01", "smaller rate", "diverged"):
        assert part in words


def test_what_is_trained_next_follows_from_the_cells() -> None:
    assert next_cells([], RECORD) == [(rate, seed) for rate in GRID.start for seed in (1000, 1001)]
    made = cells({1e-4: (0.3, 0.3), 3e-4: (0.2, 0.2), 1e-3: (0.1, 0.1)})
    assert next_cells(made[:3], RECORD) == [(3e-4, 1001), (1e-3, 1000), (1e-3, 1001)]
    assert next_cells(made, RECORD) == [(3e-5, 1000), (3e-5, 1001)]
    # Killed between the two seeds of an added rate.
    assert next_cells([*made, cell(3e-5, 1000, 0.2)], RECORD) == [(3e-5, 1001)]
    assert next_cells([*made, *cells({3e-5: (0.2, 0.2)})], RECORD) == []
