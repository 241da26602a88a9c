from __future__ import annotations

import pytest

from sdbench.leaderboards.render.plot import MARKS, Series, draw_plot, legend, mark


def chart(*series: Series, width: int = 40, ascii_only: bool = True) -> list[str]:
    return draw_plot(series, x_label="rollouts", y_label="accuracy, %", width=width, ascii_only=ascii_only)


RISING = Series(name="rising", x=(0, 50, 100), y=(0.0, 0.25, 0.5))
FLAT = Series(name="flat", x=(0, 50, 100), y=(0.0, 0.1, 0.1))


def test_points_lie_where_the_axes_say_and_what_falls_together_is_counted() -> None:
    assert chart(RISING, FLAT) == [
        "accuracy, %",
        " 50 +                                 .o",
        "    |                             ....",
        " 40 +                          ...",
        "    |                       ...",
        " 30 +                   ....",
        "    |                .o.",
        " 20 +            ....",
        "    |         ...",
        " 10 +      ...    ....x................x",
        "    |  ...........",
        "  0 +2....",
        "    ++------+------+-----+------+------+",
        "     0     20     40    60     80    100",
        "                  rollouts",
    ]


def test_an_undefined_value_is_no_point_and_breaks_the_path() -> None:
    gap = Series(name="gap", x=(0, 50, 100), y=(1.0, None, 0.9))
    drawn = chart(gap)
    assert sum(line.count("o") for line in drawn[1:-1]) == 2
    assert not any("." in line for line in drawn)
    assert chart(Series(name="none", x=(0, 50), y=(None, None))) == []


@pytest.mark.parametrize("shares", [(0.0, 0.0), (1.0, 1.0), (0.31, 0.33), (0.0, 1.0), (0.62, 0.62)])
@pytest.mark.parametrize("right", [0.0, 7.0, 83.0, 2240.0, 1.2e6])
def test_any_range_fits_and_the_numbers_bound_it(shares: tuple[float, float], right: float) -> None:
    drawn = chart(Series(name="one", x=(0.0, right), y=shares), width=60, ascii_only=False)
    assert max(map(len, drawn)) <= 60
    numbers = [int(line.split()[0]) for line in drawn if "┤" in line]
    assert numbers[0] >= 100 * max(shares) - 1e-9
    assert numbers[-1] <= 100 * min(shares) + 1e-9
    assert 0 <= numbers[-1] < numbers[0] <= 100
    assert sum(line.count("o") for line in drawn[1:-1]) == len({(0.0, shares[0]), (right, shares[1])})
    assert drawn[-3].count("┬") <= 6


def test_every_condition_of_a_large_board_has_a_mark_of_its_own() -> None:
    assert len(set(MARKS)) == len(MARKS)
    assert not set(MARKS) & set("0123456789!.·")
    many = [Series(name=f"condition_{index}", x=(0.0, 1.0), y=(index / 20, 0.5)) for index in range(12)]
    drawn = "".join(chart(*many, width=80))
    assert all(mark(index) in drawn for index in range(12))
    assert "!" in drawn  # twelve end on one spot
    lines = legend(many, width=80)
    assert max(map(len, lines)) <= 80
    text = " ".join(lines).split()
    assert [text[index] for index in range(0, len(text), 2)] == [mark(index) for index in range(12)]
