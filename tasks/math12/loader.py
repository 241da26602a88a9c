"""The data of the pack for lm-eval: a user's folder, else the hub; counted and checked against its lock either way."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from sdbench.tasks.data.loading import load_from_hub, load_set
from sdbench.tasks.data.places import AbsentDataError, data_folder
from sdbench.tasks.prompts import math_question

if TYPE_CHECKING:
    from datasets import Dataset  # type: ignore[import-untyped]


def doc_to_text(doc: Mapping[str, str]) -> str:
    """The user turn: the instruction and the problem, as ``sdbench eval`` asks it through a chat template."""
    return math_question(doc["text"])


def load(*, benchmark: str, data_dir: str | None = None, **_metadata: object) -> dict[str, Dataset]:
    """lm-eval's ``custom_dataset``: the rows of one benchmark.

    From ``data_dir`` (``--metadata '{"data_dir": "..."}'``) or ``SDBENCH_DATA_DIR`` where one is named, and then never
    from the network; else from the user's cache, else from the hub. lm-eval hands its model arguments over as well;
    none of them shapes the data.

    Raises:
        UserError: the set is absent, broken, of an unknown count, or not the locked one.
    """
    from datasets import Dataset  # half a second that listing and hashing do not need

    folder = None if data_dir is None else Path(data_dir)
    try:
        found = load_set(benchmark, data_dir=folder)
    except AbsentDataError:
        if data_folder(folder).named:
            raise
        found = load_from_hub(benchmark)
    rows = [
        {
            "id": problem.id,
            "text": problem.text,
            "answer": problem.answer,
            "relative_tolerance": problem.relative_tolerance,
        }
        for problem in found.problems
    ]
    return {"test": Dataset.from_list(rows)}
