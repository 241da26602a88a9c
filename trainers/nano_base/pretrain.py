"""Pretrain the nano base: ``python -m sdbench.trainers.nano_base.pretrain --out DIR`` (see the model card).

The run is a pure function of its arguments: the documents of every block of steps come from their own seed, so a run
that was stopped goes on where it was and ends with the same weights. State is safetensors and JSON, never pickle.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from sdbench.tasks.nano.facts import default_facts
from sdbench.trainers.nano_base.documents import FOLLOW_PROBABILITY, STAGES, WORD_SLIP_PROBABILITY, DocumentWriter
from sdbench.trainers.nano_base.tokenizer import build_tokenizer

BATCHES_PER_BLOCK = 16
CHECKPOINT_EVERY_SECONDS = 120.0


@dataclass(frozen=True, kw_only=True)
class PretrainSettings:
    """Everything the weights depend on."""

    seed: int = 0
    steps: int = 8400
    second_stage_step: int = 4560
    batch_tokens: int = 6000
    peak_learning_rate: float = 3e-3
    second_peak_learning_rate: float = 2e-3
    final_learning_rate_share: float = 0.02
    warmup_steps: int = 200
    first_schedule_steps: int = 7000
    weight_decay: float = 0.05
    hidden_size: int = 128
    intermediate_size: int = 384
    layers: int = 4
    heads: int = 4
    reference_follow_probability: float = FOLLOW_PROBABILITY
    word_slip_probability: float = WORD_SLIP_PROBABILITY

    def __post_init__(self) -> None:
        for name in ("reference_follow_probability", "word_slip_probability"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} = {getattr(self, name)} must lie between 0 and 1")
        if self.batch_tokens < 2000:
            raise ValueError(f"batch_tokens = {self.batch_tokens} must be at least 2000, some ten documents a batch")
        if self.second_stage_step % BATCHES_PER_BLOCK:
            raise ValueError(
                f"second_stage_step = {self.second_stage_step} must be a multiple of {BATCHES_PER_BLOCK}: a block of "
                "batches belongs to one stage"
            )


def model_config(settings: PretrainSettings, tokenizer: PreTrainedTokenizerFast) -> LlamaConfig:
    """The architecture: Llama, tied embeddings, head dimension 32 (which vLLM takes)."""
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings.hidden_size,
        intermediate_size=settings.intermediate_size,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.heads,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )


def learning_rate(step: int, settings: PretrainSettings) -> float:
    """Warm-up and a cosine over ``first_schedule_steps``, which the second stage cuts off with a cosine of its own."""
    if step >= settings.second_stage_step:
        progress = (step - settings.second_stage_step) / max(1, settings.steps - settings.second_stage_step)
        return settings.second_peak_learning_rate * _cosine(progress, settings.final_learning_rate_share)
    if step < settings.warmup_steps:
        return settings.peak_learning_rate * (step + 1) / settings.warmup_steps
    progress = (step - settings.warmup_steps) / max(1, settings.first_schedule_steps - settings.warmup_steps)
    return settings.peak_learning_rate * _cosine(progress, settings.final_learning_rate_share)


def _cosine(progress: float, floor: float) -> float:
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def block_batches(
    block: int, settings: PretrainSettings, tokenizer: PreTrainedTokenizerFast
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The batches of one block of steps: token ids and labels, -100 where nothing is to be predicted.

    Documents of a block are ordered by length before they are cut into batches, so little is padding.
    """
    rng = random.Random(f"pretrain/{settings.seed}/{block}")
    stage = STAGES[block * BATCHES_PER_BLOCK >= settings.second_stage_step]
    writer = DocumentWriter(
        facts=default_facts(),
        rng=rng,
        stage=stage,
        reference_follow_probability=settings.reference_follow_probability,
        word_slip_probability=settings.word_slip_probability,
    )
    target_tokens = settings.batch_tokens * BATCHES_PER_BLOCK
    prompts: list[str] = []
    completions: list[str] = []
    while sum(map(len, prompts)) + sum(map(len, completions)) < target_tokens:
        for _ in range(32):
            document = writer.write()
            prompts.append(document.prompt)
            completions.append(document.completion)
    prompt_ids, completion_ids = tokenizer(prompts).input_ids, tokenizer(completions).input_ids
    rows = sorted(zip(prompt_ids, completion_ids, strict=True), key=lambda row: len(row[0]) + len(row[1]))
    per_batch = math.ceil(sum(len(p) + len(c) + 1 for p, c in rows) / BATCHES_PER_BLOCK)
    groups: list[list[tuple[list[int], list[int]]]] = [[]]
    filled = 0
    for row in rows:
        if filled >= per_batch and len(groups) < BATCHES_PER_BLOCK:
            groups.append([])
            filled = 0
        groups[-1].append(row)
        filled += len(row[0]) + len(row[1]) + 1
    batches = [_collate(group, tokenizer) for group in groups]
    rng.shuffle(batches)
    return batches


def _collate(
    rows: list[tuple[list[int], list[int]]], tokenizer: PreTrainedTokenizerFast
) -> tuple[torch.Tensor, torch.Tensor]:
    pad, eos = tokenizer.pad_token_id, tokenizer.eos_token_id
    width = max(len(p) + len(c) + 1 for p, c in rows)
    ids = torch.full((len(rows), width), pad)
    labels = torch.full((len(rows), width), -100)
    for index, (prompt, completion) in enumerate(rows):
        full = torch.tensor([*prompt, *completion, eos])
        ids[index, : len(full)] = full
        labels[index, len(prompt) : len(full)] = full[len(prompt) :]
    return ids, labels


def completion_loss(model: LlamaForCausalLM, ids: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, int]:
    """Mean cross entropy over the completion tokens, and how many there are."""
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
    targets = labels[:, 1:]
    kept = targets != -100
    logits = model.lm_head(hidden[kept])
    return functional.cross_entropy(logits.float(), targets[kept]), int(kept.sum())


class PretrainRun:
    """One pretraining run and its resumable state on disk."""

    def __init__(self, *, settings: PretrainSettings, out: Path) -> None:
        self.settings, self.out = settings, out
        self.tokenizer = build_tokenizer()
        torch.manual_seed(settings.seed)
        self.model = LlamaForCausalLM(model_config(settings, self.tokenizer))
        decayed = [p for p in self.model.parameters() if p.dim() >= 2]
        plain = [p for p in self.model.parameters() if p.dim() < 2]
        self.optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": plain, "weight_decay": 0.0}],
            lr=settings.peak_learning_rate,
            betas=(0.9, 0.98),
            fused=True,
        )
        self.step = 0
        self.tokens = 0
        self.seconds = 0.0

    def train(self, *, until_step: int | None = None) -> None:
        """Go on from where the run stands to its last step (or ``until_step``), saving state along the way."""
        self._load_state()
        last = self.settings.steps if until_step is None else min(until_step, self.settings.steps)
        saved_at = started = time.monotonic()
        seconds_before = self.seconds
        batches: list[tuple[torch.Tensor, torch.Tensor]] = []
        losses: list[float] = []
        for step in range(self.step, last):
            if not batches or step % BATCHES_PER_BLOCK == 0:
                batches = block_batches(step // BATCHES_PER_BLOCK, self.settings, self.tokenizer)
            ids, labels = batches[step % BATCHES_PER_BLOCK]
            for group in self.optimizer.param_groups:
                group["lr"] = learning_rate(step, self.settings)
            loss, _ = completion_loss(self.model, ids, labels)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad()
            losses.append(float(loss.detach()))
            self.step, self.tokens = step + 1, self.tokens + int((ids != self.tokenizer.pad_token_id).sum())
            self.seconds = seconds_before + time.monotonic() - started
            if self.step % 50 == 0:
                self._log(sum(losses) / len(losses))
                losses = []
            if time.monotonic() - saved_at > CHECKPOINT_EVERY_SECONDS:
                self._save_state()
                saved_at = time.monotonic()
        self._save_state()
        self.model.save_pretrained(self.out / "model")
        self.tokenizer.save_pretrained(self.out / "model")

    def _log(self, loss: float) -> None:
        row = {
            "step": self.step,
            "tokens": self.tokens,
            "loss": round(loss, 5),
            "learning_rate": learning_rate(self.step - 1, self.settings),
            "seconds": round(self.seconds, 1),
        }
        with (self.out / "loss.jsonl").open("a") as stream:
            stream.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)

    def _save_state(self) -> None:
        tensors: dict[str, torch.Tensor] = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors.pop("model.lm_head.weight")  # tied to the embedding
        for index, entry in enumerate(self.optimizer.state_dict()["state"].values()):
            tensors |= {f"optimizer.{index}.{key}": value for key, value in entry.items()}
        temporary = self.out / "state.safetensors.tmp"
        header = {
            "step": self.step,
            "tokens": self.tokens,
            "seconds": self.seconds,
            "settings": asdict(self.settings),
        }
        save_file(tensors, temporary, metadata={"run": json.dumps(header)})
        temporary.replace(self.out / "state.safetensors")

    def _load_state(self) -> None:
        path = self.out / "state.safetensors"
        self.out.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            (self.out / "settings.json").write_text(
                json.dumps({**asdict(self.settings), "stages": [asdict(stage) for stage in STAGES]}, indent=1)
            )
            (self.out / "loss.jsonl").unlink(missing_ok=True)
            return
        header = _run_header(path)
        # A setting that came later was at its default then.
        if {**asdict(PretrainSettings()), **header["settings"]} != asdict(self.settings):
            raise ValueError(f"{path} was made with other settings: {header['settings']}")
        tensors = load_file(path)
        self.model.load_state_dict(
            {k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")}, strict=False
        )
        self.model.tie_weights()
        state: dict[int, dict[str, torch.Tensor]] = {}
        for name, value in tensors.items():
            if name.startswith("optimizer."):
                _, index, key = name.split(".")
                state.setdefault(int(index), {})[key] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})
        self.step, self.tokens, self.seconds = header["step"], header["tokens"], header["seconds"]
        self._drop_log_after(self.step)

    def _drop_log_after(self, step: int) -> None:
        log = self.out / "loss.jsonl"
        if not log.exists():  # stopped before the first line was due
            return
        kept = [line for line in log.read_text().splitlines() if json.loads(line)["step"] <= step]
        log.write_text("".join(line + "\n" for line in kept))


def _run_header(path: Path) -> dict[str, Any]:
    with path.open("rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
        header: dict[str, Any] = json.loads(json.loads(stream.read(size))["__metadata__"]["run"])
    return header


def main() -> None:
    """Command-line entry."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    defaults = PretrainSettings()
    for name, value in asdict(defaults).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    parser.add_argument("--threads", type=int, default=2)
    arguments = vars(parser.parse_args())
    out, threads = arguments.pop("out"), arguments.pop("threads")
    torch.set_num_threads(threads)
    PretrainRun(settings=PretrainSettings(**arguments), out=out).train()


if __name__ == "__main__":
    main()
