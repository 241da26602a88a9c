"""Prompt formats: how student and teacher are asked, as token ids, in one format for both."""

from __future__ import annotations

from typing import Protocol

from sdbench.tasks.problem import Problem


class PromptFormat(Protocol):
    """One way of asking. The completion follows the prompt's ids directly, for student and teacher alike."""

    @property
    def name(self) -> str:
        """``nano``, ``chat`` or ``plain``; recorded with every run."""
        ...

    @property
    def digest(self) -> str:
        """Hash of everything that shapes a prompt."""
        ...

    def student_prompt(self, problem: Problem) -> tuple[int, ...]:
        """The ids of what the solver sees."""
        ...

    def teacher_prompt(self, problem: Problem, context: str) -> tuple[int, ...]:
        """The ids of what the self-teacher sees: the same problem beside the privileged context."""
        ...
