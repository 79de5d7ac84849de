"""Parameters of the linear engine: its blocks' own, and the sizes of the buffers between them (docs/contract.md §4)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from stamp_hw.config import HwConfig
from stamp_hw.hadamard_params import HadamardParams
from stamp_hw.params import FinishParams, HaarParams, MacParams, RescaleParams, ScaleParams

SINK_WIDTH = 4  # bits of a sink's exponent e (docs/contract.md §3.1)
MANT_WIDTH = 16  # bits of the rescale factor's mantissa (docs/contract.md §3.6)
SHIFT_WIDTH = 6  # bits of its shift
BIAS_WIDTH = 32  # bits of a bias
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
    hadamard: int | None = None

    def __post_init__(self) -> None:
        self.hw  # noqa: B018  (HwConfig validates every field)

    @classmethod
    def of(cls, hw: HwConfig) -> EngineParams:
        return cls(**{name: getattr(hw, name) for name in cls.__slots__})

    @property
    def hw(self) -> HwConfig:
        """The configuration, clock and memory left at their defaults."""
        return HwConfig(**{name: getattr(self, name) for name in self.__slots__})

    @property
    def rotation(self) -> HadamardParams | None:
        """The Hadamard unit in front of the lifting unit, None where there is none."""
        return HadamardParams.of(self.hw) if self.hadamard is not None else None

    @property
    def scale(self) -> ScaleParams:
        return ScaleParams.of(self.hw)

    @property
    def haar(self) -> HaarParams:
        """The forward unit, paced so that the scale unit behind it never has to stop it."""
        return replace(HaarParams.forward(self.hw), pace=self.scale.recip_width, places=self.out_slots)

    @property
    def mac(self) -> MacParams:
        return MacParams.of(self.hw)

    @property
    def rescale(self) -> RescaleParams:
        return RescaleParams.of(self.hw)

    @property
    def inverse(self) -> HaarParams:
        return replace(HaarParams.inverse(self.hw), places=self.out_slots)

    @property
    def finish(self) -> FinishParams:
        return FinishParams.of(self.hw)

    @property
    def max_beats(self) -> int:
        """Beats of the longest input token."""
        return -(-self.max_k // self.lanes)

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
        return self.act_tiles * max(self.max_k, self.mac.min_tile_cycles)

    @property
    def feed_cycles(self) -> int:
        """Cycles from the issue of a step to the array: the way to the buffers, their read, the choice of a byte."""
        return 3

    @property
    def drain_cycles(self) -> int:
        """Cycles from the issue of an array tile's last step to the last beat of its drain."""
        return self.feed_cycles + self.mac.drain_latency + self.mac.drain_beats - 1
