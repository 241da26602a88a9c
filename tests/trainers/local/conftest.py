"""A tiny random base with the nano tokenizer, a grader that reads the nano answer mark, and where a training writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from sdbench.tasks.grading.verdict import GradeItem, Verdict
from sdbench.tasks.nano.training_problems import training_problems
from sdbench.tasks.problem import Problem
from sdbench.trainers.local.settings import TrainerOutputs
from sdbench.trainers.nano_base.tokenizer import build_tokenizer


class MarkGrader:
    """Reads the digit behind the answer mark."""

    def grade(self, items: Sequence[GradeItem]) -> list[Verdict]:
        return [self._grade(item) for item in items]

    def _grade(self, item: GradeItem) -> Verdict:
        _, mark, rest = item.prediction.partition("#")
        if not mark or not rest:
            return Verdict(verdict="no_answer", rule="mark")
        right = rest[0] == item.gold
        return Verdict(verdict="correct" if right else "wrong", rule="mark", extracted=rest[0])


@pytest.fixture
def grader() -> MarkGrader:
    return MarkGrader()


def tiny_llama() -> LlamaForCausalLM:
    tokenizer = build_tokenizer()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    return LlamaForCausalLM(config).eval()


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    tiny_llama().save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def problems() -> list[Problem]:
    return training_problems(count=6, seed=0)


@pytest.fixture
def outputs_in() -> Callable[[Path], TrainerOutputs]:
    def make(folder: Path) -> TrainerOutputs:
        return TrainerOutputs(
            checkpoint_dir=folder / "checkpoint",
            metrics_file=folder / "metrics.jsonl",
            rollouts_file=folder / "rollouts.jsonl",
            state_file=folder / "state.safetensors",
        )

    return make
