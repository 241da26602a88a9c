"""A check as JUnit XML, which CI systems show as tests: one suite a comparison, one case a criterion."""

from __future__ import annotations

from xml.etree import ElementTree

from sdbench.leaderboards.regression.report import CheckReport, Comparison
from sdbench.leaderboards.regression.verdict import Criterion, Decision
from sdbench.leaderboards.render.check_words import change_text, comparison_sentences, title
from sdbench.leaderboards.render.text import clean, p_text


def render_check_junit(report: CheckReport) -> str:
    """The report as a JUnit file.

    A criterion that is evidently worse than allowed is a failure of type ``regressed``. A macro that is neither shown
    to hold nor to have regressed, or a missing verdict, is one of type ``too_little_evidence``: what is not shown must
    not look passed. Text of unknown origin is escaped, characters that XML forbids too.
    """
    root = ElementTree.Element("testsuites", name=clean(f"sdbench check: {title(report)}"))
    totals = [0, 0]
    for comparison in report.comparisons:
        cases = _cases(comparison)
        failures = sum(case.find("failure") is not None for case in cases)
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=clean(comparison.name),
            tests=str(len(cases)),
            failures=str(failures),
            errors="0",
            skipped="0",
        )
        suite.extend(cases)
        output = ElementTree.SubElement(suite, "system-out")
        output.text = clean(" ".join(comparison_sentences(comparison, named=False)))
        totals[0] += len(cases)
        totals[1] += failures
    root.set("tests", str(totals[0]))
    root.set("failures", str(totals[1]))
    root.set("errors", "0")
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _cases(comparison: Comparison) -> list[ElementTree.Element]:
    cases = []
    if comparison.blind is not None:
        cases.append(_case("verdict", "verdict", failure=("too_little_evidence", comparison.blind)))
    if comparison.verdict is not None:
        cases += [_criterion(criterion) for criterion in comparison.verdict.criteria]
    return cases


def _criterion(criterion: Criterion) -> ElementTree.Element:
    failure = None
    told = f"{change_text(criterion)}, p worse {p_text(criterion.p_regressed)}"
    if criterion.decision is Decision.REGRESSED:
        failure = ("regressed", told)
    elif criterion.kind == "macro" and criterion.decision is Decision.UNDECIDED:
        failure = ("too_little_evidence", told)
    return _case(criterion.name, criterion.kind, failure=failure)


def _case(name: str, kind: str, *, failure: tuple[str, str] | None) -> ElementTree.Element:
    case = ElementTree.Element("testcase", name=clean(name), classname=f"sdbench.check.{kind}")
    if failure is not None:
        told = clean(failure[1])
        ElementTree.SubElement(case, "failure", type=failure[0], message=told).text = told
    return case
