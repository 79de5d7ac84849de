"""What the memories of a board hold: a layer's image, its results, and the program that runs and reports it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rtl_gen.board import program as board_program
from rtl_gen.board.checker import RESULT_BITS
from rtl_gen.board.params import BoardParams, divisor
from rtl_gen.board.program import Report
from rtl_gen.delivery import chain
from stamp_hw.config import NpuConfig
from stamp_hw.dma.params import DmaParams
from stamp_hw.engine.linear import LinearResult
from stamp_hw.errors import ConfigError, LayerError
from stamp_hw.layer import Layer

LIMIT_CYCLES = 1 << 26  # after which a run is given up: more than a second on any board


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Contents:
    """`words` of the bus in the memory before a run, those that are `wanted` of it in its results, and the
    instructions; `report` is what it says."""

    words: Sequence[int]
    wanted: Sequence[int]
    program: Sequence[int]
    report: Report


def first_tokens(layer: Layer, tokens: int) -> Layer:
    """The layer with the first so many tokens of its input. Raises LayerError for more than it has, or for a grid."""
    if layer.grid is not None or tokens > len(layer.x):
        raise LayerError("cannot take so many tokens", where=f"layer {layer.name}", got=tokens,
                         expected="a sequence" if layer.grid else f"at most {len(layer.x)}")
    return replace(layer, x=layer.x[:tokens], outliers=tuple(one for one in layer.outliers if one < tokens))


def contents(layer: Layer, config: NpuConfig, result: LinearResult, head: Sequence[str], cycles: int,
             events: Mapping[str, int]) -> Contents:
    """What a board holds that runs this layer.

    Parameters
    ----------
    result : what `run_linear` made of layer and configuration
    head : first lines of the report
    cycles : from START to the interrupt
    events : totals to report, by name

    Raises ConfigError as `chain_layer` does, or where a token's results do not fill whole words of the bus.
    """
    params = DmaParams.of(config.hw)
    n = result.y.shape[1]
    lanes = params.bus_width // RESULT_BITS
    if n % lanes:
        raise ConfigError("a token's results do not fill whole words of the bus", where=f"layer {layer.name}",
                          got=f"{n} output channels", expected=f"a multiple of {lanes}")
    said, memories = chain.memory([chain.link(layer.name, layer, config, result)], config, 0)
    before, after = (words(memories[name], params.bus_bytes) for name in (chain.BEFORE, chain.AFTER))
    first, count = said["layers"][0]["out"] // params.bus_bytes, result.y.size // lanes
    report = Report(head, (first, count), result.y.size, cycles, events, LIMIT_CYCLES)
    return Contents(words=before, wanted=after[first : first + count], report=report,
                    program=[one.word for one in board_program.program(params, 0, report)])


def words(data: bytes, size: int) -> list[int]:
    """Words of `size` bytes, little endian."""
    return [int.from_bytes(row.tobytes(), "little") for row in np.frombuffer(data, np.uint8).reshape(-1, size)]


def hex_text(values: Sequence[int], width: int) -> str:
    """A word a line, as `$readmemh` reads them."""
    return "".join(f"{value:0{-(-width // 4)}x}\n" for value in values)


def board_params(config: NpuConfig, held: Contents, freq_hz: float) -> BoardParams:
    """The board's part of hardware that holds just this."""
    return BoardParams(npu=DmaParams.of(config.hw), ram_words=len(held.words), want_words=len(held.wanted),
                       program_words=len(held.program), divisor=divisor(freq_hz))
