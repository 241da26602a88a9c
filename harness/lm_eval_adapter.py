"""sdbench's engines as an lm-eval model: one seed a sample, every sample stored, every sample graded once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

import lm_eval.api.task
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM

from sdbench.tasks.grading.verdict import Grader
from sdbench.tasks.problem import Problem
from sdbench.tasks.sampled_text import SampledText
from sdbench.tasks.sampling.engine import Engine, Progress
from sdbench.tasks.sampling.settings import SamplingSettings

PromptWriter = Callable[[Problem], tuple[int, ...]]
_Item = TypeVar("_Item")


def generation_kwargs(sampling: SamplingSettings) -> dict[str, Any]:
    """The same settings as lm-eval writes them, so that its own record of a run is true."""
    return {
        "do_sample": sampling.temperature > 0,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        "repetition_penalty": sampling.repetition_penalty,
        "max_gen_toks": sampling.max_tokens,
        "until": [],
    }


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One problem of the work list: what is asked, how many samples of it are wanted."""

    problem: Problem
    prompt_ids: tuple[int, ...]
    sample_count: int


class SdbenchLM(LM):  # type: ignore[misc]
    """An ``Engine`` behind lm-eval's model interface.

    lm-eval asks for k samples by handing the same request over k times; the n-th time is sample n - 1, with its own seed.
    What the store has is not drawn again, and what it has graded is not graded again.

    Args:
        write_prompt: the prompt of a problem as token ids, where it is not lm-eval's own context string.
        samples: filled by ``generate_until``: the samples of each problem by task and problem id, in order.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        sampling: SamplingSettings,
        run_seed: int,
        store: SampleStore,
        grader: Grader,
        write_prompt: PromptWriter | None = None,
        progress: Progress | None = None,
    ) -> None:
        super().__init__()
        self._engine = engine
        self._sampling = sampling
        self._run_seed = run_seed
        self._store = store
        self._grader = grader
        self._write_prompt = write_prompt
        self._progress = progress
        self.samples: dict[tuple[str, str], list[SampledText]] = {}

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """One ``SampledText`` a request, in order."""
        asked = self._work_list(requests)
        raise NotImplementedError(asked)

    def _work_list(self, requests: Sequence[Instance]) -> list[Asked]:
        """The requests of each problem put together, in order of first appearance."""
        counts: dict[tuple[str, str], int] = {}
        first: dict[tuple[str, str], Instance] = {}
        expected = generation_kwargs(self._sampling)
        for request in requests:
            context, settings = request.args
            if settings != expected:
                raise ValueError(f"task {request.task_name} asks for {settings}, but this run samples with {expected}")
            key = (request.task_name, request.doc["id"])
            first.setdefault(key, request)
            counts[key] = counts.get(key, 0) + 1
        asked = []
        for (task, problem_id), request in first.items():
            doc = request.doc
            problem = Problem(id=problem_id, text=doc["text"], answer=doc["answer"], task=task)
            prompt_ids = self._write_prompt(problem) if self._write_prompt else self._engine.encode(request.args[0])
            asked.append(Asked(problem=problem, prompt_ids=prompt_ids, sample_count=counts[task, problem_id]))
        return asked

    def loglikelihood(self, requests: list[Instance]) -> NoReturn:
        """Not supported: every sdbench task samples."""
        raise NotImplementedError(
            "sdbench's engines draw samples only; a task that needs log-likelihoods has no place here"
        )

    def loglikelihood_rolling(self, requests: list[Instance]) -> NoReturn:
        """Not supported: every sdbench task samples."""
        self.loglikelihood(requests)


@contextmanager
def quiet_lm_eval() -> Iterator[None]:
    """No log lines and no progress bars of lm-eval inside: errors still come through, as exceptions."""

    def no_bar(items: Iterable[_Item], **_: object) -> Iterable[_Item]:
        return items

    logger = logging.getLogger("lm_eval")
    level, bar = logger.level, lm_eval.api.task.tqdm
    logger.setLevel(logging.ERROR)
    lm_eval.api.task.tqdm = no_bar
    try:
        yield
    finally:
        logger.setLevel(level)
        lm_eval.api.task.tqdm = bar
