"""The memory of a chain of layers: descriptors, order tables, weights, parameters, activations, room for results.

Tensors are as a host has them, [token][channel], a row beginning at a word of the bus: of K or N channels that do not
fill whole words the rest of a row's last word is unused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stamp_hw.beats import value_bytes
from stamp_hw.dma import descriptor
from stamp_hw.dma.descriptor import Descriptor, Word
from stamp_hw.dma.order import ENTRY_BYTES
from stamp_hw.dma.params import DmaParams
from stamp_hw.engine.wire import OUT_BYTES
from stamp_hw.errors import ConfigError

ALIGNMENT = 256  # of every part: a descriptor's, and whole words of any bus


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSizes:
    """What decides a layer's descriptor and its room: `registers` of its job, `places` of its order table, `wgt_bytes`,
    `par_bytes` of the weights and parameters of one super-tile, `repeats` super-tiles, `channels` (K, N), `tokens`. It
    brings its input, or reads the results of an earlier layer of the chain, number `source`."""

    registers: Mapping[str, int]
    places: int
    wgt_bytes: int
    par_bytes: int
    repeats: int
    channels: tuple[int, int]
    tokens: int
    source: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChainLayer:
    """What a layer brings: `registers` of its job, its order `table` uint32[places], bytes of the `weights` and
    `parameters` of one super-tile, `repeats` super-tiles, `channels` (K, N). The input is `codes` int16[tokens, K], or
    the results of an earlier layer of the chain, number `source`."""

    registers: Mapping[str, int]
    table: np.ndarray
    weights: bytes
    parameters: bytes
    repeats: int
    channels: tuple[int, int]
    tokens: int
    codes: np.ndarray | None = None
    source: int | None = None

    @property
    def sizes(self) -> LayerSizes:
        """Without its data."""
        return LayerSizes(registers=self.registers, places=len(self.table), wgt_bytes=len(self.weights),
                          par_bytes=len(self.parameters), repeats=self.repeats, channels=self.channels,
                          tokens=self.tokens, source=self.source)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Image:
    """`data` of the memory from address `base` on, where the chain begins; `layers` its descriptors, `shapes` (tokens,
    N) of their results."""

    base: int
    data: bytes
    layers: tuple[Descriptor, ...]
    shapes: tuple[tuple[int, int], ...]

    def results(self, memory: bytes, number: int) -> np.ndarray:
        """int16[tokens, N] of a layer, in the bytes of a memory of this image."""
        layer, (tokens, n) = self.layers[number], self.shapes[number]
        return rows(memory, layer.out - self.base, layer.out_stride, tokens, n * OUT_BYTES).view("<i2")


def rows(memory: bytes, start: int, stride: int, count: int, size: int) -> np.ndarray:
    """uint8[count, size]: rows of `size` bytes that begin `stride` bytes apart."""
    found = np.frombuffer(memory, np.uint8, count * stride, start).reshape(count, stride)
    return np.ascontiguousarray(found[:, :size])


def stride_of(values: int, size: int, params: DmaParams) -> int:
    """Bytes of a row of `values` of `size` bytes, whole words of the bus."""
    return -(-values * size // params.bus_bytes) * params.bus_bytes


def descriptors(chain: Sequence[LayerSizes], params: DmaParams, base: int = 0, interrupt: bool = False
                ) -> tuple[tuple[Descriptor, ...], int]:
    """(descriptors of layers that follow each other, address behind all that they need). The descriptors themselves lie
    from `base` on; `interrupt` raises one behind each layer, not behind the last alone.

    Raises ConfigError for a base that is unaligned, or for memory beyond the bus's addresses.
    """
    if base % ALIGNMENT:
        raise ConfigError("unaligned", where="base", got=f"{base:#x}", expected=f"a multiple of {ALIGNMENT}")
    end = base + ALIGNMENT * len(chain)

    def room(size: int) -> int:
        """Where the next part goes."""
        nonlocal end
        start, end = end, end + -(-size // ALIGNMENT) * ALIGNMENT
        return start

    found: list[Descriptor] = []
    for number, layer in enumerate(chain):
        (k, n), value = layer.channels, value_bytes(params.engine.in_width)
        act_stride, out_stride = stride_of(k, value, params), stride_of(n, OUT_BYTES, params)
        if layer.source is None:
            act = room(act_stride * layer.tokens)
        else:
            act, act_stride = found[layer.source].out, found[layer.source].out_stride
        found.append(Descriptor(
            order=room(ENTRY_BYTES * layer.places), act=act, wgt=room(layer.wgt_bytes), par=room(layer.par_bytes),
            out=room(out_stride * layer.tokens), places=layer.places, act_bytes=k * value, act_stride=act_stride,
            wgt_bytes=layer.wgt_bytes, par_bytes=layer.par_bytes, repeats=layer.repeats, out_stride=out_stride,
            registers=layer.registers, next=base + ALIGNMENT * (number + 1) if number + 1 < len(chain) else None,
            interrupt=interrupt or number + 1 == len(chain)))
    if base < 0 or end > 1 << params.address_width:
        raise ConfigError(f"beyond the bus's addresses of {params.address_width} bits", where="base", got=f"{base:#x}",
                          expected=f"0…{(1 << params.address_width) - (end - base):#x} for these {end - base} bytes")
    return tuple(found), end


def build(chain: Sequence[ChainLayer], params: DmaParams, table: Sequence[Word], base: int = 0,
          interrupt: bool = False) -> Image:
    """The image of layers that follow each other, as `descriptors`.

    Raises ConfigError as that does, or for what no descriptor can say.
    """
    found, end = descriptors([layer.sizes for layer in chain], params, base, interrupt)
    memory = np.zeros(end - base, np.uint8)
    for number, (one, layer) in enumerate(zip(found, chain, strict=True)):
        for start, data in ((base + ALIGNMENT * number, one.encode(table, f"descriptor {number}")),
                            (one.order, layer.table.astype("<u4").tobytes()), (one.wgt, layer.weights),
                            (one.par, layer.parameters)):
            memory[start - base : start - base + len(data)] = np.frombuffer(data, np.uint8)
        if layer.source is None:
            assert layer.codes is not None
            put_rows(memory, one.act - base, one.act_stride,
                     layer.codes.astype(f"<i{value_bytes(params.engine.in_width)}"))
    return Image(base=base, data=memory.tobytes(), layers=found,
                 shapes=tuple((layer.tokens, layer.channels[1]) for layer in chain))


def put_rows(memory: np.ndarray, start: int, stride: int, values: np.ndarray) -> None:
    """Write rows that begin `stride` bytes apart into uint8[bytes]; what is between them stays."""
    whole = np.ascontiguousarray(values).view(np.uint8).reshape(len(values), -1)
    memory[start : start + len(values) * stride].reshape(len(values), stride)[:, : whole.shape[1]] = whole


assert descriptor.BYTES == ALIGNMENT and ALIGNMENT % ENTRY_BYTES == 0
