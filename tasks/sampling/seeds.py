"""One seed per sample."""

from __future__ import annotations

import hashlib


def sample_seed(*, run_seed: int, task: str, problem_id: str, sample_index: int) -> int:
    """The seed of one sample, in ``[0, 2**63)``: a hash of what identifies it, so it never depends on a batch."""
    key = "\x1f".join((str(run_seed), task, problem_id, str(sample_index)))
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") >> 1
