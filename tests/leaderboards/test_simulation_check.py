"""The simulation of checks: its truths, and that its page can be made again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sdbench.leaderboards import simulation_check
from sdbench.leaderboards.regression.rules import Rules
from sdbench.leaderboards.regression.verdict import Decision
from sdbench.leaderboards.simulation_check import expected_sights, foretold
from sdbench.leaderboards.simulation_check_population import (
    PROBLEMS,
    SOLVE_COUNTS,
    Design,
    fitted_difficulties,
    simulate,
)


def test_the_fitted_laws_have_the_means_of_the_counts_and_their_spread() -> None:
    for counts, (a, b) in zip(SOLVE_COUNTS.values(), fitted_difficulties(), strict=True):
        assert sum(counts) == PROBLEMS
        shares = np.repeat(np.arange(9) / 8, counts)
        mean = a / (a + b)
        assert mean == pytest.approx(shares.mean(), abs=0.05)
        spread = mean * (1 - mean) * (a + b + 8) / ((a + b + 1) * 8)
        assert np.sqrt(spread) == pytest.approx(shares.std(), abs=0.06)


def test_the_mean_change_is_the_designed_one_and_verdicts_follow_it() -> None:
    gone = simulate(Design(change=-0.1, looks=4, rules=Rules()), pairs=12, seed=1)
    changes = [verdict.macro.candidate - verdict.macro.baseline for verdict in gone]
    assert np.mean(changes) == pytest.approx(-0.1, abs=0.012)
    assert {verdict.decision for verdict in gone} == {Decision.REGRESSED}
    assert all(verdict.samples_saved > 0 for verdict in gone)
    better = simulate(Design(change=0.1, looks=4, rules=Rules()), pairs=12, seed=1)
    assert {verdict.decision for verdict in better} == {Decision.HOLDS}
    assert simulate(Design(change=0.1, looks=4, rules=Rules()), pairs=12, seed=1) == better


def test_what_is_foretold_at_the_margin_is_the_level() -> None:
    rules = Rules()
    macro = expected_sights(rules, k=8)[0]
    assert foretold(-rules.margin, macro, rules) == pytest.approx((rules.alpha, rules.regressed_alpha))
    assert foretold(-macro.fall, macro, rules)[1] == pytest.approx(rules.power)
    assert foretold(0.0, macro, rules)[0] == pytest.approx(macro.passing)


def test_the_page_keeps_its_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulation_check, "CHANGES", (0.0,))
    page = tmp_path / "check.md"
    page.write_text("# Mine\n\n## Figures\nformerly\n")
    simulation_check.main(["--pairs", "1", "--out", str(page)])
    text = page.read_text()
    assert text.startswith("# Mine\n\n## Figures\n\nMade on ")
    assert "formerly" not in text
    assert text.count("\n| --:") == 3
    with pytest.raises(SystemExit):
        simulation_check.main(["--pairs", "0"])
