"""The diagnose stage: token advantages and readability, of a run's base before training or of any checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from sdbench.harness.progress import Reporter, make_reporter
from sdbench.harness.provenance import code_state, command_line, package_versions
from sdbench.harness.run_directory import OutState, RunDirectory, inspect_out, write_atomically, write_json
from sdbench.harness.stages.prepare import RunPlan, base_folder, quieten_transformers
from sdbench.harness.stages.validation import NANO_STRATA
from sdbench.leaderboards.advantages import AdvantageSummary, summarise_advantages
from sdbench.leaderboards.render.advantages import print_advantages, render_advantages_markdown
from sdbench.tasks.errors import UserError
from sdbench.tasks.grading.verdict import Grader
from sdbench.tasks.nano.training_problems import validation_problems
from sdbench.tasks.problem import Problem
from sdbench.tasks.token_records import RecordHeader, TokenRecord, write_records
from sdbench.trainers.conditions import (
    BudgetSettings,
    ConditionSpec,
    DistillationSettings,
    FeedbackSpec,
    TeacherSettings,
)
from sdbench.trainers.feedback.registry import make_feedback
from sdbench.trainers.model_folder import model_digest
from sdbench.trainers.plugins import Plugin

if TYPE_CHECKING:
    from sdbench.trainers.critic.critic import Critic
    from sdbench.trainers.local.settings import LocalTrainerSettings
    from sdbench.trainers.token_advantages import Checkpoint, Diagnoser

LIVE = "live"
FORMAT_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class DiagnosisPlan:
    """A diagnosis that can begin: a loaded checkpoint, the conditions to try on it, and the problems."""

    model: str
    checkpoint: Checkpoint
    conditions: tuple[ConditionSpec, ...]
    problems: tuple[Problem, ...]
    samples: int
    seed: int
    settings: LocalTrainerSettings
    critic: Critic | None
    out: Path | None
    manifest: dict[str, Any]


def prepare_diagnosis(
    *,
    model: str,
    feedback: Sequence[str],
    teacher: str,
    problems_per_stratum: int,
    samples: int,
    seed: int,
    out: Path | None,
    plugins: Sequence[Plugin] = (),
) -> DiagnosisPlan:
    """Check the whole of a diagnosis and load its models; nothing is written.

    Args:
        model: a model folder, or ``nano``.
        feedback: names of feedback types.
        teacher: ``live`` for the checkpoint's own weights, or the model whose weights the teacher has.
        problems_per_stratum: validation problems of each of the twelve strata.
        samples: rollouts a problem.
        seed: of problems, rollouts and contexts.
        out: a new folder; None writes nothing.
        plugins: loaded already; they stand in the manifest.

    Raises:
        UserError: one line that names the value and the fix.
    """
    if out is not None and inspect_out(out) is OutState.RUN:
        raise UserError(f"--out {out} holds results already; choose a new folder")
    if not feedback:
        raise UserError("no feedback type was named; give --feedback NAME, see `sdbench list feedback`")
    repeated = next((name for name in feedback if list(feedback).count(name) > 1), None)
    if repeated is not None:
        raise UserError(f"--feedback {repeated} is given twice; give each name once")
    for option, value, least in (
        ("--problems", problems_per_stratum, 1),
        ("--samples", samples, 1),
        ("--seed", seed, 0),
    ):
        if value < least:
            raise UserError(f"{option} {value} must be {least} or more")
    types = {name: make_feedback(name) for name in feedback}
    problems = validation_problems(per_stratum=problems_per_stratum, seed=seed)
    folder = base_folder(model)
    teacher_folder = None if teacher == LIVE else base_folder(teacher)

    from sdbench.trainers.critic.catalogue import make_critic
    from sdbench.trainers.feedback.writers import context_writer
    from sdbench.trainers.local.settings import LocalTrainerSettings
    from sdbench.trainers.local.trainer import check_condition, shows_context

    settings = LocalTrainerSettings()
    checkpoint = _load(folder, teacher_folder, problems=problems, settings=settings)
    critic = make_critic("symbolic", writer=context_writer(checkpoint.prompt_format.name))
    conditions = tuple(
        ConditionSpec(
            name=name,
            feedback=FeedbackSpec(name=name),
            objective=DistillationSettings(),
            teacher=TeacherSettings(kind="live" if teacher_folder is None else "frozen"),
            budget=BudgetSettings(steps=1, rollouts_per_step=len(problems) * samples, group_size=samples),
        )
        for name in feedback
    )
    for condition in conditions:
        kind = types[condition.name]
        if not shows_context(kind, problems[0]):
            raise UserError(
                f"--feedback {condition.name} gives no context, so there is nothing to diagnose; leave it out"
            )
        check_condition(condition, feedback=kind, problems=problems, critic=critic)
    return DiagnosisPlan(
        model=model,
        checkpoint=checkpoint,
        conditions=conditions,
        problems=tuple(problems),
        samples=samples,
        seed=seed,
        settings=settings,
        critic=critic,
        out=out,
        manifest={
            "model": str(folder),
            "teacher": teacher if teacher_folder is None else str(teacher_folder),
            "plugins": [{"reference": p.reference, "sha256": p.digest, "feedback": list(p.feedback)} for p in plugins],
        },
    )


def execute_diagnosis(plan: DiagnosisPlan, *, reporter: Reporter | None = None, stream: TextIO | None = None) -> None:
    """Measure every condition, write what was asked for, and print the tables on stdout (or another stream).

    Everything is computed before anything is written, the manifest last.

    Raises:
        UserError: another process has taken the folder meanwhile.
    """
    from sdbench.tasks.grading.math_grader import MathGrader
    from sdbench.trainers.token_advantages import Diagnoser

    reporter = reporter or make_reporter()
    generations = len(plan.conditions) + (1 if plan.checkpoint.teacher_digest == LIVE else 2)
    total = len(plan.problems) * plan.samples * generations
    with MathGrader() as grader, reporter.stage("diagnosing", total=total, unit="samples") as advance:
        diagnoser = Diagnoser(
            plan.checkpoint,
            problems=plan.problems,
            samples=plan.samples,
            seed=plan.seed,
            settings=plan.settings,
            grader=grader,
            critic=plan.critic,
            progress=advance,
        )
        found = [diagnoser.diagnose(condition) for condition in plan.conditions]
    summaries = [summarise_advantages(header, records) for header, records in found]
    if plan.out is not None:
        _write(plan, RunDirectory(plan.out), found, summaries)
    from rich.console import Console

    print_advantages(summaries, Console(file=stream), subject=plan.model)


def diagnose_base(plan: RunPlan, *, grader: Grader, reporter: Reporter) -> None:
    """Before any training: what each condition's contexts would do to the base. What stands there is not done again."""
    section = plan.recipe.diagnose
    wanted = conditions_to_diagnose(plan)
    if not wanted:
        return
    problems = diagnosed_problems(plan)
    total = len(problems) * section.samples * (len(wanted) + 1)
    with reporter.stage("diagnosing the base", total=total, unit="samples") as advance:
        diagnoser = base_diagnoser(plan, problems=problems, grader=grader, advance=advance)
        for condition in wanted:
            header, records = diagnoser.diagnose(condition, critic=plan.critics.get(condition.name))
            write_atomically(plan.directory.advantages(condition.name), write_records(header, records))


def conditions_to_diagnose(plan: RunPlan) -> list[ConditionSpec]:
    """The conditions with a teacher whose records do not stand in the run folder yet."""
    if plan.recipe.diagnose.problems_per_stratum == 0:
        return []
    return [
        condition
        for condition in plan.conditions
        if condition.objective.has_teacher and not plan.directory.advantages(condition.name).is_file()
    ]


def _load(
    folder: Path, teacher_folder: Path | None, *, problems: Sequence[Problem], settings: LocalTrainerSettings
) -> Checkpoint:
    from sdbench.trainers.local.policy import device_of
    from sdbench.trainers.models import load_policy
    from sdbench.trainers.prompting import choose_format
    from sdbench.trainers.scoring import check_scorable
    from sdbench.trainers.teacher import make_teacher
    from sdbench.trainers.token_advantages import Checkpoint

    quieten_transformers()
    device = device_of(settings)
    model, tokenizer = load_policy(folder, device=device)
    check_scorable(model)
    prompt_format = choose_format(tokenizer, problems)
    if teacher_folder is None:
        teacher, teacher_digest = make_teacher(TeacherSettings(kind="live"), model), LIVE
    else:
        # A frozen teacher keeps the weights that a model has when it is made: the teacher's first, then the student's.
        weights = {name: value.clone() for name, value in model.state_dict().items()}
        lent, lent_tokenizer = load_policy(teacher_folder, device=device)
        shapes = {name: value.shape for name, value in lent.state_dict().items()}
        if shapes != {name: value.shape for name, value in weights.items()}:
            raise UserError(f"--teacher {teacher_folder} has other weights than {folder}; give the model it came from")
        if lent_tokenizer.get_vocab() != tokenizer.get_vocab():
            raise UserError(f"--teacher {teacher_folder} has another vocabulary than {folder}; give its own base")
        model.load_state_dict(lent.state_dict())
        teacher, teacher_digest = make_teacher(TeacherSettings(kind="frozen"), model), model_digest(teacher_folder)
        model.load_state_dict(weights)
    return Checkpoint(
        model=model,
        tokenizer=tokenizer,
        teacher=teacher,
        prompt_format=prompt_format,
        student_digest=model_digest(folder),
        teacher_digest=teacher_digest,
    )


def diagnosed_problems(plan: RunPlan) -> list[Problem]:
    """Validation problems of the nano world; of one's own rows the first ones: nothing has been trained on yet."""
    per_stratum = plan.recipe.diagnose.problems_per_stratum
    if plan.recipe.problems.source == "nano":
        return validation_problems(per_stratum=per_stratum, seed=plan.recipe.recipe.seed)
    return list(plan.candidates[: NANO_STRATA * per_stratum])


def base_diagnoser(plan: RunPlan, *, problems: Sequence[Problem], grader: Grader, advance: Any) -> Diagnoser:
    """What tries contexts on a run's base: its rollouts are drawn when this returns."""
    from sdbench.trainers.teacher import make_teacher
    from sdbench.trainers.token_advantages import Checkpoint, Diagnoser

    # Before training every kind of teacher has the student's weights.
    return Diagnoser(
        Checkpoint(
            model=plan.base.model,
            tokenizer=plan.base.tokenizer,
            teacher=make_teacher(TeacherSettings(kind="live"), plan.base.model),
            prompt_format=plan.prompt_format,
            student_digest=plan.hashes["base"],
        ),
        problems=problems,
        samples=plan.recipe.diagnose.samples,
        seed=plan.recipe.recipe.seed,
        settings=plan.recipe.training.trainer_settings(),
        grader=grader,
        critic=None,
        progress=advance,
    )


def _write(
    plan: DiagnosisPlan,
    directory: RunDirectory,
    found: Sequence[tuple[RecordHeader, list[TokenRecord]]],
    summaries: Sequence[AdvantageSummary],
) -> None:
    code = code_state()
    with directory.locked():
        for header, records in found:
            write_atomically(directory.advantages(header.condition), write_records(header, records))
        write_json(
            directory.advantages_json,
            {"format_version": FORMAT_VERSION, "advantages": [summary.to_json() for summary in summaries]},
        )
        write_atomically(directory.advantages_markdown, render_advantages_markdown(summaries, subject=plan.model))
        directory.write_manifest(
            kind="diagnosis",
            status="done",
            **plan.manifest,
            command=command_line(),
            packages=package_versions(),
            commit=None if code is None else code.commit,
        )
