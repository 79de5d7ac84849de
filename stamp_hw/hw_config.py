"""The hardware that is generated: the section `hw` of a configuration, and how a value of it is refused."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from stamp_hw.beats import OUT_WIDTH, PADDED_BYTES, value_bytes
from stamp_hw.errors import ConfigError, brief
from stamp_hw.memory_config import MemoryConfig

MAX_LEVELS = 8
MAX_BLOCK = 1024  # channels of a block
WEIGHT_GROUPS = (32, 64, 128)  # channels that share a step and a zero of 4-bit weights
DRAM_BYTES_PER_S = 25.6e9  # of a configuration that says nothing of its memory
LEAST_BYTES_A_CYCLE = 1e-3  # of a memory behind a port: slower ones count cycles beyond 64 bits
BUS_WIDTHS = (64, 128, 256, 512)  # bits of a word of the DMA's bus
DSPS = ("ecp5",)  # DSP slices whose registers the PEs' multipliers are written for
PACKED, SPLIT = "packed", "split"  # in `hw.multiplier`
MULTIPLIERS = (PACKED, SPLIT)
HADAMARD_BLOCKS = (16, 64, 256)  # channels of a block of the Hadamard unit: even powers of two, for its signs
#: Keys of `hw` that no gate of the engine hangs on: what is around it, and at which clock.
AROUND = ("pad_beats", "bus_width", "freq_hz", "dram_bytes_per_s", "memory", "technology")


#: A function of hardware whose last results are kept: what is derived from it is made and validated once, where the
#: cycles of a layer ask for it some thirty times.
remembered = lru_cache(maxsize=64)


def require(ok: bool, name: str, got: object, expected: str) -> None:
    if not ok:
        raise ConfigError("impossible value", where=name, got=brief(got), expected=expected)


def integer(section: str, owner: object, name: str, low: int, high: int) -> None:
    value = getattr(owner, name)
    ok = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
    require(ok, f"{section}.{name}", value, f"an integer in {low}…{high}")


def number(section: str, owner: object, name: str, low: float, high: float) -> None:
    value = getattr(owner, name)
    ok = isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
    require(ok, f"{section}.{name}", value, f"a number in {low:g}…{high:g}")


def in_range(owner: object, name: str, low: int, high: int) -> None:
    """Raise ConfigError unless a field of a block's parameters is in low…high."""
    value = getattr(owner, name)
    if not low <= value <= high:
        raise ConfigError("impossible value", where=f"{type(owner).__name__}.{name}", got=value,
                          expected=f"{low}…{high}")


def least_acc_width(max_k: int) -> int:
    """Bits of an accumulator that holds every sum of `max_k` products of an 8-bit code and an 8-bit weight."""
    return (max_k * 128 * 128).bit_length() + 1


#: Largest `max_k` by `axes`: coefficients of a grid have a bit more, so that T has as many of either (docs/contract.md
#: §3.6).
MOST_K = {1: 32768, 2: 16384}
#: Key of `hw` → its least and its largest whole number.
HW_RANGES = {
    "rows": (1, 256), "cols": (1, 256), "lanes": (1, 256), "axes": (1, 2), "max_levels": (0, MAX_LEVELS),
    "max_k": (1, 32768), "max_tokens": (1, 65536), "act_slots": (1, 65536), "in_width": (8, 16), "acc_width": (16, 32),
    "recip_frac": (0, 8), "z_frac": (0, 4), "mul_stages": (1, 4)}


@dataclass(frozen=True, slots=True, kw_only=True)
class HwConfig:
    """The hardware that is generated. Widths are in bits, sizes in elements, rates in Hz and bytes per second.

    Parameters
    ----------
    rows, cols : PEs of the MAC array; a row slot holds one 8-bit token or two 4-bit ones
    lanes : channels a beat in the lifting and scale units
    axes : 1 for lifting along sequences only, 2 for 2-D grids as well (one more coefficient bit)
    max_levels : levels of the 1-D lifting; a 2-D level takes two of them
    max_k : input channels of the largest layer; beyond 16384 in hardware of one axis only
    max_tokens : tokens of the longest sequence or largest grid
    act_slots : row slots of `max_k` bytes in each half of the activation buffer
    rescale_lanes : outputs a cycle of the rescale unit, a divisor of `cols`; None means the largest divisor that is
        at most max(1, cols / 8)
    in_width : bits of an input value
    acc_width : bits of an accumulator
    recip_frac : fractional bits of the quantizer's reciprocal beyond those of the range
    z_frac : fractional bits of an output coefficient
    mul_stages : pipeline registers of each multiplier; of three or more, one of the scale unit's stands in front of it
    block : channels of a block that has an activation scale of its own, whole beats, or None for hardware without
        blocks
    packed_weights : 4-bit weights travel two in a byte, in groups or not; False: each is a byte, as are those of 8 bits
    pad_beats : beats of the AXI streams are padded to a power of two of bytes, at most 128; False: to whole bytes
    hadamard : channels of a block of the Hadamard unit in front of the lifting, 16, 64 or 256, `lanes` then a power of
        two; None builds none
    dsp : the FPGA's DSP slice that the multipliers of PEs, scale and rescale unit are written for, their registers
        included: ecp5; None leaves them to synthesis. No value and no cycle depends on it
    multiplier : what a PE multiplies with: packed, one multiplier of 17 x 8 bits, which fits a DSP slice; split, two of
        5 x 8 bits, which are smaller in standard cells. No value and no cycle depends on it
    bus_width : bits of a word of the bus of `stamp_npu`, the engine with a DMA of its own: 64, 128, 256 or 512; None
        builds none
    freq_hz : clock
    dram_bytes_per_s : peak rate of the external memory; the short form of `memory`, from which it is taken where that
        is given
    memory : the external memory behind one port (`stamp_hw.memory_config`): a kind's name (DDR4, LPDDR4, LPDDR5, GDDR6,
        HBM2), or a mapping with `kind` and what differs from it, of bytes_per_s, latency_ns, burst, efficiency,
        pj_per_bit, source; None has the rate alone, each stream by itself
    technology : name of an energy set in `sim/cost/energy_sets/`
    """

    rows: int = 8
    cols: int = 8
    lanes: int = 16
    axes: int = 2
    max_levels: int = 8
    max_k: int = 4096
    max_tokens: int = 4096
    act_slots: int = 576
    rescale_lanes: int | None = None
    in_width: int = 16
    acc_width: int = 32
    recip_frac: int = 8
    z_frac: int = 4
    mul_stages: int = 2
    block: int | None = None
    packed_weights: bool = False
    pad_beats: bool = False
    hadamard: int | None = None
    dsp: str | None = None
    multiplier: str = PACKED
    bus_width: int | None = None
    freq_hz: float = 500e6
    dram_bytes_per_s: float = DRAM_BYTES_PER_S
    memory: MemoryConfig | None = None
    technology: str = "horowitz45"

    def __post_init__(self) -> None:
        for name, (low, high) in HW_RANGES.items():
            integer("hw", self, name, low, high)
        require(self.max_k <= MOST_K[self.axes], "hw.max_k", self.max_k,
                f"at most {MOST_K[self.axes]} with axes = {self.axes}, {MOST_K[1]} with axes = 1")
        for name in ("packed_weights", "pad_beats"):
            require(isinstance(getattr(self, name), bool), f"hw.{name}", getattr(self, name), "true or false")
        if self.rescale_lanes is None:
            lanes = next(lanes for lanes in range(max(1, self.cols // 8), 0, -1) if self.cols % lanes == 0)
            object.__setattr__(self, "rescale_lanes", lanes)
        integer("hw", self, "rescale_lanes", 1, self.cols)
        assert self.rescale_lanes is not None
        require(self.cols % self.rescale_lanes == 0, "hw.rescale_lanes", self.rescale_lanes,
                 f"a divisor of cols = {self.cols}")
        if self.pad_beats:
            sizes = {"lanes": value_bytes(self.in_width), "cols": 1, "rescale_lanes": value_bytes(OUT_WIDTH)}
            for name, size in sizes.items():
                require(getattr(self, name) * size <= PADDED_BYTES, f"hw.{name}", getattr(self, name),
                        f"at most {PADDED_BYTES // size} with pad_beats, whose beats have {PADDED_BYTES} bytes at most")
        needed = least_acc_width(self.max_k)
        require(self.acc_width >= needed, "hw.acc_width", self.acc_width, f"at least {needed} at max_k = {self.max_k}")
        if self.block is not None:
            integer("hw", self, "block", 1, MAX_BLOCK)
            require(self.block % self.lanes == 0, "hw.block", self.block, f"a multiple of lanes = {self.lanes}")
        require(self.hadamard is None or type(self.hadamard) is int and self.hadamard in HADAMARD_BLOCKS, "hw.hadamard",
                self.hadamard, "null, 16, 64 or 256")
        require(self.dsp is None or self.dsp in DSPS, "hw.dsp", self.dsp, f"null or {' or '.join(DSPS)}")
        require(isinstance(self.multiplier, str) and self.multiplier in MULTIPLIERS, "hw.multiplier", self.multiplier,
                " or ".join(MULTIPLIERS))
        require(self.dsp is None or self.multiplier == PACKED, "hw.multiplier", self.multiplier,
                f"{PACKED} with dsp = {self.dsp}, whose slice is one multiplier")
        require(self.hadamard is None or self.lanes & (self.lanes - 1) == 0, "hw.lanes", self.lanes,
                f"a power of two with hw.hadamard = {self.hadamard}")
        require(self.bus_width is None or type(self.bus_width) is int and self.bus_width in BUS_WIDTHS, "hw.bus_width",
                self.bus_width, "null, 64, 128, 256 or 512")
        number("hw", self, "freq_hz", 1e3, 1e11)
        number("hw", self, "dram_bytes_per_s", 1e3, 1e15)
        if self.memory is not None:
            object.__setattr__(self, "memory", MemoryConfig.parse(self.memory))
            require(self.dram_bytes_per_s in (DRAM_BYTES_PER_S, self.memory.bytes_per_s), "hw.dram_bytes_per_s",
                    self.dram_bytes_per_s, f"not beside hw.memory, whose bytes_per_s is {self.memory.bytes_per_s:g}")
            least = LEAST_BYTES_A_CYCLE * self.freq_hz / self.memory.efficiency
            require(self.memory.bytes_per_s >= least, "hw.memory.bytes_per_s", self.memory.bytes_per_s,
                    f"at least {least:g}: {LEAST_BYTES_A_CYCLE:g} bytes a cycle of freq_hz = {self.freq_hz:g}")
            object.__setattr__(self, "dram_bytes_per_s", self.memory.bytes_per_s)
        require(isinstance(self.technology, str) and self.technology.isidentifier()
                 and len(self.technology) <= 64, "hw.technology",
                 self.technology, "the name of an energy set, e.g. horowitz45")

    @property
    def coef_width(self) -> int:
        """Bits of a coefficient: one more than the input along each axis (docs/contract.md §3.2)."""
        return self.in_width + self.axes

    @property
    def drain_lanes(self) -> int:
        """`rescale_lanes` with its default filled in."""
        assert self.rescale_lanes is not None
        return self.rescale_lanes

    @property
    def gates(self) -> dict[str, Any]:
        """Key → value of all that the engine's gates hang on."""
        return {key: value for key, value in asdict(self).items() if key not in AROUND}

    def to_dict(self) -> dict[str, Any]:
        """Key → value, as a configuration has them; without `memory`, `dsp`, `pad_beats` and `bus_width` where there is
        none, and without `multiplier` where it is packed."""
        none = [name for name in ("memory", "dsp", "pad_beats", "bus_width") if not getattr(self, name)]
        none += ["multiplier"] if self.multiplier == PACKED else []
        return {key: value for key, value in asdict(self).items() if key not in none}
