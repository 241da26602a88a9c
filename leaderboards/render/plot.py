"""Several curves in one chart of characters: a mark for each, axes with numbers, no colour needed."""

from __future__ import annotations

import itertools
import math
import string
from collections.abc import Sequence
from dataclasses import dataclass

from sdbench.leaderboards.render.intervals import Axis
from sdbench.leaderboards.render.text import count

# Told apart by shape in every font; a curve beyond them gets a letter, and they begin again after 34.
MARKS = "ox+*#@%&" + string.ascii_uppercase
_ROWS = 12
_X_TICKS = 5
_Y_TICKS = 6
_Y_STEPS_PERCENT = (2, 5, 10, 20)


@dataclass(frozen=True, kw_only=True)
class Series:
    """One curve: shares ``y`` over ascending ``x``, of the same length. An undefined ``y`` is no point."""

    name: str
    x: tuple[float, ...]
    y: tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True)
class _Lines:
    """The characters of the axes."""

    upright: str
    tick: str
    corner: str
    flat: str
    below: str
    path: str


_UNICODE = _Lines(upright="│", tick="┤", corner="└", flat="─", below="┬", path="·")
_ASCII = _Lines(upright="|", tick="+", corner="+", flat="-", below="+", path=".")


def draw_plot(series: Sequence[Series], *, x_label: str, y_label: str, width: int, ascii_only: bool) -> list[str]:
    """The chart, as lines of at most ``width`` characters; ``legend`` says which mark is whose.

    The y axis is in percent, the x axis begins at 0. Where points of several curves fall on one character, their number
    stands there (``!`` from ten on); paths between points are dotted. Nothing is drawn where no point is defined.

    Args:
        series: in the order of their marks.
        x_label: what was spent.
        y_label: what the curves show.
        width: of the whole, at least 40.
        ascii_only: whether the axes must be ASCII.
    """
    known = [value for one in series for value in one.y if value is not None]
    if not known:
        return []
    lines = _ASCII if ascii_only else _UNICODE
    axis = _y_axis(min(known), max(known))
    steps = round((axis.high - axis.low) / axis.step)
    rows_a_step = max(2, _ROWS // steps)
    labels = {index * rows_a_step: f"{100 * (axis.low + index * axis.step):.0f}" for index in range(steps + 1)}
    gutter = max(len(label) for label in labels.values()) + 3
    right = max(x for one in series for x in one.x)
    field = _field(
        series, axis=axis, height=steps * rows_a_step + 1, width=width - gutter, right=right, path=lines.path
    )
    drawn = [y_label]
    for row in reversed(range(len(field))):
        head = f"{labels.get(row, ''):>{gutter - 2}} {lines.tick if row in labels else lines.upright}"
        drawn.append((head + "".join(field[row])).rstrip())
    below, numbers = _x_axis(right, width=width - gutter, lines=lines)
    drawn.append(" " * (gutter - 1) + lines.corner + below)
    drawn.append((" " * gutter + numbers).rstrip())
    drawn.append(" " * gutter + f"{x_label:^{width - gutter}}".rstrip())
    return drawn


def legend(series: Sequence[Series], *, width: int) -> list[str]:
    """Every mark with its name, in lines of at most ``width`` characters as far as the names allow."""
    lines: list[str] = []
    for index, one in enumerate(series):
        entry = f"{mark(index)} {one.name}"
        if lines and len(lines[-1]) + 3 + len(entry) <= width:
            lines[-1] += f"   {entry}"
        else:
            lines.append(f"  {entry}")
    return lines


def mark(index: int) -> str:
    """The mark of the curve at this place."""
    return MARKS[index % len(MARKS)]


def _y_axis(low: float, high: float) -> Axis:
    """The finest axis in round percents that holds both shares with at most six steps."""
    for step in _Y_STEPS_PERCENT:
        bottom, top = math.floor(100 * low / step + 1e-9), math.ceil(100 * high / step - 1e-9)
        if top <= bottom:
            bottom, top = (bottom - 1, bottom) if bottom * step == 100 else (bottom, bottom + 1)
        if top - bottom <= _Y_TICKS:
            break
    return Axis(bottom * step / 100, top * step / 100, step / 100)


def _column(x: float, *, right: float, width: int) -> int:
    return round(x / right * (width - 1)) if right > 0 else 0


def _field(
    series: Sequence[Series], *, axis: Axis, height: int, width: int, right: float, path: str
) -> list[list[str]]:
    """Characters by row from below: paths first, marks over them."""
    field = [[" "] * width for _ in range(height)]
    at: dict[tuple[int, int], list[str]] = {}
    for index, one in enumerate(series):
        points = [(_column(x, right=right, width=width), y) for x, y in zip(one.x, one.y, strict=True) if y is not None]
        for column, y in points:
            at.setdefault((axis.column(y, height), column), []).append(mark(index))
        # An undefined value breaks the path: nothing is known between its neighbours.
        placed = [(_column(x, right=right, width=width), y) for x, y in zip(one.x, one.y, strict=True)]
        for (from_column, from_y), (to_column, to_y) in itertools.pairwise(placed):
            if from_y is None or to_y is None:
                continue
            for column in range(from_column + 1, to_column):
                y = from_y + (to_y - from_y) * (column - from_column) / (to_column - from_column)
                field[axis.column(y, height)][column] = path
    for (row, column), marks in at.items():
        together = len(set(marks))
        field[row][column] = marks[0] if together == 1 else str(together) if together < 10 else "!"
    return field


def _x_axis(right: float, *, width: int, lines: _Lines) -> tuple[str, str]:
    line, numbers = [lines.flat] * width, [" "] * width
    free = 0
    for tick in _ticks(right):
        column, label = _column(tick, right=right, width=width), count(tick)
        line[column] = lines.below
        start = min(width - len(label), max(0, column - len(label) // 2))
        if start >= free:
            numbers[start : start + len(label)] = label
            free = start + len(label) + 1
    return "".join(line), "".join(numbers)


def _ticks(right: float) -> list[float]:
    """0 and round numbers up to ``right``, at most six in all."""
    if right <= 0:
        return [0.0]
    power = 10.0 ** math.floor(math.log10(right / _X_TICKS))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power * _X_TICKS >= right * (1 - 1e-9))
    return [index * step for index in range(int(right / step + 1e-9) + 1)]
