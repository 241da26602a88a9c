"""The suites: which benchmarks there are, what they ask, and how they are sampled by default. Loads no torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from sdbench.tasks.data_lock import data_lock
from sdbench.tasks.errors import UserError, suggestion
from sdbench.tasks.nano12 import loader as nano12
from sdbench.tasks.problem import Problem
from sdbench.tasks.sampling.settings import SamplingSettings

HELDOUT_TASK = "sdbench_heldout"
PromptKind = Literal["nano", "question"]


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """One benchmark: its lm-eval task name, the group it is reported under, and its problems in order."""

    task: str
    group: str
    problems: tuple[Problem, ...]


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A set of benchmarks that is scored together.

    Attributes:
        name: how the suite is asked for and recorded.
        benchmarks: in order of display.
        prompt_kind: ``nano`` asks in the nano world's own form; ``question`` asks in plain language, through the
            tokenizer's chat template where it has one.
        packaged: whether the tasks are YAML under ``tasks_path()``; otherwise they are built from ``problems``.
        default_k: samples per problem.
        default_sampling: how they are drawn.
    """

    name: str
    benchmarks: tuple[Benchmark, ...]
    prompt_kind: PromptKind
    packaged: bool
    default_k: int
    default_sampling: SamplingSettings

    @property
    def tasks(self) -> tuple[str, ...]:
        """The task names, in order."""
        return tuple(benchmark.task for benchmark in self.benchmarks)

    @property
    def data_lock(self) -> str:
        """Hash over every problem and gold answer of the suite."""
        return data_lock(problem for benchmark in self.benchmarks for problem in benchmark.problems)

    def select(self, *, tasks: Sequence[str] | None = None, limit: int | None = None) -> Suite:
        """The suite cut down to some of its tasks and to the first ``limit`` problems of each.

        Raises:
            UserError: a task is not in the suite, none is left, or the limit is below one.
        """
        if limit is not None and limit < 1:
            raise UserError(f"limit {limit} leaves no problem; give 1 or more, or leave it out")
        for task in tasks or ():
            if task not in self.tasks:
                raise UserError(f"task {task!r} is not in suite {self.name!r}; {suggestion(task, self.tasks)}")
        if tasks is not None and not tasks:
            raise UserError(f"no task of suite {self.name!r} was named; known: {', '.join(self.tasks)}")
        return replace(
            self,
            benchmarks=tuple(
                replace(benchmark, problems=benchmark.problems[:limit])
                for benchmark in self.benchmarks
                if tasks is None or benchmark.task in tasks
            ),
        )


def _nano12() -> Suite:
    return Suite(
        name="nano12",
        benchmarks=tuple(
            Benchmark(
                task=task,
                group=nano12.depth_group(task),
                problems=nano12.benchmark_problems(task),
            )
            for task in nano12.TASK_NAMES
        ),
        prompt_kind="nano",
        packaged=True,
        default_k=8,
        default_sampling=SamplingSettings(),
    )


SUITES: dict[str, Callable[[], Suite]] = {"nano12": _nano12}


def get_suite(name: str) -> Suite:
    """A suite by name.

    Raises:
        UserError: there is none of that name.
    """
    if name not in SUITES:
        raise UserError(f"unknown suite {name!r}; {suggestion(name, SUITES)}")
    return SUITES[name]()


def heldout_suite(problems: Sequence[Problem]) -> Suite:
    """The suite of a user's own problems that were held apart from training: one benchmark, ``sdbench_heldout``.

    Raises:
        UserError: there is no problem, or two have one id.
    """
    if not problems:
        raise UserError("no problem is held out; hold at least one row apart for evaluation")
    seen: set[str] = set()
    for problem in problems:
        if problem.id in seen:
            raise UserError(f"problem id {problem.id!r} occurs twice among the held-out problems; make ids unique")
        seen.add(problem.id)
    rows = tuple(replace(problem, task=HELDOUT_TASK) for problem in problems)
    return Suite(
        name="heldout",
        benchmarks=(Benchmark(task=HELDOUT_TASK, group="heldout", problems=rows),),
        prompt_kind="question",
        packaged=False,
        default_k=8,
        default_sampling=SamplingSettings(max_tokens=2048),
    )
