"""A sweep of learning rates on a terminal (legible at 80 columns, without colour) and as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from sdbench.leaderboards.render.markdown import escape
from sdbench.leaderboards.render.text import clean, count, percent
from sdbench.leaderboards.tuning import RateScore
from sdbench.leaderboards.tuning_file import Cost, TuningFile

_WIDTH = 80
_MAX_NAME = 22
COST_HEADS = ("trainings", "rollouts", "student tokens", "teacher tokens", "validation tokens")


def print_tuning(tuning: TuningFile, console: Console) -> None:
    """Print the sweep. A console narrower than 80 columns gets the layout of 80."""
    ascii_only = not console.encoding.lower().startswith("utf")
    console.print(_Page(tuning, max(_WIDTH, console.width), ascii_only), crop=False)


class _Page:
    def __init__(self, tuning: TuningFile, width: int, ascii_only: bool) -> None:
        self._tuning, self._width, self._ascii_only = tuning, width, ascii_only

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from console.render(self._content(), options.update(width=self._width))

    def _content(self) -> RenderableType:
        tuning = self._tuning
        return Group(
            Text(self._clean(title(tuning)), style="bold"),
            Text(),
            self._rates(),
            Text(),
            Text("What the sweep spent", style="bold"),
            self._costs(),
            Text(),
            *[Text(self._clean(note), style="dim") for note in notes(tuning)],
        )

    def _clean(self, text: str) -> str:
        return clean(text, ascii_only=self._ascii_only)

    def _rates(self) -> Table:
        groups = group_names(self._tuning)
        table = _plain_table()
        longest = max(Text(self._clean(name)).cell_len for name in ("condition", *self._tuning.conditions))
        table.add_column("condition", width=min(longest, _MAX_NAME), overflow="fold")
        table.add_column("rate", justify="right", no_wrap=True)
        table.add_column("macro", justify="right", no_wrap=True)
        for name in groups:
            table.add_column(self._clean(name), justify="right", no_wrap=True)
        table.add_column("by seed", overflow="fold")
        table.add_column("", overflow="fold")
        base = self._tuning.base
        table.add_row("base", "", percent(base.macro), *(percent(base.groups.get(name)) for name in groups), "", "")
        for condition in self._tuning.conditions:
            for index, score in enumerate(self._tuning.scores(condition)):
                chosen = score.learning_rate == self._tuning.choices[condition].learning_rate
                cells = [self._clean(condition) if index == 0 else "", f"{score.learning_rate:g}", percent(score.macro)]
                cells += [percent(score.group(name)) for name in groups]
                cells += [by_seed(score), self._clean(remark(self._tuning, condition, score))]
                table.add_row(*[Text(cell) for cell in cells], style="bold" if chosen else "")
        return table

    def _costs(self) -> Table:
        table = _plain_table()
        table.add_column("condition", max_width=_MAX_NAME, overflow="fold")
        for head in COST_HEADS:
            table.add_column(head.replace(" ", "\n"), justify="right", no_wrap=True)
        for name, cost in costs(self._tuning):
            table.add_row(Text(self._clean(name)), *cost_cells(cost))
        return table


def render_tuning_markdown(tuning: TuningFile) -> str:
    """The sweep as GitHub-flavoured Markdown; names from outside are escaped."""
    groups = group_names(tuning)
    heads = ["condition", "learning rate", "macro, %", *(f"{escape(name)}, %" for name in groups), "by seed, %", ""]
    base = [percent(tuning.base.macro), *(percent(tuning.base.groups.get(name)) for name in groups)]
    rows = [["base", "", *base, "", "not trained"]]
    for condition in tuning.conditions:
        for score in tuning.scores(condition):
            chosen = score.learning_rate == tuning.choices[condition].learning_rate
            rate = f"**{score.learning_rate:g}**" if chosen else f"{score.learning_rate:g}"
            values = [percent(score.macro), *(percent(score.group(name)) for name in groups), by_seed(score)]
            rows.append([escape(condition), rate, *values, escape(remark(tuning, condition, score))])
    spent = [[escape(name), *cost_cells(cost)] for name, cost in costs(tuning)]
    return (
        "\n\n".join(
            [
                f"## {escape(title(tuning))}",
                escape(tuning.rule),
                _markdown_table(heads, rows, text_columns=(0, len(heads) - 1)),
                "### What the sweep spent",
                _markdown_table(["condition", *COST_HEADS], spent, text_columns=(0,)),
                *[escape(note) for note in notes(tuning)[1:]],
            ]
        )
        + "\n"
    )


def rates_summary(rates: Mapping[str, float], *, tuning: TuningFile | None) -> list[str]:
    """Sentences about the learning rates that conditions were trained with, and the sweep behind them, if any."""
    listed = ", ".join(f"{name} {rate:g}" for name, rate in rates.items())
    if tuning is None:
        return [f"Learning rates, not chosen by `sdbench tune`: {listed}."]
    cost = tuning.cost
    sentences = [
        f"Learning rates: {listed}.",
        f"They were chosen by one rule on validation problems, at the cost of {count(cost.trainings)} trainings, "
        f"{count(cost.rollouts)} rollouts, {count(cost.student_tokens)} student and {count(cost.teacher_tokens)} "
        "teacher tokens: see tuning.md.",
    ]
    for name, rate in rates.items():
        choice = tuning.choices.get(name)
        if choice is None:
            sentences.append(f"But {name} was not tuned.")
        elif choice.learning_rate != rate:
            chosen = "none" if choice.learning_rate is None else f"{choice.learning_rate:g}"
            sentences.append(f"But {name} was trained at {rate:g}, and the sweep chose {chosen}.")
        elif choice.at_edge:
            sentences.append(f"But for {name} the best rate lies at the bound of the grid.")
    return sentences


def title(tuning: TuningFile) -> str:
    """What the table holds."""
    record = tuning.validation
    return (
        f"Learning rates of recipe {tuning.recipe}: {sum(record.problems.values())} validation problems of "
        f"{len(record.problems)} strat{'um' if len(record.problems) == 1 else 'a'}, avg@{record.k}, %"
    )


def notes(tuning: TuningFile) -> list[str]:
    """The rule, and what the numbers leave out."""
    found = [tuning.rule]
    found += [
        f"No rate of {name} could be scored, so none is chosen."
        for name, choice in tuning.choices.items()
        if choice.learning_rate is None
    ]
    if any(choice.at_edge for choice in tuning.choices.values()):
        found.append("* The best rate lies at a bound that the grid may not pass.")
    unknown = sum(cell.teacher_tokens is None for cell in tuning.cells)
    if unknown:
        found.append(
            f"{unknown} training{'s' if unknown > 1 else ''} did not end: their last step and their teacher's tokens "
            "are not in the cost."
        )
    return found


def group_names(tuning: TuningFile) -> list[str]:
    """The groups of strata, in order; none where there is only one."""
    names = list(tuning.base.groups)
    return names if len(names) > 1 else []


def by_seed(score: RateScore) -> str:
    """The macro of each seed, ascending seeds; what became of it where it has none."""
    return " ".join(cell.status if cell.macro is None else percent(cell.macro) for cell in score.cells)


def remark(tuning: TuningFile, condition: str, score: RateScore) -> str:
    """What is to be known of a row: chosen or not, and where the grid was stopped."""
    choice = tuning.choices[condition]
    if score.learning_rate == choice.learning_rate:
        return "chosen*" if choice.at_edge else "chosen"
    return "out" if score.macro is None else ""


def costs(tuning: TuningFile) -> list[tuple[str, Cost]]:
    """The cost of each condition, and of all."""
    return [(name, tuning.cost_of(name)) for name in tuning.conditions] + [("all", tuning.cost)]


def cost_cells(cost: Cost) -> list[str]:
    """The numbers of one row of the cost table."""
    numbers = (cost.trainings, cost.rollouts, cost.student_tokens, cost.teacher_tokens, cost.validation_tokens)
    return [count(number) for number in numbers]


def _plain_table() -> Table:
    return Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim", show_edge=False)


def _markdown_table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, text_columns: Sequence[int]) -> str:
    rule = [" --- " if index in text_columns else " ---: " for index in range(len(heads))]
    lines = ["| " + " | ".join(heads) + " |", "|" + "|".join(rule) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)
