"""Why a training ended early, for whoever started it: one small file beside its state. Loads neither torch nor Ray."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

from sdbench.tasks.errors import UserError

Kind = Literal["user", "diverged", "died", "bug"]
FULL_DISK = "the disk that holds the training's state or records is full: free some of it and call again"
_TORCH_CANNOT_WRITE = ("PytorchStreamWriter failed writing", "inline_container.cc", "iostream error")
_DEAD = {
    "RayActorError": "a process of the training",
    "ActorDiedError": "a process of the training",
    "ActorUnavailableError": "a process of the training",
    "WorkerCrashedError": "a process of the training",
    "NodeDiedError": "a node of the cluster",
    "OutOfMemoryError": "a process of the training, killed by Ray for memory,",
    "EngineDeadError": "vLLM's engine",
    "EngineGenerateError": "vLLM's engine",
}


def kind_of(error: BaseException) -> tuple[Kind, str]:
    """What kind of end an error is, and how it is told."""
    for cause in _causes(error):
        if any(kind.__name__ == "RayTaskError" for kind in type(cause).__mro__):
            continue  # Ray's wrapper is of its cause's kind too, and says a whole traceback; the cause follows
        if isinstance(cause, UserError):
            return "user", str(cause)
        if isinstance(cause, FloatingPointError):
            return "diverged", str(cause)
        if _is_full_disk(cause):
            return "user", FULL_DISK
    for cause in _causes(error):
        for kind in type(cause).__mro__:
            if kind.__name__ in _DEAD:
                return "died", f"{_DEAD[kind.__name__]} died ({_first_line(cause)})"
    return "bug", f"{type(error).__name__}: {_first_line(error)}"


def write_error(path: Path, error: BaseException) -> None:
    """Write it down; a full disk leaves nothing, and whoever reads sees that it is full."""
    kind, message = kind_of(error)
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(path.name + ".tmp")
        text = json.dumps({"format_version": 1, "kind": kind, "message": message})
        temporary.write_text(text + "\n", encoding="utf-8")
        temporary.replace(path)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it came from, Ray's wrappers (``cause``) and Python's own."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, BaseException) and id(one) not in seen:
            seen.add(id(one))
            yield one
            waiting += [getattr(one, "cause", None), one.__cause__, one.__context__]


def _is_full_disk(error: BaseException) -> bool:
    # torch, which writes DeepSpeed's state, tells of a failed write in words of its own.
    full = isinstance(error, OSError) and error.errno == errno.ENOSPC
    return full or any(words in str(error) for words in _TORCH_CANNOT_WRITE)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # Ray puts a remote traceback before the message of what was raised.
    return (lines[-1] if lines and "ray::" in lines[0] else lines[0] if lines else type(error).__name__)[:300]
