"""What ``sdbench eval`` and ``sdbench show prompt`` say of sampling, thinking and tasks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Call = Callable[..., Any]
ONE = ("--tasks", "sdbench_nano_sum_1", "--limit", "2")


def test_sampling_is_set_recorded_and_part_of_what_a_folder_holds(call: Call, tiny_base: Path, tmp_path: Path) -> None:
    command = ("eval", tiny_base, "--suite", "nano12", *ONE, "--out", "out")
    sampling = ("--sampling", "max_tokens=4", "--sampling", "temperature=0.5")
    done = call(*command, *sampling, "--k", "2")
    assert done.code == 0, done.err
    settings = json.loads((tmp_path / "out/models/tiny/results.json").read_text())["settings"]
    assert (settings["k"], settings["own"]) == (2, {})
    assert (settings["sampling"]["max_tokens"], settings["sampling"]["temperature"]) == (4, 0.5)
    other = call(*command, "--k", "2")
    assert other.code == 2
    assert "holds another evaluation: sampling is" in other.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--sampling", "temperature=0", "--k", "2"), "temperature=0 with k = 2 draws one text 2 times; give --k 1"),
        (("--sampling", "heat=2"), "--sampling: unknown setting 'heat'"),
        (("--sampling", "top_p=2"), "top_p = 2.0 must be in (0, 1]"),
        (("--thinking",), "--thinking: the nano suite is asked in a form of its own"),
        (("--thinking", "--engine", "openai", "--base-url", "http://localhost:1/v1"), "set it on the server"),
    ],
)
def test_what_cannot_be_drawn_is_refused_and_writes_nothing(
    call: Call, tiny_base: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    refused = call("eval", tiny_base, "--suite", "nano12", *ONE, "--out", "out", *arguments)
    assert (refused.code, refused.err.count("\n")) == (2, 1), refused.err
    assert message in refused.err
    assert not (tmp_path / "out").exists()


def test_prompt_of_a_task(call: Call, real_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDBENCH_DATA_DIR", str(real_data))
    nano = json.loads(call("show", "prompt", "sdbench_nano_sum_1", "--json").out)
    assert nano["prompt"].endswith(">")
    assert (nano["k"], nano["sampling"]["max_tokens"]) == (8, 96)
    assert "sum_1" in call("show", "prompt", "sdbench_nano_sum_1").out
    unread = call("show", "prompt", "sdbench_gsm8k")
    assert (unread.code, unread.err.count("\n")) == (2, 1)
    assert "give --model MODEL" in unread.err
    refused = call("show", "prompt", "nano", "--thinking")
    assert refused.code == 2
    assert "go with `show prompt TASK`" in refused.err
