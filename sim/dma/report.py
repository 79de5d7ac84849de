"""What a chain through the DMA costs, as a document and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from sim.dma.chain import ChainCycles
from sim.dma.memory import MemoryLaw
from sim.dma.shapes import Linear
from sim.engine import closed_form
from sim.port import TICKS
from sim.task import Task
from stamp_hw.dma.params import DmaParams
from stamp_hw.text import align, folded

ENOUGH = 1e15  # bytes a second, more than any engine takes


def document(layers: Sequence[Linear], found: ChainCycles, params: DmaParams, law: MemoryLaw, freq_hz: float,
             version: str) -> dict[str, Any]:
    """The report: layers of one name that took the same cycles are one row, `times` of them."""
    rows: dict[tuple[object, ...], dict[str, Any]] = {}
    word = params.bus_bytes
    for layer, cycles in zip(layers, found.layers, strict=True):
        shape = layer.shape
        row = rows.setdefault((shape, id(cycles)), {
            "name": shape.name, "tokens": shape.tokens, "k": shape.k, "n": shape.n, "times": 0,
            "cycles": cycles.cycles, "engine_cycles": alone(layer), "job": cycles.job, "last": cycles.last,
            "waits": dict(cycles.waits),
            "bytes_read": {name: words * word for name, words in cycles.words_read.items()},
            "bytes_written": cycles.words_written * word, "bursts_read": len(cycles.reads),
            "bursts_written": len(cycles.writes)})
        row["times"] += 1
    found_rows = list(rows.values())
    return {
        "what": "chain", "version": version, "source": "modelled, equal to the RTL (tb/dma/cycles.py)",
        "hw": {"bus_width": params.bus_width, "burst_words": params.burst_words, "fifo_words": params.fifo_words,
               "freq_hz": freq_hz},
        "memory": asdict(law), "layers": found_rows,
        "total": {"layers": len(found.layers), "cycles": found.interrupt, "seconds": found.interrupt / freq_hz,
                  "bytes_read": sum(row["times"] * sum(row["bytes_read"].values()) for row in found_rows),
                  "bytes_written": sum(row["times"] * row["bytes_written"] for row in found_rows)}}


def alone(layer: Linear) -> int:
    """Cycles of the layer's job on the engine without a DMA, whose streams bring every beat at once."""
    hw = replace(layer.config.hw, memory=None, dram_bytes_per_s=ENOUGH)
    return closed_form.simulate(Task.of(layer.shape, layer.config), hw).total


def render(report: dict[str, Any]) -> str:
    """Tables for a terminal."""
    rows = []
    for row in report["layers"]:
        cycles, read = row["cycles"], row["bytes_read"]
        rows.append((row["name"], f"{row['times']}", f"{row['tokens']}x{row['k']}x{row['n']}", f"{cycles:,}",
                     f"{row['engine_cycles']:,}",
                     *(f"{100 * row['waits'][name] / cycles:.1f} %" for name in ("i", "w", "p", "o")),
                     *(f"{read[name]:,}" for name in ("act", "wgt", "par")), f"{read['chain'] + read['order']:,}",
                     f"{row['bytes_written']:,}"))
    total, memory, hw = report["total"], report["memory"], report["hw"]
    table = align(("layer", "times", "shape", "cycles", "engine alone", "i waits", "w waits", "p waits", "o waits",
                   "act B", "wgt B", "par B", "tables B", "written B"), rows)
    line = "one line for reads and writes" if memory["one_port"] else "a line each way"
    return folded("\n".join([
        table, "",
        f"{total['layers']} layer{'s' * (total['layers'] > 1)}: {total['cycles']:,} cycles from START to the "
        f"interrupt, {1e3 * total['seconds']:.3f} ms at {hw['freq_hz'] / 1e6:g} MHz; {total['bytes_read']:,} bytes "
        f"read, {total['bytes_written']:,} written",
        f"bus of {hw['bus_width']} bits; memory: {memory['read_ticks'] / TICKS:g} cycles a word read, "
        f"{memory['write_ticks'] / TICKS:g} written, {memory['latency'] / TICKS:g} cycles of latency, {line}",
        "waits: share of a layer's cycles in which the engine wanted a beat that was not there, or had a result that "
        "was not taken; the engine alone has every beat at once"]))
