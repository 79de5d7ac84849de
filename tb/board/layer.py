"""The layer that a board runs, what its memories hold for it, and whether they fit."""

from __future__ import annotations

from collections.abc import Sequence

from rtl_gen.board import ulx3s
from rtl_gen.board.contents import Contents, contents
from rtl_gen.board.params import BoardParams
from rtl_gen.board.program import WIDTH
from rtl_gen.dma.layer import chain_layer
from sim.banks import total_bytes
from sim.dma.chain import chain
from sim.dma.memory import MemoryLaw
from sim.engine.events import events
from sim.port import TICKS
from stamp_hw.config import NpuConfig
from stamp_hw.dma.image import descriptors
from stamp_hw.dma.params import DmaParams
from stamp_hw.engine import streams as engine_streams
from stamp_hw.engine.linear import LinearResult, run_linear
from stamp_hw.errors import ConfigError, printable
from stamp_hw.layer import Layer

#: The memory of `rtl_gen.board.axi_ram`.
LAW = MemoryLaw(latency=TICKS, read_bursts=1, write_bursts=1)
#: Totals of events that the report shows, and that the board compares with those of the cycle model.
SHOWN = ("haar_butterflies", "scale_multiplies", "mac_steps", "mac_multiplies8", "mac_multiplies4", "finish_outputs")
_LONGEST = 60  # characters of a layer's name in the report


def hold(layer: Layer, config: NpuConfig, mhz: int) -> Contents:
    """What the board's memories hold that runs this layer at a clock rate. Raises ConfigError where no hardware of
    this configuration runs it."""
    result = run_linear(layer, config)
    job = engine_streams.make_job(layer, config, result)
    none = {"rescale": 0, "finish": 0, "hadamard": 0}  # words that saturate, which the report does not show
    params = DmaParams.of(config.hw)
    counted = events(params.engine, [job], none)
    return contents(layer, config, result, head(layer, config, mhz), cycles_of(layer, config, params, result),
                    {name: counted[name] for name in SHOWN})


def cycles_of(layer: Layer, config: NpuConfig, params: DmaParams, result: LinearResult) -> int:
    """Cycles from START to the interrupt, by the cycle model."""
    chained = chain_layer(layer, config, result)
    found, _ = descriptors([chained.sizes], params)
    return chain(params, 0, found, [chained.table], LAW).interrupt


def head(layer: Layer, config: NpuConfig, mhz: int) -> Sequence[str]:
    """First lines of the report: what runs, and what is run."""
    (tokens, k), n = layer.x.shape, len(layer.weight)
    name = printable(layer.name)[:_LONGEST].encode("ascii", "replace").decode()
    return (f"stamp-hw on {ulx3s.TITLE}: {config.hw.rows} x {config.hw.cols} array, {mhz} MHz",
            f"layer {name}: {tokens} tokens, K {k}, N {n}")


def check_fits(layer: Layer, config: NpuConfig, params: BoardParams) -> int:
    """Bytes of block RAM that the board takes, but for what rounding to whole ones costs. Raises ConfigError for more
    than there are."""
    words = params.ram_words + params.want_words
    needed = words * params.npu.bus_bytes + params.program_words * WIDTH // 8 + total_bytes(config.hw)
    there = ulx3s.EBRS * ulx3s.EBR_BYTES
    if needed > there:
        raise ConfigError("layer does not fit the board", where=f"layer {layer.name}",
                          got=f"{needed:,} bytes of block RAM, {total_bytes(config.hw):,} of them the engine's buffers",
                          expected=f"at most {there:,}: fewer tokens, or a smaller layer")
    return needed
