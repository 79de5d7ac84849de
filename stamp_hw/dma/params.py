"""Parameters of the DMA around the linear engine."""

from __future__ import annotations

from dataclasses import dataclass

from stamp_hw.config import HwConfig
from stamp_hw.engine.params import EngineParams
from stamp_hw.engine.wire import OUT_BYTES, beat_bytes
from stamp_hw.hw_config import BUS_WIDTHS, in_range, require

ADDRESS_WIDTHS = (32, 56)
STRIDE_WIDTH = 26  # bits of the bytes from one token to the next
PAGE_BYTES = 4096  # no burst of AXI4 crosses one
MAX_BURST = 256  # words of a burst of AXI4, at most
#: Streams that read, in the order of their AXI IDs.
READS = ("chain", "order", "act", "wgt", "par")


@dataclass(frozen=True, slots=True, kw_only=True)
class DmaParams:
    """The engine inside, and the bus.

    Parameters
    ----------
    engine : of the engine
    bus_width : bits of a word of the bus
    address_width : bits of an address
    burst_words : words of the longest burst, a power of two; a burst ends where its address is a multiple of so many
    fifo_words : words that each stream may have on their way or waiting, a power of two

    Raises ConfigError for other values.
    """

    engine: EngineParams
    bus_width: int = 128
    address_width: int = 40
    burst_words: int = 16
    fifo_words: int = 64

    def __post_init__(self) -> None:
        require(self.bus_width in BUS_WIDTHS, "DmaParams.bus_width", self.bus_width,
                " or ".join(map(str, BUS_WIDTHS)))
        require(not self.engine.pad_beats, "DmaParams.engine.pad_beats", True, "False: in the memory nothing is padded")
        in_range(self, "address_width", *ADDRESS_WIDTHS)
        longest = min(MAX_BURST, PAGE_BYTES // self.bus_bytes)
        for name, low, high in (("burst_words", 2, longest), ("fifo_words", self.burst_words, 1 << 12)):
            in_range(self, name, low, high)
            value = getattr(self, name)
            require(value & (value - 1) == 0, f"DmaParams.{name}", value, "a power of two")

    @classmethod
    def of(cls, hw: HwConfig) -> DmaParams:
        """Of hardware that has a DMA. `pad_beats` is of the AXI streams, which it has not."""
        require(hw.bus_width is not None, "hw.bus_width", hw.bus_width, " or ".join(map(str, BUS_WIDTHS)))
        return cls(engine=EngineParams.of(hw).unpadded, bus_width=int(hw.bus_width or 0))

    @property
    def bus_bytes(self) -> int:
        """Bytes of a word of the bus."""
        return self.bus_width // 8

    @property
    def beat_bytes(self) -> dict[str, int]:
        """Stream that reads for the engine → bytes of a beat there."""
        beats = beat_bytes(self.engine)
        return {"act": beats["i"], "wgt": beats["w"], "par": beats["p"]}

    @property
    def tile_bytes(self) -> int:
        """Bytes of a token's results of a whole column tile."""
        return self.engine.cols * OUT_BYTES

    @property
    def ring_places(self) -> int:
        """Places of the order table that are kept: three super-tiles, so that the next one comes while the last
        results of one leave; a power of two."""
        return 1 << (3 * self.engine.out_slots - 1).bit_length()
