"""Heat maps as a page that needs nothing but itself: no script, no font, no picture from elsewhere."""

from __future__ import annotations

import html
from collections.abc import Sequence

from sdbench.leaderboards.render.heatmap import (
    HeatScale,
    HeatTrace,
    captions,
    mark_legend,
    row_name,
    shown_token,
)
from sdbench.leaderboards.render.text import clean

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 68rem; padding: 0 1rem; color: #1a1a1a;
  background: #ffffff; }
h1 { font-size: 1.3rem; } h2 { font-size: 1.05rem; margin: 2rem 0 .3rem; } p { margin: .3rem 0; }
.trace { display: flex; flex-wrap: wrap; row-gap: .9rem; font-family: ui-monospace, monospace; margin-top: .6rem; }
.column { display: flex; flex-direction: column; text-align: center; margin-right: 1px; }
.names { position: sticky; left: 0; margin-right: .5rem; text-align: left; }
.column span { display: block; padding: 0 .28rem; min-width: 1.2rem; height: 1.5rem; line-height: 1.5rem;
  white-space: pre; box-sizing: border-box; }
.step { color: #595959; font-size: .72rem; } .error { outline: 2px solid #1a1a1a; outline-offset: -2px; }
.scale { display: flex; max-width: 34rem; margin: .6rem 0 0; } .scale span { flex: 1; height: 1.1rem; }
.ticks { display: flex; justify-content: space-between; max-width: 34rem; font-size: .8rem; }
@media print { body { margin: 0; } * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""
_SCALE_PIECES = 41


def render_heatmap_page(traces: Sequence[HeatTrace], scale: HeatScale, *, subject: str) -> str:
    """The whole page as HTML; every text that came from a model, a data set or a recipe is escaped.

    ``subject`` says which checkpoint it is of. A token's numbers stand in its tooltip and in ``data-advantage``.
    """
    title = f"Token advantages of {subject}"
    body = "\n".join(_trace(trace, scale) for trace in traces)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{_escaped(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{_escaped(title)}</h1>
{_legend(traces, scale)}
{body}
</body>
</html>
"""


def _escaped(text: str) -> str:
    return html.escape(clean(text), quote=True)


def _legend(traces: Sequence[HeatTrace], scale: HeatScale) -> str:
    values = [scale.limit * (2 * at / (_SCALE_PIECES - 1) - 1) for at in range(_SCALE_PIECES)]
    pieces = "".join(f'<span style="background:{scale.colour(value)}"></span>' for value in values)
    ticks = "".join(
        f"<span>{tick:+g}</span>" if tick else "<span>0 nats</span>"
        for tick in (-scale.limit, -scale.limit / 2, 0.0, scale.limit / 2, scale.limit)
    )
    lines = "".join(f"<p>{_escaped(line)}</p>" for line in (scale.legend(), mark_legend(traces)))
    return f'<div class="scale" aria-hidden="true">{pieces}</div>\n<div class="ticks">{ticks}</div>\n{lines}'


def _trace(trace: HeatTrace, scale: HeatScale) -> str:
    title, *lines = captions(trace)
    heads = "".join(f"<p>{_escaped(line)}</p>" for line in lines)
    names = ["", "step", *(row_name(index) for index in range(len(trace.rows)))]
    columns = ['<div class="column names">' + "".join(f"<span>{name}</span>" for name in names) + "</div>"]
    columns += [_column(trace, at, mark, scale) for at, mark in enumerate(trace.marks())]
    return f'<h2>{_escaped(title)}</h2>\n{heads}\n<div class="trace">\n' + "\n".join(columns) + "\n</div>"


def _column(trace: HeatTrace, at: int, mark: str, scale: HeatScale) -> str:
    text = html.escape(shown_token(trace.texts[at], ascii_only=False), quote=True)
    wrong = ' class="error"' if "!" in mark else ""
    cells = [f"<span{wrong}>{text}</span>", f'<span class="step">{mark}</span>']
    for index, row in enumerate(trace.rows):
        value = row.values[at]
        tip = f"{row_name(index)}, token {at + 1}: A {value:+.3f} nats; {row.notes[at]}"
        cells.append(
            f'<span style="background:{scale.colour(value)};color:{scale.ink(value)}" '
            f'data-row="{index}" data-token="{at}" data-advantage="{value:.6f}" title="{_escaped(tip)}">'
            f"{scale.digit(value)}</span>"
        )
    return '<div class="column">' + "".join(cells) + "</div>"
