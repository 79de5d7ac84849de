"""A descriptor: all that the DMA knows of one layer, 64 words of 32 bits, little endian, at a multiple of 256 bytes.

One table says where each field is, which of its bits may be set and whether it may be zero: `words`. The RTL refuses
what `decode` refuses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

from stamp_hw.dma.params import STRIDE_WIDTH, DmaParams
from stamp_hw.errors import ConfigError

WORDS = 64
BYTES = 4 * WORDS
VERSION = 1
MAGIC = int.from_bytes(b"SD", "big") << 16 | VERSION  # word 0: a format, and its version in the low half
LAST, INTERRUPT = 1, 2  # bits of `flags`
ADDRESSES = ("next", "order", "act", "wgt", "par", "out")  # two words each, the low one first
COUNTS = ("places", "act_bytes", "act_stride", "wgt_bytes", "par_bytes", "repeats", "out_stride")
FIRST_ADDRESS, FIRST_COUNT, FIRST_JOB = 2, 14, 24
#: Registers of the job, a word each: the same place in every build, one that a build does not have is zero.
JOB = ("width", "height", "two_d", "levels", "n_sink", "symmetric", "beats", "tail", "columns", "out_beats", "out_keep",
       "tile_width", "tile_height", "hi_order", "hi_band", "hi_row", "hi_column", "blocks", "packed", "weight_group",
       "hadamard", "hadamard_shift", "in_beats", "in_tail")


class Word(NamedTuple):
    """`name` of what a word holds, "" for nothing; the bits that may be set; whether one of them must."""

    name: str = ""
    mask: int = 0
    needed: bool = False


def words(params: DmaParams, widths: Mapping[str, int]) -> tuple[Word, ...]:
    """The 64 words for hardware whose job registers have these `widths` in bits."""
    table = [Word()] * WORDS
    table[0] = Word("magic", (1 << 32) - 1, True)
    table[1] = Word("flags", LAST | INTERRUPT)
    for number, name in enumerate(ADDRESSES):
        unit = BYTES if name == "next" else params.bus_bytes
        mask = ((1 << params.address_width) - 1) & ~(unit - 1)
        at = FIRST_ADDRESS + 2 * number
        table[at : at + 2] = Word(name, mask & 0xFFFFFFFF), Word(f"{name}_high", mask >> 32)
    for number, name in enumerate(COUNTS):
        stride = ((1 << STRIDE_WIDTH) - 1) & ~(params.bus_bytes - 1)
        whole = (1 << 30) - 1 if name == "places" else (1 << 32) - 1  # of places the bytes, too, are 32 bits
        table[FIRST_COUNT + number] = Word(name, stride if name.endswith("stride") else whole, True)
    for number, name in enumerate(JOB):
        table[FIRST_JOB + number] = Word(name, (1 << widths.get(name, 0)) - 1)
    return tuple(table)


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """One layer. Addresses are in bytes.

    `order` of its order table, of `places` entries (`stamp_hw.dma.order`); `act` of token 0 of the input, `act_stride`
    to the next one, `act_bytes` of each that are read; `wgt`, `par` of the weights and parameters, of which
    `wgt_bytes`, `par_bytes` are read `repeats` times, once a super-tile; `out`, `out_stride` of the results;
    `registers` of the job by their names; `next` descriptor, None for the last one; `interrupt` when it is done.
    """

    order: int
    act: int
    wgt: int
    par: int
    out: int
    places: int
    act_bytes: int
    act_stride: int
    wgt_bytes: int
    par_bytes: int
    repeats: int
    out_stride: int
    registers: Mapping[str, int]
    next: int | None = None
    interrupt: bool = False

    def encode(self, table: Sequence[Word], where: str = "descriptor") -> bytes:
        """Its 256 bytes, by `words`. Raises ConfigError for a value that they cannot hold."""
        values = {"magic": MAGIC, "flags": LAST * (self.next is None) | INTERRUPT * self.interrupt, **self.registers}
        for name in ADDRESSES:
            address = int(getattr(self, name) or 0)
            values |= {name: address & 0xFFFFFFFF, f"{name}_high": address >> 32}
        values |= {name: getattr(self, name) for name in COUNTS}
        if unknown := set(values) - {word.name for word in table}:
            raise ConfigError("no such register", where=where, got=sorted(unknown)[0])
        found = [int(values.get(word.name, 0)) for word in table]
        for word, value in zip(table, found, strict=True):
            _check(word, value, where)
        return np.array(found, "<u4").tobytes()

    @classmethod
    def decode(cls, data: bytes, table: Sequence[Word], where: str = "descriptor") -> Descriptor:
        """What 256 bytes say, by `words`. Raises ConfigError for anything but a descriptor of this hardware."""
        if len(data) != BYTES:
            raise ConfigError("not a descriptor", where=where, got=f"{len(data)} bytes", expected=f"{BYTES} bytes")
        found = np.frombuffer(data, "<u4").tolist()
        if found[0] != MAGIC:
            raise ConfigError("not a descriptor", where=where, got=f"{found[0]:#x}", expected=f"{MAGIC:#x} in word 0")
        values: dict[str, int] = {}
        for word, value in zip(table, found, strict=True):
            _check(word, value, where)
            values[word.name] = value
        addresses: dict[str, int] = {name: values[name] | values[f"{name}_high"] << 32 for name in ADDRESSES}
        following = addresses.pop("next")
        return cls(**addresses, **{name: values[name] for name in COUNTS},
                   registers={word.name: values[word.name] for word in table[FIRST_JOB:] if word.mask},
                   next=None if values["flags"] & LAST else following, interrupt=bool(values["flags"] & INTERRUPT))


def _check(word: Word, value: int, where: str) -> None:
    if value & ~word.mask or value < 0 or word.needed and not value:
        raise ConfigError("impossible value", where=f"{where}.{word.name or 'reserved'}", got=f"{value:#x}",
                          expected=f"bits of {word.mask:#x}{', not 0' if word.needed else ''}")


assert {*ADDRESSES, *COUNTS, "registers", "interrupt"} == {field.name for field in fields(Descriptor)}
