"""Parameters and job registers of the block Hadamard unit (docs/contract.md §3.9)."""

from __future__ import annotations

from dataclasses import dataclass

from stamp_hw.config import HwConfig
from stamp_hw.errors import ConfigError
from stamp_hw.hw_config import HADAMARD_BLOCKS, remembered
from stamp_hw.params import SCALE_TOKEN_WIDTH


@dataclass(frozen=True, slots=True, kw_only=True)
class HadamardParams:
    """Hadamard unit: `lanes` values of `width` bits a beat, blocks of `block` channels, tokens of up to `max_beats`."""

    lanes: int
    width: int
    block: int
    max_beats: int

    def __post_init__(self) -> None:
        for name, ok, expected in (
            ("lanes", 1 <= self.lanes <= 256 and self.lanes & (self.lanes - 1) == 0, "a power of two in 1…256"),
            ("width", 4 <= self.width <= 18, "4…18"), ("block", self.block in HADAMARD_BLOCKS, "16, 64 or 256"),
            ("max_beats", 1 <= self.max_beats <= 32768, "1…32768"),
        ):
            if not ok:
                raise ConfigError("impossible value", where=f"HadamardParams.{name}", got=getattr(self, name),
                                  expected=expected)

    @classmethod
    @remembered
    def of(cls, hw: HwConfig) -> HadamardParams:
        """The unit in front of the lifting. Raises ConfigError for hardware without one."""
        if hw.hadamard is None:
            raise ConfigError("no Hadamard unit", where="hw.hadamard", got=None, expected="16, 64 or 256")
        return cls(lanes=hw.lanes, width=hw.in_width, block=hw.hadamard, max_beats=-(-hw.max_k // hw.lanes))

    @property
    def levels(self) -> int:
        """log2 of the block: levels of butterflies, and the largest shift."""
        return self.block.bit_length() - 1

    @property
    def block_beats(self) -> int:
        """Beats of a block; 1 where a beat holds one block or several."""
        return max(1, self.block // self.lanes)

    @property
    def beat_levels(self) -> int:
        """Levels of butterflies between beats; the others are between lanes."""
        return self.block_beats.bit_length() - 1

    @property
    def sum_width(self) -> int:
        """Signed bits of h: the signs of a row are never all alike, so that B values of `width` bits never reach
        B · 2^(width−1)."""
        return self.width + self.levels

    @property
    def latency(self) -> int:
        """Cycles from a block's last input beat to its first output beat: signs, a register a level, shift, rounding.
        """
        return self.levels + 3

    @property
    def job_cycles(self) -> int:
        """Cycles from a job's last input beat to the next job's registers, without stalls."""
        return self.latency + self.block_beats

    @property
    def tokens_inside(self) -> int:
        """Tokens whose last input beat has been taken and whose last output beat has not, at most: the beats that pad
        a block, the latency and the beats of a block lie between the two, and a token has a block at least."""
        return -(-(2 * self.block_beats - 1 + self.latency) // self.block_beats)

    def channels(self, k: int) -> int:
        """K': k channels and what fills their last block."""
        return -(-k // self.block) * self.block

    def job(self, *, tokens: int, k: int, shift: int | None) -> HadamardJob:
        """Registers of a job: `tokens` (outliers included) of `k` channels; `shift` r, or None for a job that passes.

        Raises ConfigError for a job that the unit cannot take.
        """
        width = k if shift is None else self.channels(k)
        for name, value, high in (("tokens", tokens, 2**SCALE_TOKEN_WIDTH - 1), ("k", k, self.max_beats * self.lanes)):
            if not 1 <= value <= high:
                raise ConfigError("impossible value", where=f"HadamardJob.{name}", got=value, expected=f"1…{high}")
        if width > self.max_beats * self.lanes:
            raise ConfigError("whole blocks do not fit", where="HadamardJob.k", got=f"{k}, so {width} channels",
                              expected=f"at most {self.max_beats * self.lanes}")
        if shift is not None and not 0 <= shift <= self.levels:
            raise ConfigError("impossible value", where="HadamardJob.shift", got=shift, expected=f"0…{self.levels}")
        in_beats = -(-k // self.lanes)
        return HadamardJob(tokens=tokens, beats=-(-width // self.lanes), in_beats=in_beats,
                           in_tail=k - (in_beats - 1) * self.lanes, on=shift is not None, shift=shift or 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class HadamardJob:
    """Job registers of the Hadamard unit, made by `HadamardParams.job`.

    `beats` of a token behind the unit, `in_beats` in front of it, `in_tail` channels in the last of these; `on`: the
    tokens are transformed, and shifted right by `shift`.
    """

    tokens: int
    beats: int
    in_beats: int
    in_tail: int
    on: bool
    shift: int
