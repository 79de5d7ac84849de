"""Bytes of the engine's streams, on its AXI ports and over the external memory (docs/contract.md §4, "Bytes").

Every value fills whole bytes: activations those of `in_width` rounded up, weights one (INT4 sign-extended), results
two; an output channel's parameters take 16. A beat is whole, so that what pads it is moved as well; of the results only
the channels below N are written.
"""

from __future__ import annotations

from typing import Protocol

from stamp_hw.params import CODE_WIDTH, OUT_WIDTH

WEIGHT_BYTES = CODE_WIDTH // 8
PARAMETER_BYTES = 16  # of an output channel
OUT_BYTES = OUT_WIDTH // 8  # of a result


class Ports(Protocol):
    """What of the hardware decides a beat: `HwConfig` and `EngineParams` have all three."""

    @property
    def lanes(self) -> int: ...

    @property
    def cols(self) -> int: ...

    @property
    def in_width(self) -> int: ...


def value_bytes(in_width: int) -> int:
    """Bytes of an activation."""
    return -(-in_width // 8)


def beat_bytes(hw: Ports) -> dict[str, int]:
    """Input stream → bytes of a beat."""
    return {"i": hw.lanes * value_bytes(hw.in_width), "w": hw.cols * WEIGHT_BYTES, "p": PARAMETER_BYTES}
