"""Throughput of the grader against math-verify, one after another in this process, on the same answers. Checks nothing.

python tests/perf/bench_grader.py [WORKERS]

Answers are of the kinds that benchmarks have, half of them right. Both read the same boxes; prints seconds and ratios.
"""

from __future__ import annotations

import random
import sys
import time

from math_verify import parse, verify  # type: ignore[import-untyped]

from sdbench.tasks.grading.math_grader import MathGrader
from sdbench.tasks.grading.verdict import GradeItem

ROUNDS = 25


def answers(rng: random.Random) -> list[tuple[str, str]]:
    """A gold and a prediction of each kind: integers, fractions, radicals, tuples, intervals, formulas, words."""
    a, b, c = (rng.randint(2, 999) for _ in range(3))
    right = rng.random() < 0.5
    d = a if right else a + 1
    return [
        (f"{a}", f"{d}"),
        (f"{a}", f"{d}.0"),
        (rf"\frac{{{a}}}{{{b}}}", f"{d}/{b}"),
        (rf"{a}\sqrt{{{b}}}", rf"\sqrt{{{b}}}\cdot {d}"),
        (f"({a},{b})", rf"\left({d}, {b}\right)"),
        (f"[{a},{a + b})", f"[{d},{a + b})"),
        (f"{a}x+{b}", f"{b}+{d}x"),
        (f"x^2+{a}x+{b}", f"x(x+{d})+{b}"),
        (f"{a},{b},{c}", f"{c}, {d}, {b}"),
        (r"\text{odd}", "odd" if right else "even"),
    ]


def main() -> None:
    """Time both on the same pairs."""
    workers = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    rng = random.Random(0)
    pairs = [pair for _ in range(ROUNDS) for pair in answers(rng)]
    items = [GradeItem(gold=gold, prediction=f"So \\boxed{{{answer}}}.") for gold, answer in pairs]
    with MathGrader(workers=workers) as grader:
        grader.grade([GradeItem(gold="x+1", prediction="1+x", kind="answer")])
        start = time.perf_counter()
        verdicts = grader.grade(items)
        ours = time.perf_counter() - start
    parse("$1$")
    start = time.perf_counter()
    theirs_right = [verify(parse(f"\\boxed{{{item.gold}}}"), parse(item.prediction)) for item in items]
    theirs = time.perf_counter() - start
    agree = sum((one.verdict == "correct") is other for one, other in zip(verdicts, theirs_right, strict=True))
    print(f"{len(items)} answers, {agree} of them judged alike")
    print(f"sdbench, {workers} worker(s)   {ours:8.2f} s  {len(items) / ours:8.0f} answers/s")
    print(f"math-verify, serial     {theirs:8.2f} s  {len(items) / theirs:8.0f} answers/s")
    print(f"ratio                   {theirs / ours:8.1f} times as many answers a second")


if __name__ == "__main__":
    main()
