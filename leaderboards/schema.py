"""The result of one checkpoint on one suite: ``results.json``. Loads no torch."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from sdbench.tasks.outcome import Outcome

FORMAT_VERSION: Final = 1


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ProblemResult(_Strict):
    """The k samples of one problem, in order of sample index."""

    problem_id: str
    outcomes: tuple[Outcome, ...]
    answers: tuple[str | None, ...]
    completion_tokens: tuple[int, ...]


class TaskResult(_Strict):
    """One benchmark: its problems, and the group it belongs to (``trained`` or ``deeper`` depths on nano)."""

    task: str
    group: str = ""
    problems: tuple[ProblemResult, ...]


class EvaluationSettings(_Strict):
    """What two results must share before they may be compared; the names of what differs are shown."""

    suite: str
    k: int = Field(ge=1)
    sampling: dict[str, float | int]
    prompt_hash: str
    data_lock: str
    engine: str


class ModelIdentity(_Strict):
    """Which model it is: hash of its files, and what people call it (a folder's name, never its path)."""

    name: str
    digest: str


class TrainingSummary(_Strict):
    """What a condition was trained with and what it spent.

    ``digest``: hash of all it was trained from and with but the seed; results of one row share it.
    """

    feedback: str
    objective: str
    teacher: str
    learning_rate: float
    steps: int
    rollouts: int
    student_tokens: int
    teacher_tokens: int
    unbuilt: dict[str, int] = Field(default_factory=dict)
    digest: str = ""


class CheckpointResult(_Strict):
    """``results.json``: one checkpoint on one suite. Holds no times, so a repeated run gives the same bytes.

    ``base``: the model that the checkpoint was trained from, or is; None where it is not known, as in ``sdbench eval``.
    """

    format_version: Literal[1] = FORMAT_VERSION
    condition: str
    training_seed: int | None
    reveals: tuple[str, ...]
    settings: EvaluationSettings
    training: TrainingSummary | None
    base: ModelIdentity | None = None
    tasks: tuple[TaskResult, ...]
