"""Bytes of a value and of a beat on the ports of the engine's AXI edge."""

from __future__ import annotations

OUT_WIDTH = 16  # bits of an output value (docs/contract.md §3.7)
PADDED_BYTES = 128  # of the widest beat that is padded: 1,024 bits, the most that DMAs and width converters take


def value_bytes(width: int) -> int:
    """Whole bytes of a value of `width` bits.

    >>> value_bytes(8), value_bytes(9)
    (1, 2)
    """
    return -(-width // 8)


def padded(size: int) -> int:
    """The least power of two of bytes that holds `size` bytes.

    >>> [padded(size) for size in (1, 2, 3, 6, 8, 100)]
    [1, 2, 4, 8, 8, 128]
    """
    return 1 << (size - 1).bit_length()
