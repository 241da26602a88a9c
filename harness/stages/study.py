"""``sdbench study``: every table and figure of the study that the run folders hold the numbers for.

Each section is built from the folders alone, so that the same folders always give the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, cast, get_args

from matplotlib.figure import Figure

from sdbench.harness.run_directory import RunDirectory, write_atomically, write_bytes_atomically, write_json
from sdbench.harness.stages.alignment import (
    PREDICTORS,
    alignment_of,
    conditions_of,
    foretold_of,
    layout_of,
    repeated_conditions,
    without_context,
)
from sdbench.harness.stages.phase import level_of, phase_of
from sdbench.leaderboards.alignment.predictors import Foretold, predictor_table
from sdbench.leaderboards.alignment.table import RunConditions
from sdbench.leaderboards.render.alignment import (
    alignment_to_json,
    predictors_to_json,
    render_alignment_markdown,
    render_predictors_markdown,
)
from sdbench.leaderboards.render.alignment_figures import cells_figure, effects_figure, predictors_figure
from sdbench.leaderboards.render.heatmap_figure import FigureFormat, render_figure
from sdbench.leaderboards.render.phase import phase_to_json, render_phase_markdown
from sdbench.leaderboards.render.phase_figures import phase_curves_figure, phase_map_figure
from sdbench.tasks.errors import UserError

FORMAT_VERSION = 1
PAGE, DATA = "study.md", "study.json"


@dataclass(frozen=True, kw_only=True)
class Section:
    """One part of the study.

    Attributes:
        name: its key in ``study.json``.
        markdown: its text and tables.
        data: the same as JSON values.
        figures: by file name without an ending.
    """

    name: str
    markdown: str
    data: dict[str, Any]
    figures: Mapping[str, Figure] = field(default_factory=dict)


@dataclass(frozen=True)
class StudiedRun:
    """A run folder and what it holds of its conditions, read when it is first asked for."""

    directory: RunDirectory

    @property
    def name(self) -> str:
        """Its folder's."""
        return self.directory.root.name

    @cached_property
    def conditions(self) -> RunConditions:
        """Scores and records of every condition."""
        return conditions_of(self.directory)


SectionBuilder = Callable[[Sequence[StudiedRun]], list[Section]]


def alignment_sections(runs: Sequence[StudiedRun]) -> list[Section]:
    """One section a run whose recipe varies alignment."""
    found = [
        (run.name, table)
        for run in runs
        if layout_of(run.directory) is not None and (table := alignment_of(run.directory, run.conditions)) is not None
    ]
    return [
        Section(
            name="alignment" if len(found) == 1 else f"alignment {name}",
            markdown=render_alignment_markdown(table, run=name),
            data=alignment_to_json(table),
            figures={
                f"{'alignment' if len(found) == 1 else f'alignment-{index}'}-{part}": figure
                for part, figure in (("cells", cells_figure(table)), ("effects", effects_figure(table)))
            },
        )
        for index, (name, table) in enumerate(found, start=1)
    ]


def predictor_sections(runs: Sequence[StudiedRun]) -> list[Section]:
    """One section over all runs together: what was measured before training, against the gain."""
    rows: list[Foretold] = []
    notes = []
    for run in runs:
        own = foretold_of(run.directory, run.conditions, run=run.name)
        rows += own
        left_out = without_context(run.directory, run.conditions)
        if left_out:
            notes.append(f"{run.name}: {', '.join(left_out)} show no context, or were not diagnosed, and are left out.")
        untold = [row.condition for row in own if row.gain is None]
        if untold:
            notes.append(f"{run.name}: {', '.join(untold)} have no gain, and are left out.")
    if not rows:
        return []
    repeated = repeated_conditions(rows)
    if repeated:
        notes.append(f"In several runs, each counted: {', '.join(repeated)}.")
    found = predictor_table(rows, names=list(PREDICTORS))
    return [
        Section(
            name="predictors",
            markdown=render_predictors_markdown(found, rows, meanings=PREDICTORS, notes=notes),
            data={**predictors_to_json(found, rows), "notes": notes},
            figures={"predictors": predictors_figure(found, rows, meanings=PREDICTORS)},
        )
    ]


def phase_sections(runs: Sequence[StudiedRun]) -> list[Section]:
    """The map over all runs that are levels of one recipe."""
    found = phase_of([run.directory for run in runs])
    if found is None:
        return []
    levels = [run.name for run in runs if level_of(run.directory) is not None]
    return [
        Section(
            name="phase",
            markdown=render_phase_markdown(found, runs=levels),
            data=phase_to_json(found),
            figures={"phase-map": phase_map_figure(found), "phase-curves": phase_curves_figure(found)},
        )
    ]


SECTIONS: tuple[SectionBuilder, ...] = (alignment_sections, predictor_sections, phase_sections)
"""What the study is made of, in order."""


def check_out(out: Path) -> None:
    """A study goes to a new or empty folder, or in the place of an earlier one.

    Raises:
        UserError: something else stands there.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file; choose a folder")
    if out.is_dir() and any(out.iterdir()) and not (out / DATA).is_file():
        raise UserError(f"--out {out} is not empty and holds no study; choose a new folder")


def build_study(runs: Sequence[Path]) -> list[Section]:
    """Every section that these folders hold the numbers for.

    Raises:
        UserError: a folder is no run, is given twice, or bears the name of another; or nothing can be told of any.
    """
    directories = [RunDirectory.existing(path) for path in runs]
    seen: dict[str, Path] = {}
    for directory in directories:
        resolved = directory.root.resolve()
        if directory.kind != "run":
            raise UserError(f"{directory.root} was made by another command; give folders of `sdbench run`")
        if resolved.name in seen:
            again = "is given twice" if seen[resolved.name] == resolved else f"has the name of {seen[resolved.name]}"
            raise UserError(f"{directory.root} {again}; give each run once, under a name of its own")
        seen[resolved.name] = resolved
    studied = [StudiedRun(RunDirectory(path)) for path in seen.values()]
    sections = [section for builder in SECTIONS for section in builder(studied)]
    if not sections:
        raise UserError(
            "these runs hold nothing to study: none varies alignment, was diagnosed, or is a level of a [phase]"
        )
    return sections


def write_study(sections: Sequence[Section], out: Path) -> list[Path]:
    """Write the page, the data and every figure as PNG and SVG; the same sections always give the same bytes.

    Returns:
        The files, the page last.
    """
    written = []
    pages = ["# The study"]
    for section in sections:
        pages.append(section.markdown.rstrip("\n"))
        for name, figure in section.figures.items():
            for file_format in cast(tuple[FigureFormat, ...], get_args(FigureFormat)):
                path = out / f"{name}.{file_format}"
                write_bytes_atomically(path, render_figure(figure, file_format))
                written.append(path)
            pages.append(f"![{name}]({name}.png)")
    write_json(out / DATA, {"format_version": FORMAT_VERSION, **{section.name: section.data for section in sections}})
    write_atomically(out / PAGE, "\n\n".join(pages) + "\n")
    return [*written, out / DATA, out / PAGE]
