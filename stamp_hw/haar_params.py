"""Parameters of the lifting units and of what is behind the inverse one, derived from the one configuration."""

from __future__ import annotations

from dataclasses import dataclass

from stamp_hw.beats import OUT_WIDTH
from stamp_hw.errors import ConfigError
from stamp_hw.hw_config import HwConfig, in_range, remembered

INVERSE_WIDTH = 28  # bits inside the inverse lifting (docs/contract.md §3.7)


@dataclass(frozen=True, slots=True, kw_only=True)
class HaarParams:
    """Lifting unit: `lanes` values of `width` bits a beat, every level in one pass.

    `direction` is "forward" or "inverse". `width` is the input's; the forward unit's outputs are `axes` bits wider, the
    inverse unit stays in `width`. `max_levels` counts chain levels: a 2-D level is two of them. `read_stages` registers
    stand behind an address of a line memory: the memory's own, and its output register when there are two;
    `write_stages` in front of the lines that take s, of the forward unit alone. A busy slot takes at least `pace`
    cycles. Inside the engine `places` > 0 tells how many in-place positions a super-tile may have.
    """

    lanes: int
    width: int
    axes: int
    max_levels: int
    max_beats: int
    max_tokens: int
    direction: str = "forward"
    read_stages: int = 1
    write_stages: int = 0
    pace: int = 0
    places: int = 0

    def __post_init__(self) -> None:
        if self.direction not in ("forward", "inverse"):
            raise ConfigError("impossible value", where="HaarParams.direction", got=self.direction,
                              expected="forward or inverse")
        for name, low, high in (("lanes", 1, 256), ("width", 2, 32), ("axes", 1, 2), ("max_levels", 0, 8),
                                ("max_beats", 1, 32768), ("max_tokens", 1, 65536), ("read_stages", 1, 2),
                                ("write_stages", 0, int(self.direction == "forward")), ("pace", 0, 64),
                                ("places", 0, 131072)):
            in_range(self, name, low, high)

    @classmethod
    @remembered
    def forward(cls, hw: HwConfig) -> HaarParams:
        """The unit in front of the array: tokens of up to `max_k` channels."""
        return cls(lanes=hw.lanes, width=hw.in_width, axes=hw.axes, max_levels=hw.max_levels,
                   max_beats=-(-hw.max_k // hw.lanes), max_tokens=hw.max_tokens)

    @classmethod
    @remembered
    def inverse(cls, hw: HwConfig) -> HaarParams:
        """The unit behind the array: tokens of one column tile (`cols` channels)."""
        return cls(lanes=hw.drain_lanes, width=INVERSE_WIDTH, axes=hw.axes, max_levels=hw.max_levels,
                   max_beats=hw.cols // hw.drain_lanes, max_tokens=hw.max_tokens, direction="inverse")

    @property
    def elastic(self) -> bool:
        """Whether the output can be stopped. Inside the engine the forward unit is paced so that nothing stops it."""
        return not (self.places and self.direction == "forward")

    @property
    def has_spare(self) -> bool:
        """Whether a beat in front of a stopped output passes into a register of its own: of the inverse unit inside the
        engine, so that a stall reaches its registers a cycle later, from a register."""
        return bool(self.places) and self.direction == "inverse"

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
        return max(self.read_stages + 3 + self.write_stages, self.pace)

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
            in_range(self, name, low, high)

    @classmethod
    @remembered
    def of(cls, hw: HwConfig) -> FinishParams:
        return cls(lanes=hw.drain_lanes, width=INVERSE_WIDTH, z_frac=hw.z_frac)

    @property
    def latency(self) -> int:
        """Cycles from an input beat to its output: sum, saturation."""
        return 2
