"""Bytes of the engine's streams, on its AXI ports and over the external memory (docs/contract.md §4, "Bytes").

Every value fills whole bytes: activations those of `in_width` rounded up, weights one (INT4 sign-extended), results
two; an output channel's parameters take 16. A beat is whole, so that what pads it is moved as well, and with
`pad_beats` it fills a power of two of bytes; of the results only the channels below N are written. Packed weights are
two in a byte (`WeightFormat`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from stamp_hw.beats import padded, value_bytes
from stamp_hw.config import HwConfig, JobConfig
from stamp_hw.engine.params import EngineParams
from stamp_hw.params import CODE_WIDTH, OUT_WIDTH

WEIGHT_BYTES = CODE_WIDTH // 8
PARAMETER_BYTES = 16  # of an output channel
OUT_BYTES = OUT_WIDTH // 8  # of a result


class Ports(Protocol):
    """What of the hardware decides a beat: `HwConfig` and `EngineParams` have all four."""

    @property
    def lanes(self) -> int: ...

    @property
    def cols(self) -> int: ...

    @property
    def in_width(self) -> int: ...

    @property
    def pad_beats(self) -> bool: ...


def beat_bytes(hw: Ports) -> dict[str, int]:
    """Input stream → bytes of a beat."""
    sizes = {"i": hw.lanes * value_bytes(hw.in_width), "w": hw.cols * WEIGHT_BYTES, "p": PARAMETER_BYTES}
    return {name: padded(size) for name, size in sizes.items()} if hw.pad_beats else sizes


def result_beat_bytes(params: EngineParams) -> int:
    """Bytes of TDATA of a beat of results; those that pad it are not written."""
    size = params.rescale_lanes * OUT_BYTES
    return padded(size) if params.pad_beats else size


@dataclass(frozen=True, slots=True)
class WeightFormat:
    """How a job's weights travel, `cols` bytes a beat: a k-step each, or `packed`, two k-steps of nibbles; then, in
    groups of `group` input channels, with a beat of (u, z) before each group. The last beat of an odd K is half used.
    """

    packed: bool = False
    group: int | None = None

    @classmethod
    def of(cls, hw: HwConfig, job: JobConfig) -> WeightFormat:
        """4-bit weights are packed where the hardware takes them so; elsewhere, expanded, they fill bytes."""
        packed = hw.packed_weights and job.weight_bits == 4
        return cls(packed, job.weight_group if packed else None)

    def beats(self, k: int) -> int:
        """Beats of a pass over `k` input channels."""
        if not self.packed:
            return k
        return -(-k // 2) + (-(-k // self.group) if self.group else 0)
