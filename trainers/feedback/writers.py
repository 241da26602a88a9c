"""The two context writers: the text forms of the nano world, and versioned templates for problems in plain language."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from string import Template

from sdbench.tasks.errors import UserError, suggestion
from sdbench.tasks.nano.problems import NanoProblem, parse_problem
from sdbench.tasks.nano.traces import execute
from sdbench.tasks.problem import Problem
from sdbench.trainers.feedback.nano_contexts import (
    RIGHT,
    WRONG,
    ContextKind,
    critique_context,
    peer_context,
    write_context,
)
from sdbench.trainers.feedback.types import ContextWriter

TEMPLATE_NAMES = ("note", "reference", "critique", "peer")
_VERSION_LINE = re.compile(r"version: \d+\n\n")


def nano_problem(problem: Problem) -> NanoProblem:
    """The nano problem behind a problem.

    Raises:
        UserError: the text is no nano problem.
    """
    try:
        return parse_problem(problem.text)
    except ValueError as error:
        raise UserError(
            f"problem {problem.id!r}: {error}; the nano prompt format asks nano problems only, use 'chat' or 'plain'"
        ) from None


class NanoWriter:
    """Writes the text forms that the nano base was pretrained on."""

    name = "nano"

    @property
    def digest(self) -> str:
        """Hash of every form, written for one fixed problem, so that a change of any text changes it."""
        return _nano_digest()

    def note(self, problem: Problem) -> str:
        """An empty note that restates the problem."""
        return write_context(ContextKind.NOTE, nano_problem(problem))

    def reference(self, problem: Problem, solution: str) -> str:
        """The worked solution as the data has it."""
        return write_context(ContextKind.REFERENCE, nano_problem(problem), solution)

    def critique(self, problem: Problem, rewrite: str) -> str:
        """The critic's rewrite."""
        return write_context(ContextKind.CRITIQUE, nano_problem(problem), rewrite)

    def peer(self, problem: Problem, attempt: str, *, right: bool) -> str:
        """Another attempt with its verdict."""
        return peer_context(nano_problem(problem), attempt, right=right)


@cache
def _nano_digest() -> str:
    nano = parse_problem("sum4:a3b8c9d4")
    trace = execute(nano, 0)
    problem = Problem(id="digest", text=nano.text, answer=str(nano.answer))
    writer = NanoWriter()
    forms = [writer.note(problem), writer.reference(problem, "body")]
    forms += [writer.peer(problem, trace.write(), right=right) for right in (True, False)]
    for quote in ("none", "up_to_error", "whole"):
        for split in (1, len(trace.steps)):
            forms.append(
                critique_context(
                    nano,
                    correct_prefix=trace.steps[:split],
                    wrong_step=trace.steps[0],
                    continuation=trace.steps[split:],
                    answer=trace.answer,
                    quote=quote,
                )
            )
    return _short_hash("\x1f".join(forms))


class TextWriter:
    """Writes contexts for problems in plain language from the template files of this package."""

    name = "text"

    @property
    def digest(self) -> str:
        """Hash of all template files."""
        return templates_digest()

    def note(self, problem: Problem) -> str:
        """The wrapper with nothing in it."""
        return _fill("note")

    def reference(self, problem: Problem, solution: str) -> str:
        """The worked solution, and how to use it."""
        return _fill("reference", solution=solution)

    def critique(self, problem: Problem, rewrite: str) -> str:
        """The critic's rewrite, and how to use it."""
        return _fill("critique", rewrite=rewrite)

    def peer(self, problem: Problem, attempt: str, *, right: bool) -> str:
        """Another attempt with its verdict, and how to use it."""
        return _fill("peer", attempt=attempt, verdict=RIGHT if right else WRONG)


@dataclass(frozen=True)
class _TemplateFile:
    content: str
    body: Template


@cache
def _template(name: str) -> _TemplateFile:
    content = (files("sdbench.trainers.feedback") / "templates" / f"{name}.md").read_text(encoding="utf-8")
    heading = _VERSION_LINE.match(content)
    assert heading is not None, f"template {name!r} does not open with a version line and an empty one"
    return _TemplateFile(content=content, body=Template(content[heading.end() :].rstrip("\n")))


def _fill(name: str, **parts: str) -> str:
    # Template.substitute looks at the template alone: a dollar sign in a solution stays what it is.
    return _template(name).body.substitute(parts)


@cache
def templates_digest() -> str:
    """Short hash of all template files, version lines included; `TextWriter` bears it."""
    return _short_hash("\x1f".join(f"{name}\x1e{_template(name).content}" for name in TEMPLATE_NAMES))


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


# Prompt format -> writer: contexts are written in the language that the format asks its problems in.
_WRITERS: dict[str, ContextWriter] = {"nano": NanoWriter(), "chat": TextWriter(), "plain": TextWriter()}


def context_writer(prompt_format: str) -> ContextWriter:
    """The writer that goes with a prompt format, by the format's name.

    Raises:
        UserError: no prompt format has this name.
    """
    if prompt_format not in _WRITERS:
        raise UserError(f"no prompt format {prompt_format!r}; {suggestion(prompt_format, _WRITERS)}")
    return _WRITERS[prompt_format]
