from __future__ import annotations

import random

from sdbench.tasks.nano.facts import default_facts
from sdbench.tasks.nano.families import Depth, Family
from sdbench.tasks.nano.problems import parse_problem, random_problem
from sdbench.tasks.nano.step_truth import StepFault, StepVerdict, judge_trace
from sdbench.tasks.nano.traces import Notation, execute, read_steps

PROBLEM = parse_problem("sum4:a3b8c9d4")  # 3 + 8 + 9 + 4 = 24: the answer is 4
RIGHT = "a3+b8=p1;p1+c9=q0;q0+d4=r4;#4"


def test_a_right_trace_is_right_in_every_step() -> None:
    judged = judge_trace(PROBLEM, RIGHT)
    assert [step.verdict for step in judged.steps] == [StepVerdict.CORRECT] * 3
    assert (judged.path, judged.answer, judged.well_formed, judged.first_error) == (0, 4, True, None)
    assert [RIGHT[step.start : step.end] for step in judged.steps] == ["a3+b8=p1;", "p1+c9=q0;", "q0+d4=r4;"]


def test_what_follows_the_first_error_is_after_the_error_however_right_it_is() -> None:
    judged = judge_trace(PROBLEM, "a3+b8=p1;p1+c9=q5;q5+d4=r9;#9")
    assert [step.verdict for step in judged.steps] == [
        StepVerdict.CORRECT,
        StepVerdict.FIRST_ERROR,
        StepVerdict.AFTER_ERROR,
    ]
    assert judged.steps[1].fault is StepFault.WRONG_RESULT
    assert judged.steps[2].fault is None  # right for its own operands
    assert judged.well_formed
    assert judged.first_error == 1


def test_a_wrong_operand_and_a_foreign_step_are_told_apart_and_are_malformed() -> None:
    operand = judge_trace(PROBLEM, "a3+b7=p0;p0+c9=q9;q9+d4=r3;#3")
    assert operand.steps[0].fault is StepFault.WRONG_OPERAND
    assert not operand.well_formed
    stale = judge_trace(PROBLEM, "a3+b8=p1;p2+c9=q1;q1+d4=r5;#5")  # carries 2 where it had written 1
    assert stale.steps[1].fault is StepFault.WRONG_OPERAND
    foreign = judge_trace(PROBLEM, "a3+b8=p1;p1-c9=q2;q2+d4=r6;#6")
    assert foreign.steps[1].fault is StepFault.OFF_PROCEDURE
    assert not foreign.well_formed


def test_jumps_cuts_and_words_are_malformed_but_their_answer_is_read() -> None:
    jump = judge_trace(PROBLEM, "a3+b8=p1;#4")
    assert (jump.answer, jump.well_formed) == (4, False)
    cut = judge_trace(PROBLEM, "a3+b8=p1;p1+c9=")
    assert (cut.answer, cut.well_formed, len(cut.steps)) == (None, False, 1)
    words = judge_trace(PROBLEM, execute(PROBLEM, 1).write(Notation.WORDS))
    assert (words.answer, words.well_formed, words.steps, words.path) == (4, False, (), None)
    other_end = judge_trace(PROBLEM, RIGHT[:-1] + "7")
    assert (other_end.answer, other_end.well_formed) == (7, False)


def test_noisy_traces_are_judged_as_they_were_made() -> None:
    rng = random.Random(2)
    for family in Family:
        for depth in Depth:
            for _ in range(50):
                problem = random_problem(rng, family=family, depth=depth)
                path = rng.randrange(2)
                trace = execute(problem, path, noise=(default_facts(), rng))
                judged = judge_trace(problem, trace.write())
                assert judged.well_formed
                assert judged.path == path
                assert judged.first_error == trace.first_error
                assert judged.answer == trace.answer
                assert [step.step for step in judged.steps] == list(trace.steps)


def test_a_prefix_is_kept_and_carried_on() -> None:
    wrong = execute(PROBLEM, 0).steps[:1]
    assert execute(PROBLEM, 0, prefix=wrong).write() == RIGHT
    steps, rest = read_steps("a3+b8=p5;p5+c9=q4;tail")
    carried = execute(PROBLEM, 0, prefix=[step for step, _, _ in steps])
    assert carried.write() == "a3+b8=p5;p5+c9=q4;q4+d4=r8;#8"
    assert rest == "tail"
