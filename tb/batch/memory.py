"""Between NumPy arrays and the memories that player.h reads and writes: one word a beat, as Verilator stores a port."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tb.bench.layout import Layout

_CHUNK = 4096  # beats converted at a time, so that a chunk stays in the cache


def word_bytes(width: int) -> int:
    """Bytes that Verilator takes for a port of `width` bits: 1, 2, 4, 8, or 4 for each 32 bits."""
    return next((size for size in (1, 2, 4, 8) if width <= 8 * size), 4 * -(-width // 32))


def pack(layout: Layout, fields: Mapping[str, Any]) -> np.ndarray:
    """Memory of the beats, uint8 (beats, word_bytes), from field → integers (beats, *leaf.shape).

    Raises ValueError for a missing, unknown or misshaped field and for a value that does not fit its width.
    """
    beats, arrays = layout.checked(fields)
    memory = np.empty((beats, word_bytes(layout.width)), np.uint8)
    for first in range(0, beats, _CHUNK):
        rows = memory[first:first + _CHUNK]
        words = np.zeros((-(-layout.width // 64), len(rows)), "<u8")
        for leaf in layout.leaves:
            part = arrays[leaf.name][first:first + _CHUNK].reshape(len(rows), -1)
            values = np.ascontiguousarray(part.T).astype("<i8").view("<u8") & np.uint64((1 << leaf.width) - 1)
            for value, position in zip(values, leaf.positions().tolist(), strict=True):
                word, shift = divmod(position, 64)
                words[word] |= value << np.uint64(shift)
                if shift + leaf.width > 64:
                    words[word + 1] |= value >> np.uint64(64 - shift)
        rows[:] = np.ascontiguousarray(words.T).view(np.uint8)[:, :memory.shape[1]]
    return memory


def unpack(layout: Layout, memory: np.ndarray) -> dict[str, np.ndarray]:
    """The inverse of `pack`: field → int64 (beats, *leaf.shape)."""
    beats = len(memory)
    arrays = {leaf.name: np.empty((beats, leaf.count), np.int64) for leaf in layout.leaves}
    for first in range(0, beats, _CHUNK):
        part = memory[first:first + _CHUNK]
        padded = np.zeros((len(part), 8 * -(-layout.width // 64)), np.uint8)
        padded[:, :part.shape[1]] = part[:, :padded.shape[1]]
        words = np.ascontiguousarray(padded.view("<u8").T)
        for leaf in layout.leaves:
            mask, sign = np.uint64((1 << leaf.width) - 1), np.int64(int(leaf.signed) << (leaf.width - 1))
            for index, position in enumerate(leaf.positions().tolist()):
                word, shift = divmod(position, 64)
                value = words[word] >> np.uint64(shift)
                if shift + leaf.width > 64:
                    value |= words[word + 1] << np.uint64(64 - shift)
                arrays[leaf.name][first:first + _CHUNK, index] = ((value & mask).view(np.int64) ^ sign) - sign
    return {leaf.name: arrays[leaf.name].reshape(beats, *leaf.shape) for leaf in layout.leaves}


def to_int(word: np.ndarray) -> int:
    """The payload as a number."""
    return int.from_bytes(word.tobytes(), "little")
