"""Parameters of each block, derived from the one configuration.

The golden function, the cycle formula and the RTL component of a block take the same object.
"""

from __future__ import annotations

from dataclasses import dataclass

from stamp_hw.beats import OUT_WIDTH
from stamp_hw.config import HwConfig, least_acc_width
from stamp_hw.errors import ConfigError
from stamp_hw.haar_params import INVERSE_WIDTH, FinishParams, HaarParams
from stamp_hw.hw_config import MAX_BLOCK, PACKED, SPLIT, in_range, remembered

__all__ = ["CODE_WIDTH", "COMBINE_TURN", "INVERSE_WIDTH", "OUT_WIDTH", "SCALE_TOKEN_WIDTH", "Z_WIDTH", "CombineParams",
           "FinishParams", "HaarParams", "MacParams", "RescaleParams", "ScaleJob", "ScaleParams", "block_acc_width"]

#: Largest channels · 2^(bits of a coefficient) of a layer: T' and its product with mant fit 48 and 64 bits
#: (docs/contract.md §3.6).
LARGEST_SUM = 16384 << 18
Z_WIDTH = 24  # bits of an output coefficient (docs/contract.md §3.6)
SCALE_TOKEN_WIDTH = 17  # bits of the scale unit's token count: 65536 tokens and as many sinks, less one
CODE_WIDTH = 8  # bits of an activation code on the wires
COMBINE_TURN = 3  # cycles from the combine unit's read of a T to the first one that finds it written


def block_acc_width(block: int) -> int:
    """Bits of an accumulator that holds every sum of `block` products of q − z, at most 255 in magnitude, and a
    weight."""
    return max(16, (block * 255 * 128).bit_length() + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleParams:
    """Scale unit: `lanes` coefficients of `width` bits a beat; groups of up to `max_beats` beats. With `block_beats`
    > 0 it has dividers enough for a group every so many beats, and groups may have an integer zero. `dsp` is the slice
    that multiplies, where one is named."""

    lanes: int
    width: int
    recip_frac: int
    max_beats: int
    mul_stages: int
    block_beats: int = 0
    dsp: str | None = None

    def __post_init__(self) -> None:
        for name, low, high in (("lanes", 1, 256), ("width", 4, 18), ("recip_frac", 0, 8), ("max_beats", 1, 32768),
                                ("mul_stages", 1, 4), ("block_beats", 0, MAX_BLOCK)):
            in_range(self, name, low, high)

    @classmethod
    @remembered
    def of(cls, hw: HwConfig) -> ScaleParams:
        return cls(lanes=hw.lanes, width=hw.coef_width, recip_frac=hw.recip_frac,
                   max_beats=-(-hw.max_k // hw.lanes), mul_stages=hw.mul_stages,
                   block_beats=hw.block // hw.lanes if hw.block else 0, dsp=hw.dsp)

    @property
    def frac(self) -> int:
        """F, the shift behind the reciprocal's product: range width plus `recip_frac`."""
        return self.width + self.recip_frac

    @property
    def recip_width(self) -> int:
        """Bits of the reciprocal: (255 · 2^F + m/2) // m for m ≥ 2^(width−1) is below 2^(recip_frac + 9)."""
        return self.recip_frac + 9

    @property
    def buffer_beats(self) -> int:
        """Beats of the ring buffer: one group streams out while the next one comes in; short groups come on while the
        first of them is divided."""
        return max(2 * self.max_beats, self.max_beats + self.latency)

    @property
    def dividers(self) -> int:
        """Dividers, which take groups in turn: so many that each has `recip_width` cycles for its own. Of as many
        groups as there are dividers all but one are whole blocks; the last of a token may be a single beat."""
        return 1 + (-(-(self.recip_width - 1) // self.block_beats) if self.block_beats else 0)

    @property
    def groups_in_flight(self) -> int:
        """Groups between their last input beat and their quotient: one in each of range, leading zeros and division of
        every divider."""
        return 3 * self.dividers

    @property
    def tree_levels(self) -> int:
        """Register levels of the min/max tree over the lanes of a beat."""
        return (self.lanes - 1).bit_length()

    @property
    def range_cycles(self) -> int:
        """From a group's last input beat to its range: input register, tree, running min/max, bounds, range."""
        return self.tree_levels + 4

    @property
    def near_stages(self) -> int:
        """Registers that coefficients pass on their way from the ring buffer, which may be far: of three or more for
        the multiplier one."""
        return int(self.mul_stages > 2)

    @property
    def product_stages(self) -> int:
        """Registers behind the product."""
        return self.mul_stages - self.near_stages

    @property
    def code_cycles(self) -> int:
        """From reading a beat to its codes: ring buffer, value, difference, shift, multiplier (one of three or more in
        front of the difference), with blocks rounding, code."""
        return self.mul_stages + 5 + (self.block_beats > 0)

    @property
    def latency(self) -> int:
        """Cycles from a group's last input beat to its first output beat, when nothing waits.

        Between range and codes: leading zeros, load, and a quotient bit a cycle.
        """
        return self.range_cycles + 2 + self.recip_width + self.code_cycles

    def job(self, *, tokens: int, k: int, group: int | None = None, symmetric: bool = False) -> ScaleJob:
        """Registers of a job: `tokens` (sinks included) of `k` channels, `group` channels a scale (None: all). A unit
        for blocks takes groups of one size, and those below `k` have an integer zero in min-max mode.

        Raises ConfigError for a job that the unit cannot take: groups are whole beats, or hold the whole token.
        """
        beats = -(-k // self.lanes)
        for name, value, high in (("tokens", tokens, 2**SCALE_TOKEN_WIDTH - 1), ("k", k, self.max_beats * self.lanes)):
            if not 1 <= value <= high:
                raise ConfigError("impossible value", where=f"ScaleJob.{name}", got=value, expected=f"1…{high}")
        size = k if group is None else min(group, k)
        if size < 1 or (size < k and size % self.lanes):
            raise ConfigError("impossible value", where="ScaleJob.group", got=group,
                              expected=f"a multiple of lanes = {self.lanes}, or at least k = {k}")
        if self.block_beats and size < k and size != self.block_beats * self.lanes:
            raise ConfigError("impossible value", where="ScaleJob.group", got=group,
                              expected=f"the unit's block, {self.block_beats * self.lanes}, or at least k = {k}")
        return ScaleJob(tokens=tokens, beats=beats, group_beats=-(-size // self.lanes),
                        tail=k - (beats - 1) * self.lanes, symmetric=symmetric,
                        zeros=self.block_beats > 0 and size < k and not symmetric)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleJob:
    """Job registers of the scale unit, made by `ScaleParams.job`.

    `beats` of a token, `group_beats` of a group (a token's last group may be shorter), `tail` channels of a
    token's last beat, `symmetric`; `zeros`, in units for blocks alone: groups have an integer zero.
    """

    tokens: int
    beats: int
    group_beats: int
    tail: int
    symmetric: bool
    zeros: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MacParams:
    """Output-stationary array of `rows` × `cols` PEs; `lanes` accumulators a cycle leave it. With `blocks` tiles have
    at most `max_k` steps, a block's, codes an integer zero, and a whole row leaves in a cycle, each column a cycle
    behind the one before it (docs/contract.md §4, "Blocks"). `dsp` is the slice that multiplies, where one is named;
    `multiplier` "packed", or "split" for two small multipliers a PE."""

    rows: int
    cols: int
    lanes: int
    acc_width: int
    max_k: int
    mul_stages: int
    blocks: bool = False
    dsp: str | None = None
    multiplier: str = PACKED

    def __post_init__(self) -> None:
        for name, low, high in (("rows", 1, 256), ("cols", 1, 256), ("lanes", 1, self.cols), ("acc_width", 16, 32),
                                ("max_k", 1, 32768), ("mul_stages", 1, 4)):
            in_range(self, name, low, high)
        if self.cols % self.lanes:
            raise ConfigError("impossible value", where="MacParams.lanes", got=self.lanes,
                              expected=f"a divisor of cols = {self.cols}")
        needed = block_acc_width(self.max_k) if self.blocks else least_acc_width(self.max_k)
        if self.acc_width < needed:
            raise ConfigError("impossible value", where="MacParams.acc_width", got=self.acc_width,
                              expected=f"at least {needed} at max_k = {self.max_k}")

    @classmethod
    @remembered
    def of(cls, hw: HwConfig) -> MacParams:
        if hw.block:
            return cls(rows=hw.rows, cols=hw.cols, lanes=hw.cols, acc_width=block_acc_width(hw.block), max_k=hw.block,
                       mul_stages=hw.mul_stages, blocks=True, dsp=hw.dsp, multiplier=hw.multiplier)
        return cls(rows=hw.rows, cols=hw.cols, lanes=hw.drain_lanes, acc_width=hw.acc_width, max_k=hw.max_k,
                   mul_stages=hw.mul_stages, dsp=hw.dsp, multiplier=hw.multiplier)

    @property
    def pair_width(self) -> int:
        """Bits of the sums of a pair's second token: `max_k` products of a 4-bit code, at least −8 (−15 with an integer
        zero), and a weight, at least −128."""
        return (self.max_k * (15 if self.blocks else 8) * 128).bit_length() + 1

    @property
    def split(self) -> bool:
        """Whether a PE has two small multipliers, each with its own sum, in 8-bit rows as in those of pairs."""
        return self.multiplier == SPLIT

    @property
    def sum_widths(self) -> tuple[int, int]:
        """Bits of a PE's two sums. Split ones are of an 8-bit code's nibbles or of a pair's codes: the low factor is
        within ±15, the high one −8…7, with blocks −16…15."""
        if not self.split:
            return self.acc_width, self.pair_width
        low, high = (self.max_k * most * 128 for most in (15, 16 if self.blocks else 8))
        return low.bit_length() + 1, high.bit_length() + 1

    @property
    def entry_cycles(self) -> int:
        """Cycles that a step waits in front of a split array: a small product needs one register, and the others of
        `mul_stages` are cheaper where a row or a column has one than where every PE has."""
        return self.mul_stages - 1 if self.split else 0

    @property
    def drain_beats(self) -> int:
        """Beats in which one tile's 2 · rows · cols accumulators leave the array."""
        return 2 * self.rows * self.cols // self.lanes

    @property
    def latency(self) -> int:
        """Cycles from an accepted step to PE(0, 0)'s hold register: operand, products, accumulator."""
        return self.mul_stages + 2

    @property
    def pe_latency(self) -> int:
        """Cycles of them in a PE."""
        return self.latency - self.entry_cycles

    @property
    def flight_cycles(self) -> int:
        """Cycles after an accepted last step in which a PE still lacks its sums; then the drain begins."""
        return self.latency + self.rows + self.cols - 3

    @property
    def queue_beats(self) -> int:
        """Beats of the output queue: those that leave the array while a last step is on its way to PE(0, 0), and one
        that is being sent meanwhile."""
        return self.latency + 1

    @property
    def drain_latency(self) -> int:
        """Cycles from an accepted last step to the tile's first output beat, of column 0 with blocks."""
        return self.latency if self.blocks else self.flight_cycles + 2

    @property
    def min_tile_cycles(self) -> int:
        """Cycles a tile takes at least: `drain_beats` + rows + cols − 2; an array whose drain is shorter than a PE's
        latency (2 · rows · cols / lanes < mul_stages + 2) takes the latency in its place. With blocks the drain follows
        the skew: `drain_beats`, and what the combine unit needs from the read of a sum to the next one."""
        if self.blocks:
            return max(self.drain_beats, COMBINE_TURN)
        return max(self.drain_beats, self.latency) + self.rows + self.cols - 2

    @property
    def tiles_queued(self) -> int:
        """With blocks, tiles between their last step and the last beat that leaves the array as a top of its own, so
        many that none waits for a queue whose beats are taken at once."""
        return -(-(self.drain_latency + self.cols + self.drain_beats) // self.min_tile_cycles)


@dataclass(frozen=True, slots=True, kw_only=True)
class CombineParams:
    """Combine unit of `cols` columns: T = Σ span·acc over the blocks of an array tile, for its `tokens` token slots, in
    two banks; `lanes` columns of a token are read a cycle.

    `acc_width` bits of a block's sum, `width` of a span, `total_width` of T.
    """

    cols: int
    lanes: int
    tokens: int
    acc_width: int
    width: int
    total_width: int
    mul_stages: int

    def __post_init__(self) -> None:
        for name, low, high in (("cols", 1, 256), ("lanes", 1, self.cols), ("tokens", 2, 512), ("acc_width", 16, 32),
                                ("width", 4, 18), ("total_width", 16, 64), ("mul_stages", 1, 4)):
            in_range(self, name, low, high)
        if self.cols % self.lanes:
            raise ConfigError("impossible value", where="CombineParams.lanes", got=self.lanes,
                              expected=f"a divisor of cols = {self.cols}")

    @classmethod
    @remembered
    def of(cls, hw: HwConfig) -> CombineParams:
        """Of hardware with blocks."""
        return cls(cols=hw.cols, lanes=hw.drain_lanes, tokens=2 * hw.rows, acc_width=MacParams.of(hw).acc_width,
                   width=hw.coef_width, total_width=RescaleParams.of(hw).total_width, mul_stages=hw.mul_stages)

    @property
    def latency(self) -> int:
        """Cycles from a sum's arrival to the write of its T: operands, multiplier, span's offset, sum."""
        return self.mul_stages + 3

    @property
    def chunks(self) -> int:
        """Beats in which a token's T are read."""
        return self.cols // self.lanes

    @property
    def turn_gap(self) -> int:
        """Cycles between two blocks whose tokens are too few for `COMBINE_TURN`: 0 or 1."""
        return max(0, COMBINE_TURN - self.tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class RescaleParams:
    """Rescale unit: `lanes` accumulators a beat become output coefficients of `z_width` bits; with `blocks` it takes T
    of all blocks in their place. `dsp` is the slice that multiplies, where one is named."""

    lanes: int
    acc_width: int
    width: int
    max_k: int
    mul_stages: int
    z_width: int = Z_WIDTH
    blocks: bool = False
    dsp: str | None = None

    def __post_init__(self) -> None:
        for name, low, high in (("lanes", 1, 256), ("acc_width", 16, 32), ("width", 4, 18), ("max_k", 1, 32768),
                                ("mul_stages", 1, 4), ("z_width", 16, 28)):
            in_range(self, name, low, high)
        most = LARGEST_SUM >> self.width
        if self.max_k > most:
            raise ConfigError("T does not fit", where="RescaleParams.max_k", got=self.max_k,
                              expected=f"at most {most} with coefficients of {self.width} bits")

    @classmethod
    @remembered
    def of(cls, hw: HwConfig) -> RescaleParams:
        return cls(lanes=hw.drain_lanes, acc_width=hw.acc_width, width=hw.coef_width, max_k=hw.max_k,
                   mul_stages=hw.mul_stages, blocks=bool(hw.block), dsp=hw.dsp)

    @property
    def wsum_width(self) -> int:
        """Signed bits of a sum of `max_k` weights of at most 128 in magnitude."""
        return (self.max_k * 128).bit_length() + 1

    @property
    def sum_width(self) -> int:
        """Signed bits of acc + mid · wsum, the sum of `max_k` products of a code 0…255 and a weight."""
        return max(self.acc_width, (self.max_k * 255 * 128).bit_length() + 1)

    @property
    def total_width(self) -> int:
        """Signed bits of T', at most 255 · 2^(width−1) · 128 · max_k: 47 at the largest legal sizes, 16384 channels of
        18 bits or 32768 of 17. A code with an integer zero is up to half a step beyond its value: 16 in place of 15
        steps of a 4-bit token, times 17, and 48 bits."""
        return int(((17 * 16 if self.blocks else 255) * 2 ** (self.width - 1) * 128 * self.max_k).bit_length() + 1)

    @property
    def product_width(self) -> int:
        """Signed bits of T' · mant, mant below 2^16: 63 at the largest legal sizes."""
        return self.total_width + 16

    @property
    def latency(self) -> int:
        """Cycles from an input beat's acceptance to its output's `valid`: two multipliers and ten other stages."""
        return 10 + 2 * self.mul_stages
