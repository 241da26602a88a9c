"""Heat maps as a figure: every feedback's row of coloured tokens above the next one's, one scale below them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont
from matplotlib.ft2font import FT2Font
from matplotlib.patches import Rectangle

from sdbench.leaderboards.render.heatmap import HeatScale, HeatTrace, captions, mark_legend, row_name, shown_token

FigureFormat = Literal["png", "svg"]
FONT = "DejaVu Sans Mono"
# Widths in characters of the font, heights in lines.
_WIDTH, _GUTTER = 88, 2
_LINE_INCHES, _CHARACTER_INCHES = 0.235, 0.105
_SCALE_PIECES = 81
_SIZE, _SMALL = 9.0, 7.0


def heatmap_figure(traces: Sequence[HeatTrace], scale: HeatScale) -> Figure:
    """All traces on one figure. A cell's colour is ``scale.colour`` of its number, its ``gid`` ``row/token``."""
    height = sum(_trace_height(trace) for trace in traces) + 6
    figure = Figure(figsize=((_WIDTH + 2 * _GUTTER) * _CHARACTER_INCHES, height * _LINE_INCHES), dpi=150)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(-_GUTTER, _WIDTH + _GUTTER)
    axes.set_ylim(height, 0)
    axes.set_axis_off()
    top = 0.8
    for trace in traces:
        top = _draw_trace(axes, trace, scale, top)
    _draw_scale(axes, scale, mark_legend(traces), top)
    return figure


def render_figure(figure: Figure, file_format: FigureFormat) -> bytes:
    """The file's bytes; the same figure always gives the same bytes."""
    stream = io.BytesIO()
    metadata = {"Software": None} if file_format == "png" else {"Date": None, "Creator": None}
    with matplotlib.rc_context({"svg.hashsalt": "sdbench", "svg.fonttype": "path"}):
        figure.savefig(stream, format=file_format, metadata=metadata)
    return stream.getvalue()


def _blocks(trace: HeatTrace) -> list[list[tuple[int, float, float, str]]]:
    """Lines of cells: token, left end, width, shown text."""
    blocks: list[list[tuple[int, float, float, str]]] = []
    left = float(_WIDTH)
    for at, text in enumerate(trace.texts):
        shown = drawable(shown_token(text, ascii_only=False))
        width = max(2.0, len(shown) + 0.8)
        if left + width > _WIDTH:
            blocks.append([])
            left = float(_GUTTER)
        blocks[-1].append((at, left, width, shown))
        left += width
    return blocks


def _trace_height(trace: HeatTrace) -> float:
    return len(captions(trace)) + len(_blocks(trace)) * (len(trace.rows) + 1.2) + 0.8


def _draw_trace(axes: Axes, trace: HeatTrace, scale: HeatScale, top: float) -> float:
    for index, line in enumerate(captions(trace)):
        _write(axes, 0, top, line, weight="normal" if index else "bold")
        top += 1
    marks = trace.marks()
    for block in _blocks(trace):
        for at, left, width, _ in block:
            if marks[at]:
                _write(axes, left + width / 2, top, marks[at], size=_SMALL, colour="#404040", centre=True)
        top += 0.5
        for index, row in enumerate(trace.rows):
            _write(axes, 0, top + 0.5, row_name(index))
            for at, left, width, shown in block:
                value = row.values[at]
                axes.add_patch(
                    Rectangle(
                        (left, top + 0.03), width - 0.06, 0.94, color=scale.colour(value), lw=0, gid=f"{index}/{at}"
                    )
                )
                _write(axes, left + width / 2, top + 0.5, shown, colour=scale.ink(value), centre=True)
                if trace.errors is not None and trace.errors[at]:
                    axes.add_patch(
                        Rectangle((left, top + 0.03), width - 0.06, 0.94, fill=False, edgecolor="#000000", lw=1.4)
                    )
            top += 1
        top += 0.7
    return top + 0.8


def _draw_scale(axes: Axes, scale: HeatScale, marks: str, top: float) -> None:
    width = 48 / _SCALE_PIECES
    for at in range(_SCALE_PIECES):
        value = scale.limit * (2 * at / (_SCALE_PIECES - 1) - 1)
        axes.add_patch(Rectangle((_GUTTER + at * width, top), width * 1.05, 0.7, color=scale.colour(value), lw=0))
    for part in (-1.0, -0.5, 0.0, 0.5, 1.0):
        value = part * scale.limit
        label = f"{value:+g}" if part else "0"
        _write(axes, _GUTTER + 24 * (1 + part), top + 1.2, label, size=_SMALL, centre=True)
    _write(axes, _GUTTER + 50, top + 0.35, "token advantage, nats")
    _write(axes, 0, top + 2.2, "Teacher minus student log-probability; beyond the ends: as the end.", size=_SMALL)
    _write(axes, 0, top + 3.0, marks.replace("!: ", "Boxed: "), size=_SMALL)


def _write(
    axes: Axes,
    x: float,
    y: float,
    text: str,
    *,
    size: float = _SIZE,
    colour: str = "#000000",
    weight: str = "normal",
    centre: bool = False,
) -> None:
    axes.text(
        x,
        y,
        drawable(text),
        fontsize=size,
        color=colour,
        fontweight=weight,
        fontfamily=FONT,
        horizontalalignment="center" if centre else "left",
        verticalalignment="center",
        # Model text is text: dollars begin no formula.
        parse_math=False,
    )


def drawable(text: str) -> str:
    """Text that the figure's font has a picture for; other characters as escapes."""
    known = _characters()
    return "".join(
        character if ord(character) in known else character.encode("unicode_escape").decode() for character in text
    )


@lru_cache(maxsize=1)
def _characters() -> frozenset[int]:
    return frozenset(FT2Font(findfont(FONT)).get_charmap())
