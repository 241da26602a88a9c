"""How a problem in plain language is asked, the same in training and evaluation. Versioned and hashed."""

from __future__ import annotations

import hashlib

PROMPT_VERSION = 1
MATH_INSTRUCTION = (
    "Solve the following problem step by step. Write each step on a numbered line, "
    "and put the final answer in \\boxed{}."
)


def math_question(text: str) -> str:
    """The user turn for a problem in plain language."""
    return f"{MATH_INSTRUCTION}\n\n{text}"


def prompt_hash(*parts: str) -> str:
    """Short hash of everything that shapes a prompt; it stands in results, and rows that differ are not paired."""
    return hashlib.sha256("\x1f".join((str(PROMPT_VERSION), *parts)).encode()).hexdigest()[:16]
