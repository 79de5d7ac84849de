"""The rule of every register that offers a beat."""

from __future__ import annotations

from amaranth.hdl import Value


def can_move(valid: Value, ready: Value) -> Value:
    """Whether a register takes what stands before it: nothing waits there, or what does is being taken."""
    return ~valid | ready
