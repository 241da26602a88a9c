"""Attempts whose first wrong step people have marked, read from the published formats of ProcessBench and PRM800K."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sdbench.tasks.data.files import read_rows
from sdbench.tasks.errors import UserError
from sdbench.tasks.problem import Problem

StepLabelFormat = Literal["prm800k", "processbench"]


@dataclass(frozen=True, kw_only=True)
class LabelledAttempt:
    """An attempt in steps.

    Attributes:
        problem: its ``answer`` is empty where the data set has none.
        steps: as the data set has them.
        first_error: index of the first wrong step; None where no step is wrong.
    """

    problem: Problem
    steps: tuple[str, ...]
    first_error: int | None


@dataclass(frozen=True, kw_only=True)
class LabelledData:
    """What a file holds; ``left_out`` counts the rows that cannot be used, by reason."""

    attempts: tuple[LabelledAttempt, ...]
    left_out: Mapping[str, int]


# The last step of PRM800K's attempts ends in this heading and the answer.
_ANSWER_HEADING = re.compile(r"\s*^#[ \t]*Answer[ \t]*\n+(?P<answer>.*\S)\s*\Z", re.M | re.S)


class _UnusableError(Exception):
    """A row that is sound but has no use here."""


def read_step_labels(path: Path, *, layout: StepLabelFormat, limit: int | None = None) -> LabelledData:
    """Attempts with step labels.

    Args:
        path: ``.json`` (a list), ``.jsonl`` or ``.parquet``.
        layout: ``processbench`` (arXiv 2412.06559; ``label`` is the index of the first wrong step or -1), or
            ``prm800k`` (arXiv 2305.20050; a step rated -1 is wrong, 0 and 1 are not; the answer under its heading at
            the end is put into a box, the form in which answers are asked for everywhere here).
        limit: only the first so many usable rows.

    Raises:
        UserError: the file cannot be read, a row is not of that format, or no row can be used.
    """
    read = _processbench if layout == "processbench" else _prm800k
    attempts: list[LabelledAttempt] = []
    left_out: Counter[str] = Counter()
    for place, row in _rows(path):
        if limit is not None and len(attempts) == limit:
            break
        try:
            attempts.append(read(row, place))
        except _UnusableError as unusable:
            left_out[str(unusable)] += 1
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            shown = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise UserError(f"--data {path}: {place} is no row of {layout} ({shown}); give another --format") from None
    if not attempts:
        reasons = "; ".join(f"{reason}: {count}" for reason, count in left_out.items()) or "it is empty"
        raise UserError(f"--data {path}: no row can be used ({reasons}); give another file")
    return LabelledData(attempts=tuple(attempts), left_out=dict(sorted(left_out.items())))


def _rows(path: Path) -> Iterator[tuple[str, Any]]:
    if path.suffix != ".json":
        yield from read_rows(path, label=f"--data {path}")
        return
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        raise UserError(f"--data {path} cannot be read as JSON; give a .json list, .jsonl or .parquet file") from None
    if not isinstance(rows, list):
        raise UserError(f"--data {path} holds no list of rows; give a .json list, .jsonl or .parquet file")
    for number, row in enumerate(rows, start=1):
        yield f"row {number}", row


def _processbench(row: Any, place: str) -> LabelledAttempt:
    steps = _texts(row["steps"])
    label = row["label"]
    if type(label) is not int or not -1 <= label < len(steps):
        raise ValueError(f"label {label!r} is no step of {len(steps)}")
    problem = Problem(id=_text(row["id"]), text=_text(row["problem"]), answer="")
    return LabelledAttempt(problem=problem, steps=steps, first_error=None if label == -1 else label)


def _prm800k(row: Any, place: str) -> LabelledAttempt:
    question, label = row["question"], row["label"]
    finish = label["finish_reason"]
    if finish not in ("solution", "found_error"):
        raise _UnusableError(f"the labeller ended with {finish!r}")
    answer = question["ground_truth_answer"]
    solution = question.get("ground_truth_solution")
    problem = Problem(
        id=f"prm800k {place}",
        text=_text(question["problem"]),
        answer="" if answer is None else _text(answer),
        solution=None if solution is None else _text(solution),
    )
    generated = question.get("pre_generated_steps")
    steps = None if generated is None else _texts(generated)
    walked, first_error = _walk(label["steps"], of=steps)
    if (finish == "found_error") != (first_error is not None):
        raise _UnusableError("the ratings say something else than how the labeller ended")
    # Labels end at the first error; an attempt that was there as a whole goes on.
    if first_error is None and steps is not None and len(steps) != len(walked):
        raise _UnusableError("not every step has a label")
    attempt = [_ANSWER_HEADING.sub(_boxed, step) for step in (walked if steps is None else steps)]
    return LabelledAttempt(problem=problem, steps=tuple(attempt), first_error=first_error)


def _walk(labelled: Sequence[Any], *, of: Sequence[str] | None) -> tuple[tuple[str, ...], int | None]:
    """The attempt's steps up to the first wrong one, and its index.

    Args:
        labelled: the steps with their ratings, several completions of a step among them.
        of: the attempt's steps where it was there as a whole (second phase); else it is what the labeller chose.
    """
    walked: list[str] = []
    for index, step in enumerate(labelled):
        completions, chosen, human = step["completions"], step["chosen_completion"], step["human_completion"]
        if of is not None:
            texts = [completion["text"] for completion in completions]
            if index >= len(of) or of[index] not in texts:
                raise _UnusableError("the labelled steps are not those of the attempt")
            chosen = texts.index(of[index])
        elif chosen is None and human is not None:
            # Written by the labeller, so it is right.
            walked.append(_text(human if isinstance(human, str) else human["text"]))
            continue
        elif chosen is None and len(completions) != 1:
            raise _UnusableError("no completion of a step was chosen")
        completion = completions[0 if chosen is None else chosen]
        walked.append(_text(completion["text"]))
        rating = completion["rating"]
        if rating is None:
            raise _UnusableError("a step has no rating")
        if rating not in (-1, 0, 1):
            raise ValueError(f"rating {rating!r}")
        if rating == -1:
            return tuple(walked), index
    if not walked:
        raise _UnusableError("it has no steps")
    return tuple(walked), None


def _boxed(heading: re.Match[str]) -> str:
    return f"\nThe answer is \\boxed{{{heading['answer']}}}."


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not value:
        raise TypeError(f"steps are a list of texts, not {value!r:.40}")
    return tuple(_text(item) for item in value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise TypeError(f"a text was expected, not {value!r:.40}")
    return value
