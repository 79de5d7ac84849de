"""Parameters of each block, derived from the one configuration.

The golden function, the cycle formula and the RTL component of a block take the same object.
"""

from __future__ import annotations

from dataclasses import dataclass

from stamp_hw.config import HwConfig, least_acc_width
from stamp_hw.errors import ConfigError

INVERSE_WIDTH = 28  # bits inside the inverse lifting (docs/contract.md §3.7)
Z_WIDTH = 24  # bits of an output coefficient (docs/contract.md §3.6)
OUT_WIDTH = 16  # bits of an output value (docs/contract.md §3.7)
SCALE_TOKEN_WIDTH = 17  # bits of the scale unit's token count: 65536 tokens and as many sinks, less one
CODE_WIDTH = 8  # bits of an activation code on the wires


def _check(owner: object, name: str, low: int, high: int) -> None:
    value = getattr(owner, name)
    if not low <= value <= high:
        raise ConfigError("impossible value", where=f"{type(owner).__name__}.{name}", got=value,
                          expected=f"{low}…{high}")


@dataclass(frozen=True, slots=True, kw_only=True)
class HaarParams:
    """Lifting unit: `lanes` values of `width` bits a beat, every level in one pass.

    `direction` is "forward" or "inverse". `width` is the input's; the forward unit's outputs are `axes` bits wider, the
    inverse unit stays in `width`. `max_levels` counts chain levels: a 2-D level is two of them. `read_stages` registers
    stand behind an address of a line memory: the memory's own, and its output register when there are two. A busy slot
    takes at least `pace` cycles. Inside the engine `places` > 0 tells how many in-place positions a super-tile may
    have.
    """

    lanes: int
    width: int
    axes: int
    max_levels: int
    max_beats: int
    max_tokens: int
    direction: str = "forward"
    read_stages: int = 1
    pace: int = 0
    places: int = 0

    def __post_init__(self) -> None:
        for name, low, high in (("lanes", 1, 256), ("width", 2, 32), ("axes", 1, 2), ("max_levels", 0, 8),
                                ("max_beats", 1, 16384), ("max_tokens", 1, 65536), ("read_stages", 1, 2),
                                ("pace", 0, 64), ("places", 0, 131072)):
            _check(self, name, low, high)
        if self.direction not in ("forward", "inverse"):
            raise ConfigError("impossible value", where="HaarParams.direction", got=self.direction,
                              expected="forward or inverse")

    @classmethod
    def forward(cls, hw: HwConfig) -> HaarParams:
        """The unit in front of the array: tokens of up to `max_k` channels."""
        return cls(lanes=hw.lanes, width=hw.in_width, axes=hw.axes, max_levels=hw.max_levels,
                   max_beats=-(-hw.max_k // hw.lanes), max_tokens=hw.max_tokens)

    @classmethod
    def inverse(cls, hw: HwConfig) -> HaarParams:
        """The unit behind the array: tokens of one column tile (`cols` channels)."""
        return cls(lanes=hw.drain_lanes, width=INVERSE_WIDTH, axes=hw.axes, max_levels=hw.max_levels,
                   max_beats=hw.cols // hw.drain_lanes, max_tokens=hw.max_tokens, direction="inverse")

    @property
    def elastic(self) -> bool:
        """Whether the output can be stopped. Inside the engine the forward unit is paced so that nothing stops it."""
        return not (self.places and self.direction == "forward")

    @property
    def out_width(self) -> int:
        """Bits of an output value (docs/contract.md §3.2)."""
        return self.width + (self.axes if self.direction == "forward" else 0)

    @property
    def latency(self) -> int:
        """Cycles from a beat's issue to its output's `valid`: line read, operands, butterfly, (2-D) cross, output."""
        return self.read_stages + 2 + self.axes

    @property
    def min_slot_cycles(self) -> int:
        """Shortest busy slot: what a slot writes the next one reads, so s is written by then; and `pace`."""
        return max(self.read_stages + 3, self.pace)

    @property
    def place_width(self) -> int:
        """Bits of a place: one more than places or a Haar tile need, so that a place beyond the last one shows before
        they wrap."""
        return max((self.places - 1).bit_length(), self.max_levels) + 1

    @property
    def job_cycles(self) -> int:
        """Cycles between the last slot of a job and the first of the next: registers, then the first slot's plan."""
        return 2


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishParams:
    """Bias and rounding behind the inverse lifting: `lanes` values of `width` bits, `z_frac` of them fractional."""

    lanes: int
    width: int
    z_frac: int
    bias_width: int = 32
    out_width: int = OUT_WIDTH

    def __post_init__(self) -> None:
        for name, low, high in (("lanes", 1, 256), ("width", 8, 32), ("z_frac", 0, 4), ("bias_width", 8, 32),
                                ("out_width", 4, 16)):
            _check(self, name, low, high)

    @classmethod
    def of(cls, hw: HwConfig) -> FinishParams:
        return cls(lanes=hw.drain_lanes, width=INVERSE_WIDTH, z_frac=hw.z_frac)

    @property
    def latency(self) -> int:
        """Cycles from an input beat to its output: sum, saturation."""
        return 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleParams:
    """Scale unit: `lanes` coefficients of `width` bits a beat; groups of up to `max_beats` beats."""

    lanes: int
    width: int
    recip_frac: int
    max_beats: int
    mul_stages: int

    def __post_init__(self) -> None:
        for name, low, high in (("lanes", 1, 256), ("width", 4, 18), ("recip_frac", 0, 8), ("max_beats", 1, 16384),
                                ("mul_stages", 1, 4)):
            _check(self, name, low, high)

    @classmethod
    def of(cls, hw: HwConfig) -> ScaleParams:
        return cls(lanes=hw.lanes, width=hw.coef_width, recip_frac=hw.recip_frac,
                   max_beats=-(-hw.max_k // hw.lanes), mul_stages=hw.mul_stages)

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
    def groups_in_flight(self) -> int:
        """Groups between their last input beat and their quotient: one in each of range, leading zeros and division."""
        return 3

    @property
    def tree_levels(self) -> int:
        """Register levels of the min/max tree over the lanes of a beat."""
        return (self.lanes - 1).bit_length()

    @property
    def range_cycles(self) -> int:
        """From a group's last input beat to its range: input register, tree, running min/max, bounds, range."""
        return self.tree_levels + 4

    @property
    def code_cycles(self) -> int:
        """From reading a beat to its codes: ring buffer, difference, shift, multiplier, code."""
        return self.mul_stages + 4

    @property
    def latency(self) -> int:
        """Cycles from a group's last input beat to its first output beat, when nothing waits.

        Between range and codes: leading zeros, load, and a quotient bit a cycle.
        """
        return self.range_cycles + 2 + self.recip_width + self.code_cycles

    def job(self, *, tokens: int, k: int, group: int | None = None, symmetric: bool = False) -> ScaleJob:
        """Registers of a job: `tokens` (sinks included) of `k` channels, `group` channels a scale (None: all).

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
        return ScaleJob(tokens=tokens, beats=beats, group_beats=-(-size // self.lanes),
                        tail=k - (beats - 1) * self.lanes, symmetric=symmetric)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleJob:
    """Job registers of the scale unit, made by `ScaleParams.job`.

    `beats` of a token, `group_beats` of a group (a token's last group may be shorter), `tail` channels of a
    token's last beat.
    """

    tokens: int
    beats: int
    group_beats: int
    tail: int
    symmetric: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MacParams:
    """Output-stationary array of `rows` × `cols` PEs; `lanes` accumulators a cycle leave it."""

    rows: int
    cols: int
    lanes: int
    acc_width: int
    max_k: int
    mul_stages: int

    def __post_init__(self) -> None:
        for name, low, high in (("rows", 1, 256), ("cols", 1, 256), ("lanes", 1, self.cols), ("acc_width", 16, 32),
                                ("max_k", 1, 16384), ("mul_stages", 1, 4)):
            _check(self, name, low, high)
        if self.cols % self.lanes:
            raise ConfigError("impossible value", where="MacParams.lanes", got=self.lanes,
                              expected=f"a divisor of cols = {self.cols}")
        needed = least_acc_width(self.max_k)
        if self.acc_width < needed:
            raise ConfigError("impossible value", where="MacParams.acc_width", got=self.acc_width,
                              expected=f"at least {needed} at max_k = {self.max_k}")

    @classmethod
    def of(cls, hw: HwConfig) -> MacParams:
        return cls(rows=hw.rows, cols=hw.cols, lanes=hw.drain_lanes, acc_width=hw.acc_width, max_k=hw.max_k,
                   mul_stages=hw.mul_stages)

    @property
    def pair_width(self) -> int:
        """Bits of the sums of a pair's second token: `max_k` products of a 4-bit code, at least −8, and a weight, at
        least −128."""
        return (self.max_k * 8 * 128).bit_length() + 1

    @property
    def drain_beats(self) -> int:
        """Beats in which one tile's 2 · rows · cols accumulators leave the array."""
        return 2 * self.rows * self.cols // self.lanes

    @property
    def latency(self) -> int:
        """Cycles from an accepted step to PE(0, 0)'s hold register: operand, products, accumulator."""
        return self.mul_stages + 2

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
        """Cycles from an accepted last step to the tile's first output beat."""
        return self.flight_cycles + 2

    @property
    def min_tile_cycles(self) -> int:
        """Cycles a tile takes at least: `drain_beats` + rows + cols − 2; an array whose drain is shorter than a PE's
        latency (2 · rows · cols / lanes < mul_stages + 2) takes the latency in its place."""
        return max(self.drain_beats, self.latency) + self.rows + self.cols - 2


@dataclass(frozen=True, slots=True, kw_only=True)
class RescaleParams:
    """Rescale unit: `lanes` accumulators a beat become output coefficients of `z_width` bits."""

    lanes: int
    acc_width: int
    width: int
    max_k: int
    mul_stages: int
    z_width: int = Z_WIDTH

    def __post_init__(self) -> None:
        for name, low, high in (("lanes", 1, 256), ("acc_width", 16, 32), ("width", 4, 18), ("max_k", 1, 16384),
                                ("mul_stages", 1, 4), ("z_width", 16, 28)):
            _check(self, name, low, high)

    @classmethod
    def of(cls, hw: HwConfig) -> RescaleParams:
        return cls(lanes=hw.drain_lanes, acc_width=hw.acc_width, width=hw.coef_width, max_k=hw.max_k,
                   mul_stages=hw.mul_stages)

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
        """Signed bits of T', at most 255 · 2^(width−1) · 128 · max_k: 47 at the largest legal sizes."""
        return int((255 * 2 ** (self.width - 1) * 128 * self.max_k).bit_length() + 1)

    @property
    def product_width(self) -> int:
        """Signed bits of T' · mant, mant below 2^16: 63 at the largest legal sizes."""
        return self.total_width + 16

    @property
    def latency(self) -> int:
        """Cycles from an input beat's acceptance to its output's `valid`: two multipliers and nine other stages."""
        return 9 + 2 * self.mul_stages
