"""How often ``sdbench check`` is wrong, what it sees and what it saves, on pairs whose true difference is known.

``python -m sdbench.leaderboards.simulation_check [--pairs 2000] [--seed 1] [--out docs/check.md]`` prints the figures
of ``docs/check.md``. How pairs are drawn stands in ``simulation_check_population``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import numpy as np
from scipy import special

from sdbench.leaderboards.regression.measures import Measure
from sdbench.leaderboards.regression.power import Sight, sights
from sdbench.leaderboards.regression.rules import Rules
from sdbench.leaderboards.regression.verdict import GUARDS, Decision, Verdict
from sdbench.leaderboards.simulation_check_population import (
    COUNTED_K,
    PROBLEMS,
    SOLVE_COUNTS,
    Design,
    expected_baseline,
    simulate,
)
from sdbench.leaderboards.simulation_page import FIGURES, figures_command, table, tell
from sdbench.leaderboards.simulation_rates import Rate

LOOKS = 4
CHANGES = (0.0, -0.02, -0.03, -0.04)
UNLIKE = 0.5
# The macro's margin where every benchmark lies at its own, which is the same.
WORST_CASE = Rules(margin=0.05, benchmark_margin=0.05)
EASY_SHIFT = 4.0
FAMILY = len(SOLVE_COUNTS) + len(GUARDS)


def expected_sights(rules: Rules, *, k: int, spread: float = 0.0) -> list[Sight]:
    """What ``sdbench power`` foretells of these pairs: from the chances themselves, not from one draw of them."""
    accuracy = expected_baseline()[Measure.ACCURACY]
    return sights(accuracy, rules=rules, times=[k / COUNTED_K] * len(accuracy), spread=spread, family=FAMILY)


def foretold(change: float, sight: Sight, rules: Rules) -> tuple[float, float]:
    """Chances that the macro is said to hold, and to have regressed, in one look."""
    z = (change + rules.margin) / sight.standard_error
    holds = float(special.ndtr(z - float(-special.ndtri(rules.alpha))))
    regressed = float(special.ndtr(-z - float(-special.ndtri(rules.regressed_alpha))))
    return holds, regressed


def looks_table(*, pairs: int, seed: int) -> str:
    """Verdicts by true change, judged once and in rounds, with what ``power`` foretells and the samples drawn."""
    rules = Rules()
    rows = []
    macro = expected_sights(rules, k=COUNTED_K)[0]
    for change in CHANGES:
        for looks in (1, LOOKS):
            found = simulate(Design(change=change, looks=looks, rules=rules), pairs=pairs, seed=seed)
            drawn = [verdict.looks[-1].samples / verdict.looks[-1].planned for verdict in found]
            told = [f"{100 * chance:.1f}" for chance in foretold(change, macro, rules)]
            rows.append([_points(change), str(looks), *_shares(found), *told, f"{100 * np.mean(drawn):.0f}"])
            tell("looks", rows[-1])
    heads = ["true change", "looks at most", "holds", "regressed", "too little", "holds, foretold"]
    return table([*heads, "regressed, foretold", "samples drawn, % of planned"], rows)


def boundary_table(*, pairs: int, seed: int) -> str:
    """Verdicts where the truth lies exactly at a margin: both lights are wrong there as often as they can be."""
    population = Rules(estimand="population")
    designs = {
        "k = 4, in rounds": Design(change=-0.02, k=4, looks=LOOKS, rules=Rules()),
        "k = 16, in rounds": Design(change=-0.02, k=16, looks=LOOKS, rules=Rules()),
        "unlike problems, in rounds": Design(change=-0.02, unlike=UNLIKE, looks=LOOKS, rules=Rules()),
        "every benchmark at its margin (5), macro's too, once": Design(change=-0.05, every=True, rules=WORST_CASE),
        "an easy suite, once": Design(change=-0.02, shift=EASY_SHIFT, rules=Rules()),
        "an easy suite, in rounds": Design(change=-0.02, shift=EASY_SHIFT, looks=LOOKS, rules=Rules()),
        "population, once": Design(change=-0.02, unlike=UNLIKE, rules=population),
        "population, in rounds": Design(change=-0.02, unlike=UNLIKE, looks=LOOKS, rules=population),
    }
    rows = []
    for name, design in designs.items():
        found = simulate(design, pairs=pairs, seed=seed)
        rows.append([name, *_shares(found), _rate(found, lambda v: v.macro.decision is Decision.REGRESSED)])
        tell("boundary", rows[-1])
    return table(["at the margin", "holds", "regressed", "too little", "macro regressed"], rows)


def benchmark_table(*, pairs: int, seed: int) -> str:
    """How often one benchmark that fell alone is found, at the fall that ``power`` says is found 80 % of the time."""
    rules = Rules()
    name = next(iter(SOLVE_COUNTS))
    sight = expected_sights(rules, k=COUNTED_K)[1]
    rows = []
    for label, fall in (("its margin", sight.margin), ("what `power` names", sight.fall)):
        design = Design(change=0.0, alone=-fall, rules=rules)
        found = simulate(design, pairs=pairs, seed=seed)
        others = _rate(found, lambda v: any(c.kind == "benchmark" and c.name != name for c in v.regressed))
        rows.append([label, _points(-fall), _rate(found, lambda v: any(c.name == name for c in v.regressed)), others])
        tell("benchmark", rows[-1])
    return table([f"true fall of {name} alone", "points", "found regressed", "another one called so"], rows)


def figures(*, pairs: int, seed: int, command: str) -> str:
    """All tables, with the design of the pairs and the command, in Markdown."""
    rules = Rules()
    return f"""{FIGURES}

Made on {datetime.now(UTC).date()} by `{command}`.

Each figure is over {pairs:,} pairs of checkpoints, in %; ± is its Monte Carlo standard error, in points (two pairs of
each kind added, so that none is zero). {len(SOLVE_COUNTS)} benchmarks x {PROBLEMS} problems; every pair has problems of
its own, drawn from the Beta laws that fit the solve counts of the packaged base, benchmark by benchmark. The baseline
has k = {COUNTED_K}, and the checkpoint where no other k stands; the two are drawn with different seeds. Margins are the
defaults: {100 * rules.margin:g} points of the macro, {100 * rules.benchmark_margin:g} of a benchmark; alpha is
{100 * rules.alpha:g} %. `unlike` problems (and those of `population`) are each moved by an amount of their own as well,
with a standard deviation of {UNLIKE} logits; `an easy suite` has {EASY_SHIFT:g} logits added to every problem.

### What is said, by the true change of the macro

Stated: `holds` at most {100 * rules.alpha:g} at a change of {_points(-rules.margin)} or less; `regressed` at most
{100 * rules.alpha:g} at {_points(-rules.margin)} or more. Foretold: of one look at the macro, by `sdbench power`.

{looks_table(pairs=pairs, seed=seed)}

### At the margin

Stated: `holds` at most {100 * rules.alpha:g}, `regressed` at most {100 * rules.alpha:g}, of which the macro
{100 * rules.regressed_alpha:g}.

{boundary_table(pairs=pairs, seed=seed)}

### One benchmark alone

Stated: another one at most {100 * rules.regressed_alpha:g}; foretold of the second row: {100 * rules.power:g}.

{benchmark_table(pairs=pairs, seed=seed)}
"""


def _points(share: float) -> str:
    return f"{100 * share:+.1f}" if share else "0"


def _shares(verdicts: Sequence[Verdict]) -> list[str]:
    said = [verdict.decision for verdict in verdicts]
    return [
        _share(said.count(decision), len(said)) for decision in (Decision.HOLDS, Decision.REGRESSED, Decision.UNDECIDED)
    ]


def _rate(verdicts: Sequence[Verdict], happened: Callable[[Verdict], bool]) -> str:
    return _share(sum(map(happened, verdicts)), len(verdicts))


def _share(count: int, pairs: int) -> str:
    rate = Rate(count=count, boards=pairs)
    return f"{100 * rate.share:.1f} ± {100 * rate.error:.1f}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Command-line entry."""
    figures_command(
        "sdbench.leaderboards.simulation_check",
        counted="pair",
        description=__doc__,
        figures=lambda pairs, seed, command: figures(pairs=pairs, seed=seed, command=command),
        arguments=arguments,
    )


if __name__ == "__main__":
    main()
