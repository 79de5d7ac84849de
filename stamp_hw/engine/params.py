"""Parameters of the linear engine: its blocks' own, and the sizes of the buffers between them (docs/contract.md §4)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from stamp_hw.config import HwConfig
from stamp_hw.hadamard_params import HadamardParams
from stamp_hw.hw_config import PACKED, remembered
from stamp_hw.params import CombineParams, FinishParams, HaarParams, MacParams, RescaleParams, ScaleParams

SINK_WIDTH = 4  # bits of a sink's exponent e (docs/contract.md §3.1)
MANT_WIDTH = 16  # bits of the rescale factor's mantissa (docs/contract.md §3.6)
SHIFT_WIDTH = 6  # bits of its shift
BIAS_WIDTH = 32  # bits of a bias
HOP_ROWS = 2  # rows of the array whose banks share a register for addresses and words
PARAMETER_SETS = 4  # passes whose parameters are alive: loading, in the array, draining, in the inverse lifting


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineParams:
    """The fields of `stamp_hw.config.HwConfig` that shape the engine's RTL, by the same names."""

    rows: int
    cols: int
    lanes: int
    axes: int
    max_levels: int
    max_k: int
    max_tokens: int
    act_slots: int
    rescale_lanes: int
    in_width: int
    acc_width: int
    recip_frac: int
    z_frac: int
    mul_stages: int
    block: int | None = None
    packed_weights: bool = False
    pad_beats: bool = False
    hadamard: int | None = None
    dsp: str | None = None
    multiplier: str = PACKED

    def __post_init__(self) -> None:
        self.hw  # noqa: B018  (HwConfig validates every field)

    @classmethod
    @remembered
    def of(cls, hw: HwConfig) -> EngineParams:
        return cls(**{name: getattr(hw, name) for name in cls.__slots__})

    @property
    def hw(self) -> HwConfig:
        """The configuration, clock and memory left at their defaults."""
        return _hw(self)

    @property
    def unpadded(self) -> EngineParams:
        """Those of the engine itself: `pad_beats` is of the AXI streams around it."""
        return replace(self, pad_beats=False)

    @property
    def rotation(self) -> HadamardParams | None:
        """The Hadamard unit in front of the lifting unit, None where there is none."""
        return HadamardParams.of(self.hw) if self.hadamard is not None else None

    @property
    def scale(self) -> ScaleParams:
        return ScaleParams.of(self.hw)

    @property
    def haar(self) -> HaarParams:
        """The forward unit, paced so that the scale unit behind it never has to stop it; a register behind its memories
        changes no slot."""
        return _lifting(self)

    @property
    def mac(self) -> MacParams:
        return MacParams.of(self.hw)

    @property
    def rescale(self) -> RescaleParams:
        return RescaleParams.of(self.hw)

    @property
    def combine(self) -> CombineParams:
        """Of hardware with blocks."""
        return CombineParams.of(self.hw)

    @property
    def inverse(self) -> HaarParams:
        """A register behind its memories wherever a slot of a whole token takes no longer for it."""
        return _inverse(self)

    @property
    def finish(self) -> FinishParams:
        return FinishParams.of(self.hw)

    @property
    def max_beats(self) -> int:
        """Beats of the longest input token."""
        return -(-self.max_k // self.lanes)

    @property
    def block_beats(self) -> int:
        """Beats of a block, 0 in hardware without."""
        return self.scale.block_beats

    @property
    def max_blocks(self) -> int:
        """Blocks of the longest input token."""
        return -(-self.max_k // self.block) if self.block else 1

    @property
    def act_tiles(self) -> int:
        """Array tiles in each half of the activation buffer."""
        return -(-self.act_slots // self.rows)

    @property
    def out_slots(self) -> int:
        """Positions of a super-tile, so places in each half of the output buffer: two 4-bit tokens a row slot."""
        return 2 * self.act_slots

    @property
    def chunks(self) -> int:
        """Beats of a token of one column tile behind the array."""
        return self.cols // self.rescale_lanes

    @property
    def quiet_cycles(self) -> int:
        """Cycles for which every stream may rest at most: the array passes over a full super-tile, both halves of the
        weight buffer are loaded and both of the activation buffer are in use."""
        return self.act_tiles * self.tile_cycles(self.max_k)[1]

    @property
    def order_cycles(self) -> int:
        """Cycles from the one in which the rows of an array tile are complete, and it is the next one, to its first
        step: what is to be known of it passes two registers."""
        return 2

    @property
    def hops(self) -> int:
        """Registers on the way from the first banks of the activation buffer to the last ones."""
        return -(-self.rows // HOP_ROWS) - 1

    @property
    def feed_cycles(self) -> int:
        """Cycles from the issue of a step to the array: the way to the buffers, their read, the register behind it, the
        choice of a byte."""
        return 4 + self.hops

    @property
    def drain_cycles(self) -> int:
        """Cycles from the issue of an array tile's last step to the last beat in which its sums go to the rescale unit:
        of its drain, or of the read of its T once the combine unit's last column has written the last one."""
        drained = self.feed_cycles + self.mac.drain_latency + self.mac.drain_beats - 1
        return drained + self.cols - 1 + self.combine.latency + self.read_beats if self.block else drained

    @property
    def word_latency(self) -> int:
        """Cycles from a beat that drains to its word of the output buffer: the read of its token's scale and its
        channel's factors, a register behind the memories, the choice among what they gave, the rescale unit."""
        return 3 + self.rescale.latency

    @property
    def read_beats(self) -> int:
        """Beats in which the T of an array tile leave the combine unit."""
        return 2 * self.rows * self.chunks

    @property
    def min_read_cycles(self) -> int:
        """With blocks, cycles from one array tile's last step to the next one's, at least: its T are read meanwhile,
        and out of a bank before the first block of the tile after the next one is written there. That block ends
        `mac.min_tile_cycles` behind the next tile, and its first sum is there as much earlier than a read begins as the
        drain and the skew take."""
        return self.read_beats + max(0, self.mac.drain_beats + self.cols - 1 - self.mac.min_tile_cycles)

    def tile_cycles(self, k: int) -> tuple[int, int]:
        """(cycles of an array tile of `k` steps from its first to its last one, both included, when nothing waits; from
        the last step of the tile before it to its own, at least)."""
        least = self.mac.min_tile_cycles
        if not self.block:
            return k, max(k, least)
        first = min(k, self.block)
        later = sum(max(min(self.block, k - start), least) for start in range(self.block, k, self.block))
        return first + later, max(max(first, least) + later, self.min_read_cycles)


@remembered
def _hw(params: EngineParams) -> HwConfig:
    return HwConfig(**{name: getattr(params, name) for name in params.__slots__})


@remembered
def _lifting(params: EngineParams) -> HaarParams:
    return replace(HaarParams.forward(params.hw), read_stages=2, write_stages=1, pace=params.scale.recip_width,
                   places=params.out_slots)


@remembered
def _inverse(params: EngineParams) -> HaarParams:
    found = replace(HaarParams.inverse(params.hw), read_stages=2, places=params.out_slots)
    return found if found.min_slot_cycles <= params.chunks else replace(found, read_stages=1)
