"""Each splitter by hand, spans that hold, and traces without steps."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from sdbench.tasks.errors import UserError
from sdbench.tasks.nano.facts import default_facts
from sdbench.tasks.nano.families import Depth, Family
from sdbench.tasks.nano.problems import random_problem
from sdbench.tasks.nano.traces import execute
from sdbench.trainers.steps.splitters import SplitterName, step_splitter

TRACES: list[tuple[SplitterName, str, list[str]]] = [
    ("tags", "<step_1>\n2+2=4\n</step_1>\n<step_2>4+1=5</step_2><answer>5</answer>", ["2+2=4", "4+1=5"]),
    ("tags", "<step_1>one <step_2> two<answer>5</answer>", ["one", "two"]),
    ("tags", "<step_1>one</step_1><step_3>three</step_3>", ["one"]),
    ("tags", "<step_1>cut in the", ["cut in the"]),
    ("tags", "1. one\n2. two", []),
    ("numbered", "1. one\n   more\n2) two\n", ["1. one\n   more", "2) two"]),
    (
        "numbered",
        "First:\n**Step 1:** one\n\n### Step 2. two\n\\boxed{2}",
        ["**Step 1:** one", "### Step 2. two\n\\boxed{2}"],
    ),
    ("numbered", "1. cases:\n 1. a\n 3. c\n2. so", ["1. cases:\n 1. a\n 3. c", "2. so"]),
    ("numbered", "It costs 1.50 and\n12.5 more", []),
    ("numbered", "2. begins late", []),
    ("blank_lines", "one\nstill one\n\n \n two", ["one\nstill one", "two"]),
    ("blank_lines", "only one", []),
    ("lines", "one\n\ntwo\n", ["one", "two"]),
    ("lines", "one", []),
    (
        "sentences",
        "It is 2.5 so far. Then $x = 3.$ Thus 4. So 5.",
        ["It is 2.5 so far.", "Then $x = 3.$", "Thus 4.", "So 5."],
    ),
    ("sentences", "Dr. Who has (3.) Now 4! Is it? Yes.", ["Dr. Who has (3.)", "Now 4!", "Is it?", "Yes."]),
    ("sentences", "No end", []),
    ("nano", "a3+b8=p1;p1+c9=q0;#0", ["a3+b8=p1;", "p1+c9=q0;"]),
    ("nano", "a3+b8=p;=q0;#0;", ["a3+b8=p;", "=q0;"]),
    ("nano", "#4", []),
    ("nano", "a3+b8", []),
]


@pytest.mark.parametrize(("name", "trace", "steps"), TRACES)
def test_splitters_by_hand(name: SplitterName, trace: str, steps: list[str]) -> None:
    found = step_splitter(name).split(trace)
    assert [step.text for step in found] == steps
    assert all(trace[step.start : step.end] == step.text for step in found)
    assert all(before.end <= after.start for before, after in pairwise(found))


def test_nothing_has_no_steps() -> None:
    for name in {name for name, _, _ in TRACES}:
        assert step_splitter(name).split("") == step_splitter(name).split(" \n\n ") == ()


def test_nano_steps_are_those_that_were_written() -> None:
    rng = random.Random(0)
    for family in Family:
        trace = execute(random_problem(rng, family=family, depth=Depth.DEEP), 1, noise=(default_facts(), rng))
        found = step_splitter("nano").split(trace.write())
        assert [step.text for step in found] == [step.write() for step in trace.steps]


def test_an_unknown_splitter_gets_a_suggestion() -> None:
    with pytest.raises(UserError, match=r"no step splitter 'numbred'; did you mean 'numbered'\?"):
        step_splitter("numbred")
