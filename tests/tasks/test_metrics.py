"""Per-problem metrics: numbers worked by hand, brute force over all draws, and identities."""

from __future__ import annotations

from itertools import combinations

import pytest

from sdbench.tasks.metrics import avg_at_k, avg_bounds, maj_at_k, outcome_shares, pass_at_k
from sdbench.tasks.outcome import Outcome

C, W, N, T, U, X = (
    Outcome.CORRECT,
    Outcome.WRONG,
    Outcome.NO_ANSWER,
    Outcome.TRUNCATED,
    Outcome.UNGRADED,
    Outcome.UNFIT,
)


def test_avg_counts_every_failure_as_zero_and_leaves_ungraded_out() -> None:
    assert avg_at_k(outcomes=[C, W, N, T, X]) == 1 / 5
    assert avg_at_k(outcomes=[C, W, U]) == 1 / 2
    assert avg_at_k(outcomes=[U, U]) is None
    assert avg_bounds(outcomes=[C, W, U, U]) == (1 / 4, 3 / 4)
    assert avg_bounds(outcomes=[C, W]) == (1 / 2, 1 / 2)


@pytest.mark.parametrize("n", range(1, 7))
def test_pass_at_k_equals_the_share_of_all_draws_with_a_hit(n: int) -> None:
    for c in range(n + 1):
        samples = [True] * c + [False] * (n - c)
        for k in range(1, n + 1):
            draws = list(combinations(samples, k))
            assert pass_at_k(n=n, c=c, k=k) == pytest.approx(sum(map(any, draws)) / len(draws))
        assert pass_at_k(n=n, c=c, k=1) == pytest.approx(c / n)


def test_pass_at_k_of_too_few_samples_is_undefined() -> None:
    assert pass_at_k(n=3, c=3, k=4) is None
    assert pass_at_k(n=0, c=0, k=1) is None


@pytest.mark.parametrize(("n", "c", "k"), [(3, 4, 1), (3, -1, 1), (3, 1, 0)])
def test_pass_at_k_refuses_impossible_counts(n: int, c: int, k: int) -> None:
    with pytest.raises(ValueError, match="must be"):
        pass_at_k(n=n, c=c, k=k)


@pytest.mark.parametrize(
    ("answers", "outcomes", "expected"),
    [
        (["4", "4", "5"], [C, C, W], 1.0),
        (["4", "5", "5"], [C, W, W], 0.0),
        # Two classes tie at two votes each, one of them right; then three at one vote each.
        (["4", "5", "5", "4", "6"], [C, W, W, C, W], 1 / 2),
        (["4", "5", "6"], [W, C, W], 1 / 3),
        # A sample without an answer casts no vote, however many there are.
        ([None, None, None, "4"], [N, T, X, C], 1.0),
        ([None, None], [N, T], 0.0),
        # The top class could not be graded; a lower one does not matter.
        (["4", "4", "5"], [U, U, C], None),
        (["4", "4", "5"], [C, C, U], 1.0),
        (["4", "4", "4"], [C, U, C], 1.0),
        ([None, None], [N, U], None),
    ],
)
def test_maj_at_k(answers: list[str | None], outcomes: list[Outcome], expected: float | None) -> None:
    value = maj_at_k(answers=answers, outcomes=outcomes)
    assert value == (None if expected is None else pytest.approx(expected))


def test_maj_at_k_does_not_hang_on_the_order_of_samples() -> None:
    answers: list[str | None] = ["a", "b", "b", "a", "c", None]
    outcomes = [C, W, W, C, W, N]
    assert maj_at_k(answers=answers[::-1], outcomes=outcomes[::-1]) == maj_at_k(answers=answers, outcomes=outcomes)


def test_maj_at_k_refuses_lists_of_different_length() -> None:
    with pytest.raises(ValueError, match="2 answers but 1 outcomes"):
        maj_at_k(answers=["4", "5"], outcomes=[C])


def test_shares_name_all_six_outcomes_and_add_up_to_one() -> None:
    shares = outcome_shares(outcomes=[C, C, W, N])
    assert shares == {C: 0.5, W: 0.25, N: 0.25, T: 0.0, X: 0.0, U: 0.0}
    assert set(shares) == set(Outcome)


def test_no_samples_have_no_metric() -> None:
    for metric in (avg_at_k, avg_bounds, outcome_shares):
        with pytest.raises(ValueError, match="no samples"):
            metric(outcomes=[])
    with pytest.raises(ValueError, match="no samples"):
        maj_at_k(answers=[], outcomes=[])
