"""The one table of the real benchmarks: the twelve of ``math12``, their reserve, and the paper's own held-out set.

Nothing of what they hold is shipped. A revision that is None is not pinned: no commit of it could be checked here, and
it is shown as ``unpinned``; the content lock (``locks.py``) says what was read in any case.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Literal

from sdbench.tasks.errors import UserError, suggestion

TASK_PREFIX = "sdbench_"
AnswerKind = Literal["integer", "number", "expression"]
Group = Literal["broad", "contest", "reserve", "protocol"]


@dataclass(frozen=True, kw_only=True)
class Source:
    """One benchmark.

    Attributes:
        name: how it is asked for and what its folder is called.
        folders: other names under which its folder is found.
        group: ``broad`` sets have statistical power, ``contest`` sets have a date; ``reserve`` and ``protocol`` are not
            of the twelve.
        hub_id, configuration, split, revision: where ``datasets`` finds it; revision None is unpinned.
        rows: how many problems the set has.
        answer_kind: ``integer`` (leading zeros and ``36.0`` are read as the integer), ``number`` (with units or in
            scientific notation) or ``expression`` (LaTeX, tuples, sets, text).
        relative_tolerance: how far a decimal may be from its gold, relative to it; None for exactly equal. A row's own
            tolerance (OlympiadBench) goes before it.
        licence: of the data, as its publisher states it.
        released: the day from which the problems can have been trained on.
        default_k: samples a problem.
        default_max_tokens: completion tokens a sample.
        provenance: where the numbers of this row are from.
    """

    name: str
    folders: tuple[str, ...] = ()
    group: Group
    hub_id: str
    configuration: str | None = None
    split: str
    revision: str | None = None
    rows: int
    answer_kind: AnswerKind
    relative_tolerance: float | None = None
    licence: str
    released: date
    default_k: int
    default_max_tokens: int
    provenance: str

    @property
    def task(self) -> str:
        """Its lm-eval task name."""
        return TASK_PREFIX + self.name


_MATHARENA = "CC BY-NC-SA 4.0"
_HUB_CARD = "row count, split and licence: the data set's card on the hub; date: the contest's own"

_ROWS = (
    Source(
        name="gsm8k",
        group="broad",
        hub_id="openai/gsm8k",
        configuration="main",
        split="test",
        revision="cc7b047b6e5bb11b4f1af84efc572db110a51b3c",
        rows=1319,
        answer_kind="integer",
        licence="MIT",
        released=date(2021, 10, 27),
        default_k=4,
        default_max_tokens=4096,
        provenance="arXiv 2110.14168 (date: its first version); licence: openai/grade-school-math",
    ),
    Source(
        name="math500",
        group="broad",
        hub_id="HuggingFaceH4/MATH-500",
        split="test",
        revision="6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be",
        rows=500,
        answer_kind="expression",
        licence="MIT",
        released=date(2021, 3, 5),
        default_k=4,
        default_max_tokens=16384,
        provenance="500 problems of MATH (arXiv 2103.03874: date) chosen by openai/prm800k (licence)",
    ),
    Source(
        name="aime24",
        group="contest",
        hub_id="MathArena/aime_2024",
        split="train",
        rows=30,
        answer_kind="integer",
        licence=_MATHARENA,
        released=date(2024, 1, 31),
        default_k=12,
        default_max_tokens=32768,
        provenance=_HUB_CARD,
    ),
    Source(
        name="aime25",
        group="contest",
        hub_id="MathArena/aime_2025",
        split="train",
        rows=30,
        answer_kind="integer",
        licence=_MATHARENA,
        released=date(2025, 2, 6),
        default_k=12,
        default_max_tokens=32768,
        provenance=_HUB_CARD,
    ),
    Source(
        name="aime26",
        group="contest",
        hub_id="MathArena/aime_2026",
        split="train",
        rows=30,
        answer_kind="integer",
        licence=_MATHARENA,
        released=date(2026, 2, 5),
        default_k=12,
        default_max_tokens=32768,
        provenance=_HUB_CARD,
    ),
    Source(
        name="hmmt_feb25",
        group="contest",
        hub_id="MathArena/hmmt_feb_2025",
        split="train",
        rows=30,
        answer_kind="expression",
        licence=_MATHARENA,
        released=date(2025, 2, 15),
        default_k=12,
        default_max_tokens=32768,
        provenance=_HUB_CARD,
    ),
    Source(
        name="hmmt_nov25",
        group="contest",
        hub_id="MathArena/hmmt_nov_2025",
        split="train",
        rows=30,
        answer_kind="expression",
        licence=_MATHARENA,
        released=date(2025, 11, 8),
        default_k=12,
        default_max_tokens=32768,
        provenance=_HUB_CARD,
    ),
    Source(
        name="amc23",
        group="contest",
        hub_id="math-ai/amc23",
        split="test",
        rows=40,
        answer_kind="number",
        licence="none stated",
        released=date(2023, 11, 8),
        default_k=12,
        default_max_tokens=16384,
        provenance="40 of AMC 12A and 12B 2023 with numeric answers, as QwenLM/Qwen2.5-Math holds them; date: AMC 12A",
    ),
    Source(
        name="minerva",
        folders=("minerva_math",),
        group="broad",
        hub_id="math-ai/minervamath",
        split="test",
        rows=272,
        answer_kind="number",
        relative_tolerance=0.01,
        licence="none stated",
        released=date(2022, 6, 29),
        default_k=4,
        default_max_tokens=16384,
        provenance="OCW courses of arXiv 2206.14858 (date); tolerance: sdbench's choice, its golds have 2 to 3 digits",
    ),
    Source(
        name="olympiadbench",
        group="broad",
        hub_id="Hothan/OlympiadBench",
        configuration="OE_TO_maths_en_COMP",
        split="train",
        rows=674,
        answer_kind="expression",
        licence="Apache-2.0 on the hub, MIT in OpenBMB/OlympiadBench",
        released=date(2024, 2, 21),
        default_k=4,
        default_max_tokens=16384,
        provenance="arXiv 2402.14008 (date; 674 open-ended English mathematics problems without images)",
    ),
    Source(
        name="brumo25",
        group="contest",
        hub_id="MathArena/brumo_2025",
        split="train",
        rows=30,
        answer_kind="expression",
        licence=_MATHARENA,
        released=date(2025, 4, 5),
        default_k=12,
        default_max_tokens=32768,
        provenance=_HUB_CARD,
    ),
    Source(
        name="beyond_aime",
        group="contest",
        hub_id="ByteDance-Seed/BeyondAIME",
        split="test",
        rows=100,
        answer_kind="integer",
        licence="CC0-1.0",
        released=date(2025, 6, 17),
        default_k=12,
        default_max_tokens=32768,
        provenance="the data set's card on the hub",
    ),
    Source(
        name="cmimc25",
        group="reserve",
        hub_id="MathArena/cmimc_2025",
        split="train",
        rows=40,
        answer_kind="expression",
        licence=_MATHARENA,
        released=date(2025, 4, 12),
        default_k=12,
        default_max_tokens=32768,
        provenance=_HUB_CARD,
    ),
    Source(
        name="hmmt_feb26",
        group="reserve",
        hub_id="MathArena/hmmt_feb_2026",
        split="train",
        rows=33,
        answer_kind="expression",
        licence=_MATHARENA,
        released=date(2026, 2, 14),
        default_k=12,
        default_max_tokens=32768,
        provenance=_HUB_CARD,
    ),
    Source(
        name="omr_heldout",
        group="protocol",
        hub_id="nvidia/OpenMathReasoning",
        split="cot",
        rows=30,
        answer_kind="expression",
        licence="CC BY 4.0",
        released=date(2025, 4, 22),
        default_k=12,
        default_max_tokens=2048,
        provenance="arXiv 2504.16891; 282 / 30, k and token cap: arXiv 2606.11173",
    ),
)

SOURCES = MappingProxyType({source.name: source for source in _ROWS})
"""Every benchmark by name, in order of display."""

MATH12 = tuple(source.name for source in _ROWS if source.group in ("broad", "contest"))
"""The names of the twelve, in order."""


def get_source(name: str) -> Source:
    """A benchmark by its name or its task name.

    Raises:
        UserError: there is none of that name.
    """
    bare = name.removeprefix(TASK_PREFIX)
    if bare not in SOURCES:
        raise UserError(f"unknown data set {name!r}; {suggestion(bare, SOURCES)}")
    return SOURCES[bare]
