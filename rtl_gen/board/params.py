"""Parameters of a board's own part."""

from __future__ import annotations

from dataclasses import dataclass

from rtl_gen.board.checker import COUNT_WIDTH
from stamp_hw.dma.params import DmaParams
from stamp_hw.hw_config import in_range

BAUD = 115_200


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardParams:
    """What stands around `stamp_npu` on a board.

    Parameters
    ----------
    npu : of the engine with its DMA
    ram_words, want_words, program_words : words of the bus in the memory, and of the results that are wanted;
        instructions
    divisor : cycles of a bit on the serial line

    Raises ConfigError for other values.
    """

    npu: DmaParams
    ram_words: int
    want_words: int
    program_words: int
    divisor: int

    def __post_init__(self) -> None:
        for name in ("ram_words", "want_words", "program_words"):
            in_range(self, name, 2, (1 << COUNT_WIDTH) - 1)
        in_range(self, "divisor", 2, 1 << 16)

    @property
    def ram_width(self) -> int:
        """Bits of the address of a word of the memory."""
        return (self.ram_words - 1).bit_length()

    @property
    def want_width(self) -> int:
        """Bits of the address of a wanted word."""
        return (self.want_words - 1).bit_length()

    @property
    def program_width(self) -> int:
        """Bits of the address of an instruction."""
        return (self.program_words - 1).bit_length()


def divisor(freq_hz: float) -> int:
    """Cycles of a bit on the serial line."""
    return round(freq_hz / BAUD)
