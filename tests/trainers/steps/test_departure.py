"""Where a rewrite departs from an attempt, by hand."""

from __future__ import annotations

from sdbench.trainers.steps.departure import find_departure
from sdbench.trainers.steps.splitters import step_splitter

NANO, NUMBERED = step_splitter("nano"), step_splitter("numbered")
ATTEMPT = "a3+b8=p1;p1+c9=q1;#1"


def test_the_first_step_that_is_not_kept() -> None:
    departure = find_departure(ATTEMPT, "a3+b8=p1;p1+c9=q0;#0", NANO)
    assert departure is not None
    assert (departure.kept, departure.attempt_steps, departure.agrees) == (1, 2, False)
    wrong = departure.departed_from
    assert wrong is not None
    assert (wrong.text, ATTEMPT[wrong.start : wrong.end]) == ("p1+c9=q1;", "p1+c9=q1;")
    assert [piece.text for piece in departure.mended] == ["p1+c9=q0;", "#0"]


def test_the_answer_is_a_piece_but_no_step() -> None:
    departure = find_departure(ATTEMPT, "a3+b8=p1;p1+c9=q1;#2", NANO)
    assert departure is not None
    assert (departure.kept, departure.attempt_steps) == (2, 2)
    assert departure.departed_from is not None
    assert departure.departed_from.text == "#1"


def test_agreement_takes_no_notice_of_white_space() -> None:
    departure = find_departure("1. one  two\n2. three", " 1. one\ntwo\n2. three\n", NUMBERED)
    assert departure is not None
    assert departure.agrees
    assert (departure.departed_from, departure.mended) == (None, ())


def test_an_attempt_that_stops_departs_from_nothing() -> None:
    departure = find_departure("a3+b8=p1;", "a3+b8=p1;p1+c9=q0;#0", NANO)
    assert departure is not None
    assert departure.departed_from is None
    assert not departure.agrees
    assert [piece.text for piece in departure.mended] == ["p1+c9=q0;", "#0"]


def test_without_steps_there_is_no_departure() -> None:
    assert find_departure("no steps", "1. one", NUMBERED) is None
    assert find_departure("1. one", "no steps", NUMBERED) is None
