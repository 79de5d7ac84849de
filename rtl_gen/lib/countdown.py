"""Counts that only say when they are over: negative then, so that a single bit says it."""

from __future__ import annotations

from amaranth.hdl import Signal, Value, signed


def countdown(name: str, most: int) -> Signal:
    """What is left of `most` at most before the last one: `most` − 2 with the first, −1 with the last."""
    return Signal(signed(max(most, 1).bit_length() + 1), name=name, init=-1)


def is_last(count: Value) -> Value:
    """Whether nothing is left."""
    return count[-1]
