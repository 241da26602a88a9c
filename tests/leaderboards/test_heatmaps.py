"""Heat maps: each token's colour and digit equal its number, in the terminal, on the page and in the figure."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle
from rich.console import Console

from sdbench.leaderboards.render.heatmap import HeatScale, HeatTrace, heat_traces, print_heatmaps, scale_of
from sdbench.leaderboards.render.heatmap_figure import drawable, heatmap_figure, render_figure
from sdbench.leaderboards.render.heatmap_page import render_heatmap_page
from sdbench.tasks.errors import UserError
from sdbench.tasks.outcome import Outcome
from sdbench.tasks.token_records import (
    OUTSIDE,
    RecordHeader,
    ScoredTokens,
    TeacherGeneration,
    TokenClass,
    TokenMark,
    TokenRecord,
    TokenRole,
)

TEXTS = ("a", "=", "3", ";", " <b>$x$", "\n", "\u202e\u6f22", "<eos>")
FIRST = (0.0, 0.5, -1.9, 0.04, 1.0, -0.3, 2.5, -2.5)
SECOND = (0.1, -0.1, 0.6, 0.0, -1.2, 2.0, 0.2, 0.3)


def header(name: str) -> RecordHeader:
    return RecordHeader(
        condition=name,
        feedback=name,
        settings={},
        student="s",
        teacher="live",
        temperature=1.0,
        sampling_temperature=1.0,
        divergence="reverse_kl",
        prompt_digest="p",
        problems=1,
        samples=1,
        seed=0,
    )


def record(
    values: Sequence[float] | None,
    *,
    problem: str = "p1",
    sample: int = 0,
    ids: Sequence[int] | None = None,
    error_at: int | None = 2,
    texts: Sequence[str] = TEXTS,
) -> TokenRecord:
    scored = None
    if values is not None:
        marks = tuple(
            TokenMark(
                TokenClass.FIRST_ERROR if at == error_at else TokenClass.CORRECT,
                TokenRole.OTHER,
                at == 0,
                at == error_at,
            )
            for at in range(len(values))
        )
        scored = ScoredTokens(
            token_ids=tuple(range(len(values)) if ids is None else ids),
            token_texts=tuple(texts),
            student_logprobs=(-4.0,) * len(values),
            teacher_logprobs=tuple(-4.0 + value for value in values),
            divergences=(0.25,) * len(values),
            student_entropies=(0.5,) * len(values),
            marks=marks,
            teacher_entropies=(0.75,) * len(values),
            steps=(0, 0, 0, 0, 1, 1, 1, OUTSIDE)[: len(values)],
        )
    return TokenRecord(
        problem_id=problem,
        sample_index=sample,
        outcome=Outcome.WRONG,
        context=None if values is None else "note",
        unbuilt="no peer was correct" if values is None else None,
        tokens=scored,
        generation=TeacherGeneration(alone=Outcome.WRONG, with_context=None, text=None),
    )


def traces() -> list[HeatTrace]:
    found = [(header("one"), [record(FIRST)]), (header("two"), [record(SECOND)]), (header("three"), [record(None)])]
    return heat_traces(found)


def test_the_scale_is_symmetric_light_in_the_middle_and_shared() -> None:
    scale = HeatScale(2.0)
    assert scale.colour(0.0) == "#f7f7f7"
    assert (scale.colour(-2.0), scale.colour(2.0)) == ("#b35806", "#0571b0")
    assert (scale.colour(-9.0), scale.colour(9.0)) == (scale.colour(-2.0), scale.colour(2.0))
    # Half way between two stops.
    assert scale.colour(0.5) == "#c4deea"
    lightness = [[int(scale.colour(sign * v)[1:3], 16) for v in (0.25, 1.0, 2.0)] for sign in (-1, 1)]
    assert all(len(set(of_side)) == 3 for of_side in lightness)
    assert scale_of(traces()).limit == 4.0  # 2 % of 16 tokens is none, and the largest is 2.5
    assert scale_of([]).limit == 0.25


@pytest.mark.parametrize(
    ("value", "digit"),
    [(0.0, "·"), (0.11, "·"), (0.112, "+1"), (-0.112, "-1"), (1.0, "+5"), (-1.0, "-5"), (2.0, "+9"), (-7.0, "-9")],
)
def test_digits_are_ninths_of_the_limit(value: float, digit: str) -> None:
    assert HeatScale(2.0).digit(value) == digit


def test_ink_stands_out_from_every_colour() -> None:
    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return float(np.dot([0.2126, 0.7152, 0.0722], linear))

    scale = HeatScale(1.0)
    for value in np.linspace(-1, 1, 201):
        darker, lighter = sorted((luminance(scale.colour(value)), luminance(scale.ink(value))))
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5, value


def lines(encoding: str = "utf-8", width: int = 80) -> list[str]:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    found = traces()
    print_heatmaps(found, scale_of(found), Console(file=stream, width=width))
    stream.seek(0)
    return stream.read().splitlines()


def test_the_terminal_says_it_without_colour() -> None:
    shown = lines()
    assert "\x1b" not in "".join(shown)
    for expected in ("A = one", "B = two", "no row for three: no peer was correct"):
        assert expected in shown
    rows = [line.split() for line in shown if re.match(r"^[AB]    ", line)]
    scale = HeatScale(4.0)
    assert rows[0] == ["A", *(scale.digit(value) for value in FIRST)]
    assert rows[1] == ["B", *(scale.digit(value) for value in SECOND)]
    (steps,) = [line for line in shown if line.startswith("step ") and ":" not in line]
    assert steps.split() == ["step", "1", "!", "2"]
    tokens = next(line for line in shown if line.strip().startswith("a "))
    assert tokens.split() == ["a", "=", "3", ";", "␣<b>$x$", "\\n", "\\u202e漢", "<eos>"]
    # Each mark stands below its token, right-aligned.
    assert tokens.index("3") == steps.index("!")
    assert any("nats" in line for line in shown)


def test_an_ascii_terminal_gets_ascii_and_a_narrow_one_80_columns() -> None:
    assert all(line.isascii() for line in lines(encoding="ascii"))
    assert lines(width=20) == lines(width=80)


def test_colours_are_sent_to_a_terminal_that_has_them() -> None:
    found = traces()
    console = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor", width=80)
    print_heatmaps(found, HeatScale(2.5), console)
    red, green, blue = (int(HeatScale(2.5).colour(-1.9)[at : at + 2], 16) for at in (1, 3, 5))
    assert f"48;2;{red};{green};{blue}" in console.file.getvalue()  # type: ignore[attr-defined]


class Cells(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.cells: list[tuple[dict[str, str], str]] = []
        self.tags: list[str] = []
        self._inside: dict[str, str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        given = {name: value or "" for name, value in attrs}
        self._inside = given if "data-advantage" in given else None

    def handle_data(self, data: str) -> None:
        if self._inside is not None:
            self.cells.append((self._inside, data))
            self._inside = None


def test_each_cell_of_the_page_has_the_colour_and_digit_of_its_number() -> None:
    found = traces()
    scale = scale_of(found)
    parsed = Cells()
    page = render_heatmap_page(found, scale, subject="<script>alert(1)</script>")
    parsed.feed(page)
    assert len(parsed.cells) == 2 * len(TEXTS)
    for given, text in parsed.cells:
        value = (FIRST, SECOND)[int(given["data-row"])][int(given["data-token"])]
        assert float(given["data-advantage"]) == pytest.approx(value)
        assert f"background:{scale.colour(value)}" in given["style"]
        assert text == scale.digit(value)
        assert f"A {value:+.3f} nats" in given["title"]
    assert "script" not in parsed.tags
    assert "b" not in parsed.tags
    assert "\u202e" not in page
    assert "&lt;b&gt;$x$" in page
    assert "http" not in page.replace("http-equiv", "")


def test_each_cell_of_the_figure_has_the_colour_of_its_number() -> None:
    found = traces()
    scale = scale_of(found)
    figure = heatmap_figure(found, scale)
    cells = {patch.get_gid(): patch for patch in figure.axes[0].patches if patch.get_gid()}
    assert len(cells) == 2 * len(TEXTS)
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())
    for row, values in enumerate((FIRST, SECOND)):
        for at, value in enumerate(values):
            patch = cells[f"{row}/{at}"]
            assert isinstance(patch, Rectangle)
            assert to_hex(patch.get_facecolor()) == scale.colour(value)
            box = patch.get_window_extent()
            # Near a corner, where neither text nor the frame of an error lies.
            x, y = int(box.x0 + 5), int(pixels.shape[0] - box.y0 - 6)
            assert "#" + "".join(f"{part:02x}" for part in pixels[y, x, :3]) == scale.colour(value), (row, at)


def test_the_same_traces_give_the_same_bytes() -> None:
    found = traces()
    for file_format in ("png", "svg"):
        first, second = (render_figure(heatmap_figure(found, HeatScale(2.0)), file_format) for _ in range(2))  # type: ignore[arg-type]
        assert first == second
        assert first


def test_what_the_font_has_no_picture_of_is_escaped() -> None:
    assert drawable("a漢") == "a\\u6f22"


def test_wrong_traces_are_chosen_first_and_named_ones_are_found() -> None:
    right = record(SECOND, problem="p0", error_at=None)
    bare = record(None, problem="p2")
    records = [right, bare, record(FIRST, sample=0), record(FIRST, sample=1)]
    found = [(header("one"), records)]
    assert [trace.name for trace in heat_traces(found, count=9)] == ["p1/0", "p1/1", "p0/0"]
    assert [trace.name for trace in heat_traces(found, names=["p0", "p1/1"])] == ["p0/0", "p1/1"]
    assert heat_traces(found, count=0) == []
    with pytest.raises(UserError, match="--trace p9/0: no such rollout"):
        heat_traces(found, names=["p9/0"])
    with pytest.raises(UserError, match=r"--trace p2/0 has no token with a context \(no peer was correct\)"):
        heat_traces(found, names=["p2"])


def test_conditions_on_different_rollouts_are_refused() -> None:
    found = [(header("one"), [record(FIRST)]), (header("two"), [record(SECOND, ids=range(1, 9))])]
    with pytest.raises(UserError, match="two was measured on another rollout than one"):
        heat_traces(found)
