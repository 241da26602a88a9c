"""The alignment score by hand, on nano and in plain language, and what it must not depend on."""

from __future__ import annotations

import pytest

from sdbench.trainers.feedback.alignment_score import AlignmentScore, alignment_score, longest_beginning, tokens_of
from sdbench.trainers.steps.splitters import NanoSplitter, step_splitter

PROBLEM = "sum4:a3b8c9d4"
TRACE = "a3+b8=p1;p1+c9=q1;q1+d4=r5;#5"  # 20 tokens: three steps of six, and the answer's two


def nano(context: str, trace: str = TRACE) -> AlignmentScore:
    found = alignment_score(trace, context, splitter=NanoSplitter(), problem_text=PROBLEM)
    assert found is not None
    return found


def test_names_keep_their_values_and_signs_stand_alone() -> None:
    assert tokens_of("a3+b8=p1;#5") == ("a3", "+", "b8", "=", "p1", ";", "#", "5")
    assert tokens_of("plus a3b8 gives p1, ") == ("plus", "a3", "b8", "gives", "p1", ",")
    assert tokens_of("So 12 x_1 is 3.5") == ("so", "12", "x", "_", "1", "is", "3", ".", "5")


def test_the_trace_itself_is_aligned_and_an_empty_note_is_not() -> None:
    assert nano(f"|attempt {PROBLEM}/{TRACE}").score == 1.0
    assert nano(f"|note {PROBLEM}/").score == 0.0


def test_a_critique_up_to_the_error_by_hand() -> None:
    found = nano(f"|critique {PROBLEM}/a3+b8=p1;!p1+c9=q0;q0+d4=r4;#4")
    # Six tokens stand in one piece. Then the second step is kept up to its result: p1 + c9 =, four more.
    assert found.prefix == pytest.approx(6 / 20)
    assert found.divergence == pytest.approx(10 / 20)
    # Taken up: the first step, and the second (p1 and c9 of three names); not the third (d4), nor the answer.
    assert found.order == pytest.approx(2 / 4)
    # Missing: q1 twice, r5, 5.
    assert found.overlap == pytest.approx(16 / 20)
    assert found.score == pytest.approx((6 / 20 + 10 / 20 + 2 / 4 + 16 / 20) / 4)


def test_words_hide_no_step_and_another_path_does() -> None:
    right = "a3+b8=p1;p1+c9=q0;q0+d4=r4;#4"
    own_words = nano("plus a3b8 gives p1, plus p1c9 gives q0, plus q0d4 gives r4, #4", right)
    other = nano("d4+c9=i3;i3+b8=j1;j1+a3=k4;#4", right)
    assert own_words.order == 1.0
    assert other.order == pytest.approx(1 / 4)  # the answer alone
    assert own_words.overlap < other.overlap  # which is why overlap alone would not do


def test_order_counts_steps_that_come_in_turn() -> None:
    trace = "a1+b2=p3;c4+d5=q9;e6+f7=r3;"
    assert nano("a1+b2=p3;c4+d5=q9;e6+f7=r3;", trace).order == 1.0
    assert nano("e6+f7=r3;c4+d5=q9;a1+b2=p3;", trace).order == pytest.approx(1 / 3)
    assert nano("c4+d5=q9;e6+f7=r3;a1+b2=p3;", trace).order == pytest.approx(2 / 3)


def test_what_the_context_repeats_of_the_problem_is_not_counted() -> None:
    with_problem = alignment_score(TRACE, f"|note {PROBLEM}/", splitter=NanoSplitter())
    assert with_problem is not None
    assert with_problem.overlap > 0
    assert nano(f"|note {PROBLEM}/").overlap == 0.0


def test_in_plain_language() -> None:
    splitter = step_splitter("numbered")
    trace = "1. Each box holds 6 eggs, so 7 boxes hold 6 * 7 = 41 eggs.\n2. The answer is \\boxed{41}."
    mended = "1. Each box holds 6 eggs, so 7 boxes hold 6 * 7 = 42 eggs.\n2. The answer is \\boxed{42}."
    other = "Seven dozen halves are three and a half dozen, that is 42."
    close = alignment_score(trace, mended, splitter=splitter)
    far = alignment_score(trace, other, splitter=splitter)
    assert close is not None
    assert far is not None
    assert close.order == 1.0
    assert far.order == 0.0
    assert close.score > 0.5 > 0.2 > far.score
    assert close.prefix == pytest.approx(longest_beginning(tokens_of(trace), tokens_of(mended)) / len(tokens_of(trace)))


def test_a_trace_without_tokens_has_no_score_and_one_without_steps_is_one() -> None:
    assert alignment_score(" \n", "anything", splitter=NanoSplitter()) is None
    assert alignment_score("", "", splitter=NanoSplitter()) is None
    found = alignment_score("no steps here", "no steps here", splitter=NanoSplitter())
    assert found is not None
    assert found.score == 1.0
    nothing = alignment_score("a3+b8=p1;", "", splitter=NanoSplitter())
    assert nothing is not None
    assert nothing.score == 0.0
