"""The engine's on-chip memories as the banks that the RTL has (docs/contract.md §4, "Memory").

A function of the hardware alone, whatever the job. What is listed are the memories of the generated Verilog, each with
one read and one write port (`tests/rtl_gen/test_banks.py` holds the two equal); what it keeps in registers, queues of a
few words among them, is no memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from stamp_hw.config import HwConfig
from stamp_hw.engine.params import BIAS_WIDTH, MANT_WIDTH, PARAMETER_SETS, SHIFT_WIDTH, SINK_WIDTH, EngineParams
from stamp_hw.params import CODE_WIDTH, Z_WIDTH, HaarParams

HALVES = 2  # of a buffer of which one is filled while the other is used
NIBBLE = CODE_WIDTH // 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Banks:
    """One memory: `count` banks of `words` words of `bits` bits. A beat that is read reads a word of `read` of the
    banks, one that is written writes a word of `written` of them."""

    name: str
    count: int
    words: int
    bits: int
    read: int = 1
    written: int = 1

    @property
    def bank_bytes(self) -> float:
        """Size of a bank."""
        return self.words * self.bits / 8


@lru_cache(maxsize=256)
def banks(hw: HwConfig) -> tuple[Banks, ...]:
    """Every memory of the engine, in the order in which a token meets it."""
    params = EngineParams.of(hw)
    return (*_hadamard(params), *_lines("lifting", params.haar), *_ring(params), *_activations(params),
            *_loaded(params), *_scales(params), *_combine(params), *_behind(params),
            *_lines("inverse", params.inverse))


def total_bytes(hw: HwConfig) -> int:
    """Bytes of all of them."""
    return -(-sum(one.count * one.words * one.bits for one in banks(hw)) // 8)


def address_bits(places: int) -> int:
    """Bits of an address of so many places, at least one."""
    return max(1, (places - 1).bit_length())


def _hadamard(params: EngineParams) -> Iterator[Banks]:
    """Of each level between beats but that of neighbours, which has a register, a beat a bit wider than its input."""
    unit = params.rotation
    if unit is not None:
        for level in range(unit.beat_levels - 1):
            yield Banks(name=f"hadamard_level{level}", count=1, words=unit.block_beats >> level + 1,
                        bits=unit.lanes * (unit.width + 2 + level))


def _lines(name: str, unit: HaarParams) -> Iterator[Banks]:
    """Line memories: of level 1, of each level's first and second operands, and in 2-D of the second butterfly."""
    inside = unit.lanes * unit.width
    cross = [("cross", unit.max_levels // 2, unit.lanes * unit.out_width)] if unit.axes == 2 else []
    for line, levels, bits in (("wait", 1, inside), ("even", unit.max_levels, inside),
                               ("odd", unit.max_levels - 1, inside), *cross):
        yield Banks(name=f"{name}_{line}", count=1, words=max(levels * unit.max_beats, 2), bits=bits)


def _ring(params: EngineParams) -> Iterator[Banks]:
    yield Banks(name="ring_buffer", count=1, words=params.scale.buffer_beats, bits=params.lanes * params.scale.width)


def _activations(params: EngineParams) -> Iterator[Banks]:
    """A bank a row and plane of nibbles, of both halves; with blocks a nibble of the zero beside the codes, in the low
    plane the mode."""
    words = max(2, HALVES * params.act_tiles * params.max_beats)
    bits = NIBBLE * (params.lanes + (params.block is not None))
    for plane, mode in (("low", 1), ("high", 0)):
        yield Banks(name=f"activation_{plane}", count=params.rows, words=words, bits=bits + mode)


def _loaded(params: EngineParams) -> Iterator[Banks]:
    """Weights of two passes in one bank, parameters of four in a bank a lane."""
    yield Banks(name="weight_buffer", count=1, words=HALVES * params.max_k, bits=params.cols * CODE_WIDTH)
    words, lanes = PARAMETER_SETS << address_bits(params.chunks), params.rescale_lanes
    factors = params.rescale.wsum_width + 2 * (MANT_WIDTH + SHIFT_WIDTH)
    for name, bits in (("factor_buffer", factors), ("bias_buffer", BIAS_WIDTH)):
        yield Banks(name=name, count=lanes, words=words, bits=bits, read=lanes)


def _scales(params: EngineParams) -> Iterator[Banks]:
    """A bank a half: lo, span, mode, exponent and place of each token; with blocks a bank a half of their scales."""
    token = 1 + address_bits(params.rows) + address_bits(params.act_tiles)
    bits = 2 * params.scale.width + 1 + SINK_WIDTH + params.haar.place_width
    yield Banks(name="scale_buffer", count=HALVES, words=1 << token, bits=bits)
    if params.block is not None:
        yield Banks(name="span_buffer", count=HALVES, words=1 << token + address_bits(params.max_blocks),
                    bits=params.scale.width)


def _combine(params: EngineParams) -> Iterator[Banks]:
    """Two banks a column of T; a read takes all columns, whichever lanes it is for."""
    if params.block is not None:
        yield Banks(name="combine_banks", count=HALVES * params.cols, words=params.combine.tokens,
                    bits=params.combine.total_width, read=params.cols, written=params.cols)


def _behind(params: EngineParams) -> Iterator[Banks]:
    """A bank a half of output coefficients, a word a beat."""
    yield Banks(name="output_buffer", count=HALVES, words=params.out_slots << address_bits(params.chunks),
                bits=params.rescale_lanes * Z_WIDTH)
