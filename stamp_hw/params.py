"""Parameters of each block, derived from the one configuration.

The golden function, the cycle formula and the RTL component of a block take the same object.
"""

from __future__ import annotations

from dataclasses import dataclass

from stamp_hw.config import HwConfig
from stamp_hw.errors import ConfigError

INVERSE_WIDTH = 28  # bits inside the inverse lifting (docs/contract.md §3.7)
Z_WIDTH = 24  # bits of an output coefficient (docs/contract.md §3.6)
OUT_WIDTH = 16  # bits of an output value (docs/contract.md §3.7)
CODE_WIDTH = 8  # bits of an activation code on the wires


def _check(owner: object, name: str, low: int, high: int) -> None:
    value = getattr(owner, name)
    if not low <= value <= high:
        raise ConfigError("impossible value", where=f"{type(owner).__name__}.{name}", got=value,
                          expected=f"{low}…{high}")


@dataclass(frozen=True, slots=True, kw_only=True)
class HaarParams:
    """Lifting unit, forward or inverse: `lanes` values of `width` bits a beat, every level in one pass.

    `width` is the input's; the forward unit's outputs are `axes` bits wider, the inverse unit stays in `width`.
    """

    lanes: int
    width: int
    axes: int
    max_levels: int
    max_beats: int
    max_tokens: int

    def __post_init__(self) -> None:
        for name, low, high in (("lanes", 1, 256), ("width", 2, 32), ("axes", 1, 2), ("max_levels", 0, 8),
                                ("max_beats", 1, 16384), ("max_tokens", 1, 65536)):
            _check(self, name, low, high)

    @classmethod
    def forward(cls, hw: HwConfig) -> HaarParams:
        """The unit in front of the array: tokens of up to `max_k` channels."""
        return cls(lanes=hw.lanes, width=hw.in_width, axes=hw.axes, max_levels=hw.max_levels,
                   max_beats=-(-hw.max_k // hw.lanes), max_tokens=hw.max_tokens)

    @classmethod
    def inverse(cls, hw: HwConfig) -> HaarParams:
        """The unit behind the array: tokens of one column tile (`cols` channels)."""
        return cls(lanes=hw.drain_lanes, width=INVERSE_WIDTH, axes=hw.axes, max_levels=hw.max_levels,
                   max_beats=hw.cols // hw.drain_lanes, max_tokens=hw.max_tokens)


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

    @classmethod
    def of(cls, hw: HwConfig) -> MacParams:
        return cls(rows=hw.rows, cols=hw.cols, lanes=hw.drain_lanes, acc_width=hw.acc_width, max_k=hw.max_k,
                   mul_stages=hw.mul_stages)

    @property
    def drain_beats(self) -> int:
        """Beats in which one tile's 2 · rows · cols accumulators leave the array."""
        return 2 * self.rows * self.cols // self.lanes


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
