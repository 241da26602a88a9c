"""Tokens a second of the hf engine against ``model.generate`` on the same prompts, in one process.

``OMP_NUM_THREADS=1 python tests/perf/bench_hf_engine.py [--model DIR]``. Without a folder a random model as large as
the nano base is used, whose completions end after 35 tokens on average. Both draw at temperature 1 in batches of the
same rows; the two take turns, so that a busy machine slows both.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from sdbench.tasks.sampling.engine import GroupRequest
from sdbench.tasks.sampling.settings import SamplingSettings
from sdbench.trainers.engines.hf import HfEngine
from sdbench.trainers.models import load_policy
from sdbench.trainers.nano_base.tokenizer import build_tokenizer

MAX_TOKENS = 96


def random_nano() -> LlamaForCausalLM:
    """A random model of the nano base's size; two end tokens in 71 make completions about 35 tokens long."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=71,
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        pad_token_id=0,
        eos_token_id=[1, 2],
        bos_token_id=None,
    )
    return LlamaForCausalLM(config).eval()


def ours(engine: HfEngine, prompts: Sequence[tuple[int, ...]], samples: int) -> int:
    """Tokens drawn by the engine."""
    requests = [
        GroupRequest(prompt_ids=prompt, seeds=tuple(index * samples + sample for sample in range(samples)))
        for index, prompt in enumerate(prompts)
    ]
    groups = engine.generate(requests, SamplingSettings(max_tokens=MAX_TOKENS))
    return sum(len(completion.token_ids) for group in groups for completion in group)


def theirs(engine: HfEngine, prompts: Sequence[tuple[int, ...]], samples: int) -> int:
    """Tokens drawn by ``model.generate``, each up to and with its end token."""
    ends = torch.tensor(sorted(engine.end_ids))
    ordered = sorted(prompts, key=len, reverse=True)
    per_batch = max(1, engine.max_batch_rows // samples)
    tokens = 0
    for start in range(0, len(ordered), per_batch):
        batch = ordered[start : start + per_batch]
        width = len(batch[0])
        ids = torch.tensor([[0] * (width - len(prompt)) + list(prompt) for prompt in batch])
        mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in batch])
        output = engine.model.generate(
            input_ids=ids,
            attention_mask=mask,
            do_sample=True,
            temperature=1.0,
            top_k=0,
            num_return_sequences=samples,
            max_new_tokens=MAX_TOKENS,
            eos_token_id=ends.tolist(),
            pad_token_id=0,
        )[:, width:]
        after_end = torch.isin(output, ends).int().cumsum(1) - torch.isin(output, ends).int()
        tokens += int((after_end == 0).sum())
    return tokens


def main() -> None:
    """Command-line entry."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model")
    parser.add_argument("--prompts", type=int, default=192)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    model, tokenizer = load_policy(arguments.model) if arguments.model else (random_nano(), build_tokenizer())
    engine = HfEngine(model, tokenizer, max_batch_rows=arguments.rows)
    texts = [f"chain:a{n % 10}+c{n % 7}=i;" + f"i+e{n % 3};" * (n % 3) for n in range(arguments.prompts)]
    prompts = [engine.encode(text) for text in texts]
    rates: dict[str, list[float]] = {"hf engine": [], "generate": []}
    for _ in range(arguments.rounds):
        for name, draw in (("hf engine", ours), ("generate", theirs)):
            started = time.perf_counter()
            tokens = draw(engine, prompts, arguments.samples)
            rates[name].append(tokens / (time.perf_counter() - started))
    best = {name: max(values) for name, values in rates.items()}
    for name, values in rates.items():
        print(f"{name:10} best {best[name]:8.0f} median {statistics.median(values):8.0f} tokens/s")
    print(f"ratio      best {best['hf engine'] / best['generate']:.2f}")


if __name__ == "__main__":
    main()
