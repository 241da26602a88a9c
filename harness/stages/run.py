"""The whole way: pool, base evaluation and diagnosis, then each condition and training seed, then the leaderboard."""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from datetime import UTC, datetime

from sdbench.harness.progress import Reporter, make_reporter
from sdbench.harness.provenance import code_state, command_line, device_description, package_versions
from sdbench.harness.run_directory import ModelFolder, RunDirectory, StepFolder, write_json, write_result
from sdbench.harness.stages.attempts import recorded_status
from sdbench.harness.stages.curves import curve_recorder
from sdbench.harness.stages.diagnose import diagnose_base
from sdbench.harness.stages.evaluate import evaluate_checkpoint
from sdbench.harness.stages.pool import make_pool
from sdbench.harness.stages.prepare import LoadedBase, Purpose, RunPlan
from sdbench.harness.stages.rank import document_of, show_document, write_document
from sdbench.harness.stages.rates import write_tuning
from sdbench.harness.stages.selection import step_checkpoints, steps_to_score
from sdbench.harness.stages.train import summary_of, train_stage
from sdbench.leaderboards.board import BASE
from sdbench.leaderboards.schema import TrainingSummary
from sdbench.tasks.grading.math_grader import MathGrader
from sdbench.tasks.grading.verdict import Grader
from sdbench.tasks.problem import Problem
from sdbench.tasks.sampling.store import SampleStore
from sdbench.trainers.checkpoints import load_step_checkpoint
from sdbench.trainers.conditions import ConditionSpec
from sdbench.trainers.engines.hf import HfEngine
from sdbench.trainers.local.trainer import read_record
from sdbench.trainers.models import load_policy


def execute_run(plan: RunPlan, *, reporter: Reporter | None = None) -> None:
    """Carry a prepared run out and print its leaderboard on stdout. What is finished already is not run again.

    Raises:
        UserError: another process holds the folder, or the filter keeps no problem.
        LoggedFailureError: anything unexpected; the traceback is in the attempt's log.
    """
    reporter = reporter or make_reporter()
    directory = plan.directory
    with ExitStack() as stack:
        stack.enter_context(directory.locked())
        log = stack.enter_context(directory.attempt())
        write_head(plan, kind="run")
        reporter.note(f"run folder: {directory.root}")
        with recorded_status(directory, log):
            _run_stages(plan, reporter)


def _run_stages(plan: RunPlan, reporter: Reporter) -> None:
    directory, base = plan.directory, plan.base
    with MathGrader() as grader:
        engine = HfEngine(base.model, base.tokenizer)
        problems = make_pool(plan, engine=engine, grader=grader, reporter=reporter)
        _evaluate(plan, directory.base, loaded=base, name=BASE, grader=grader, reporter=reporter)
        diagnose_base(plan, grader=grader, reporter=reporter)
        for training_seed in plan.recipe.training_seeds:
            for condition in plan.conditions:
                _run_condition(
                    plan, condition, training_seed=training_seed, problems=problems, grader=grader, reporter=reporter
                )
    document = document_of([directory])
    write_document(directory, document)
    show_document(document)


def _run_condition(
    plan: RunPlan,
    condition: ConditionSpec,
    *,
    training_seed: int,
    problems: list[Problem],
    grader: Grader,
    reporter: Reporter,
) -> None:
    folder = plan.directory.condition(condition.name, training_seed)
    name = condition.name if len(plan.recipe.training_seeds) == 1 else f"{condition.name}, seed {training_seed}"
    if folder.results.is_file():
        reporter.note(f"{name}: finished before")
        return
    record = train_stage(
        plan,
        condition,
        training_seed=training_seed,
        problems=problems,
        folder=folder,
        grader=grader,
        reporter=reporter,
        name=name,
        curve=curve_recorder(plan, folder, grader=grader),
        step_checkpoints=step_checkpoints(plan, folder),
    )
    for step in steps_to_score(plan, condition, folder, training_seed=training_seed):
        _evaluate_step(
            plan,
            condition,
            folder.step(step),
            name=f"{name}, step {step}",
            training_seed=training_seed,
            grader=grader,
            reporter=reporter,
        )
    # Scored last: its result is the marker that all of this is done.
    model, tokenizer = load_policy(folder.checkpoint, dtype=plan.recipe.training.dtype, device=plan.base.device)
    _evaluate(
        plan,
        folder,
        loaded=LoadedBase(model=model, tokenizer=tokenizer, device=plan.base.device),
        name=condition.name,
        shown_name=name,
        training_seed=training_seed,
        reveals=record.reveals,
        training=summary_of(record),
        grader=grader,
        reporter=reporter,
    )


def _evaluate_step(
    plan: RunPlan,
    condition: ConditionSpec,
    folder: StepFolder,
    *,
    name: str,
    training_seed: int,
    grader: Grader,
    reporter: Reporter,
) -> None:
    """Score a checkpoint on the way of a training."""
    record = read_record(folder.checkpoint)
    model, tokenizer = load_step_checkpoint(
        folder.checkpoint, base=plan.base_path, dtype=plan.recipe.training.dtype, device=plan.base.device
    )
    _evaluate(
        plan,
        folder,
        loaded=LoadedBase(model=model, tokenizer=tokenizer, device=plan.base.device),
        name=condition.name,
        shown_name=name,
        training_seed=training_seed,
        reveals=record.reveals,
        training=summary_of(record),
        grader=grader,
        reporter=reporter,
    )


def _evaluate(
    plan: RunPlan,
    folder: ModelFolder,
    *,
    loaded: LoadedBase,
    name: str,
    grader: Grader,
    reporter: Reporter,
    shown_name: str | None = None,
    training_seed: int | None = None,
    reveals: tuple[str, ...] = (),
    training: TrainingSummary | None = None,
) -> None:
    shown_name = shown_name or name
    if folder.results.is_file():
        reporter.note(f"{shown_name}: evaluated before")
        return
    total = plan.k * sum(len(benchmark.problems) for benchmark in plan.suite.benchmarks)
    with reporter.stage(f"evaluating {shown_name}", total=total, unit="samples") as advance:
        result = evaluate_checkpoint(
            engine=HfEngine(loaded.model, loaded.tokenizer),
            suite=plan.suite,
            k=plan.k,
            sampling=plan.sampling,
            run_seed=plan.recipe.recipe.seed,
            store=SampleStore(folder.samples),
            grader=grader,
            condition=name,
            training_seed=training_seed,
            reveals=reveals,
            training=training,
            prompt_format=None if plan.suite.prompt_kind == "nano" else plan.prompt_format,
            progress=advance,
        )
    write_result(folder.results, result)


def write_head(plan: RunPlan, *, kind: Purpose) -> None:
    """Recipe and manifest. The manifest is what makes a folder a run, so it is written after the recipe."""
    directory: RunDirectory = plan.directory
    directory.write_recipe(text=plan.recipe_text, resolved=plan.recipe.as_data())
    write_tuning(plan)
    if plan.heldout:
        write_json(directory.heldout, [{"id": p.id, "text": p.text, "answer": p.answer} for p in plan.heldout])
    code = code_state()
    if code is not None and code.diff:
        directory.write_code_diff(code.diff)
    directory.write_manifest(
        kind=kind,
        status="running",
        recipe=plan.recipe.recipe.name,
        recipe_hash=plan.recipe.digest,
        seed=plan.recipe.recipe.seed,
        hashes=plan.hashes,
        base=str(plan.base_path),
        suite=plan.suite.name,
        prompt_format=plan.prompt_format.name,
        command=command_line(),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        packages=package_versions(),
        plugins=[{"reference": p.reference, "sha256": p.digest, "feedback": list(p.feedback)} for p in plan.plugins],
        device=device_description(plan.base.device),
        commit=None if code is None else code.commit,
        diff_sha256=_sha256(code.diff) if code is not None and code.diff else None,
    )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
