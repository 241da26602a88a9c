"""Splitters: a trace in, its steps with their character spans out. A trace without steps has none; none are forced."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

from sdbench.tasks.errors import UserError, suggestion

SplitterName = Literal["tags", "numbered", "blank_lines", "lines", "sentences", "nano"]
SplitterChoice = Literal["format", "tags", "numbered", "blank_lines", "lines", "sentences", "nano"]
"""A splitter by name, or the one that goes with the prompt format."""


@dataclass(frozen=True)
class Step:
    """One step: its text as written, at ``[start, end)`` of the trace."""

    text: str
    start: int
    end: int


class StepSplitter(Protocol):
    """One way of finding steps; a pure function of the trace."""

    @property
    def name(self) -> SplitterName:
        """Recorded with every run."""
        ...

    def split(self, trace: str) -> tuple[Step, ...]:
        """The steps in order, apart from each other; none where the trace is not written in steps of this kind."""
        ...


class TagSplitter:
    """The tags of arXiv 2606.11173: ``<step_1>..</step_1>``, numbered from 1 without a gap.

    A closing tag may lack: then the next opening tag or ``<answer>`` ends the step. The text between the tags counts.
    """

    name: SplitterName = "tags"
    _opening = re.compile(r"<step_(\d+)>")
    _ending = re.compile(r"</step_\d+>|<step_\d+>|<answer>")

    def split(self, trace: str) -> tuple[Step, ...]:
        """The bodies of the tags."""
        steps: list[Step] = []
        for opening in self._opening.finditer(trace):
            if int(opening[1]) != len(steps) + 1:
                break
            ending = self._ending.search(trace, opening.end())
            steps.extend(_trimmed(trace, opening.end(), len(trace) if ending is None else ending.start()))
        return tuple(steps)


class NumberedSplitter:
    """Numbered lines (``1.``, ``2)``, ``Step 3:``, bold or not), counting up from 1; a step reaches to the next one.

    A number out of turn belongs to the step that it stands in (a list within a step).
    """

    name: SplitterName = "numbered"
    _line = re.compile(r"^[ \t]*(?:[#*_]+[ \t]*)*(?:step[ \t]+)?(\d{1,3})[ \t]*[.):][*_]*(?=\s|$)", re.I | re.M)

    def split(self, trace: str) -> tuple[Step, ...]:
        """From each number in turn up to the next."""
        starts: list[int] = []
        for line in self._line.finditer(trace):
            if int(line[1]) == len(starts) + 1:
                starts.append(line.start())
        ends = [*starts[1:], len(trace)]
        return tuple(step for start, end in zip(starts, ends, strict=False) for step in _trimmed(trace, start, end))


class _SeparatorSplitter:
    """Pieces between separators; a trace in one piece has no steps."""

    name: SplitterName
    _separator: re.Pattern[str]

    def split(self, trace: str) -> tuple[Step, ...]:
        """The pieces that are not blank."""
        steps = tuple(step for start, end in self._spans(trace) for step in _trimmed(trace, start, end))
        return steps if len(steps) > 1 else ()

    def _spans(self, trace: str) -> Iterator[tuple[int, int]]:
        start = 0
        for separator in self._separator.finditer(trace):
            yield start, separator.start()
            start = separator.end()
        yield start, len(trace)


class BlankLineSplitter(_SeparatorSplitter):
    """Paragraphs, parted by blank lines."""

    name: SplitterName = "blank_lines"
    _separator = re.compile(r"\n[ \t\r]*\n\s*")


class LineSplitter(_SeparatorSplitter):
    """Lines, as the solutions of GSM8K have them."""

    name: SplitterName = "lines"
    _separator = re.compile(r"\n\s*")


class SentenceSplitter(_SeparatorSplitter):
    """Sentences: for a solution in one piece. A full stop inside a number or a formula ends none."""

    name: SplitterName = "sentences"
    _separator = re.compile(
        r"(?:(?<=[.!?])|(?<=[.!?][$)\"']))(?<!\bMr\.)(?<!\bMrs\.)(?<!\bMs\.)(?<!\bDr\.)\s+(?=[A-Z\\$])"
    )


class NanoSplitter:
    """The nano world's separator: every step ends in ``;``. What stands behind ``#`` is the answer, no step."""

    name: SplitterName = "nano"
    _step = re.compile(r"[^;#]*;")

    def split(self, trace: str) -> tuple[Step, ...]:
        """The pieces that end in the separator, well-formed or not."""
        steps: list[Step] = []
        position = 0
        while (match := self._step.match(trace, position)) is not None:
            steps.append(Step(match[0], match.start(), match.end()))
            position = match.end()
        return tuple(steps)


def _trimmed(trace: str, start: int, end: int) -> tuple[Step, ...]:
    """The span without the space around it; nothing where it is blank."""
    piece = trace[start:end]
    text = piece.strip()
    if not text:
        return ()
    begin = start + len(piece) - len(piece.lstrip())
    return (Step(text, begin, begin + len(text)),)


_SPLITTERS: dict[str, StepSplitter] = {
    splitter.name: splitter
    for splitter in (
        TagSplitter(),
        NumberedSplitter(),
        BlankLineSplitter(),
        LineSplitter(),
        SentenceSplitter(),
        NanoSplitter(),
    )
}
assert set(_SPLITTERS) == set(get_args(SplitterName))


def step_splitter(name: str) -> StepSplitter:
    """The splitter of this name.

    Raises:
        UserError: there is none.
    """
    if name not in _SPLITTERS:
        raise UserError(f"no step splitter {name!r}; {suggestion(name, _SPLITTERS)}")
    return _SPLITTERS[name]
