"""One uniform number for each (seed, position), by hashing: no state, so no sample depends on its neighbours.

The generator is splitmix64 (Steele, Lea and Flood, OOPSLA 2014): number ``position`` of the stream that starts at
``seed``. Torch's int64 arithmetic wraps as unsigned arithmetic does; only right shifts need their sign bits cut off.
"""

from __future__ import annotations

from torch import Tensor


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


_GAMMA = 0x9E3779B97F4A7C15
_FIRST_FACTOR = _signed(0xBF58476D1CE4E5B9)
_SECOND_FACTOR = _signed(0x94D049BB133111EB)


def _shift_right(value: Tensor, bits: int) -> Tensor:
    return (value >> bits) & ((1 << (64 - bits)) - 1)


def uniform(seeds_B: Tensor, position: int) -> Tensor:
    """Numbers in ``[0, 1)`` with 53 bits, float64, one for each seed (int64) at this position of its stream."""
    state = seeds_B + _signed((_GAMMA * (position + 1)) & ((1 << 64) - 1))
    state = (state ^ _shift_right(state, 30)) * _FIRST_FACTOR
    state = (state ^ _shift_right(state, 27)) * _SECOND_FACTOR
    state = state ^ _shift_right(state, 31)
    return _shift_right(state, 11).double() * 2.0**-53
