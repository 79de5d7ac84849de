"""What STaMP costs in silicon, beside the same engine without it: `python -m tb.asic.silicon`.

Prints area and energy of every unit of engines of 16 × 16 and 32 × 32 PEs and writes build/silicon.json
(docs/silicon.md). Three engines of a size, at one clock, that of the slowest unit of all:

- `stamp`: everything that the language preset has, and split PEs;
- `a8`, `a4`: the same engine without levels, Hadamard unit and blocks, and without the two lifting units, with PEs that
  multiply codes of 8 bits alone, or pairs of 4. Array's edge and control are those of hardware for both precisions.

Energy is that of the linear layers of a block of SmolLM2-135M, by the simulator, with a set of each engine's gates.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import yaml

from rtl_gen.asic import energy_set, engines, libraries
from rtl_gen.asic.characterize import Result
from rtl_gen.asic.energy import Wires
from rtl_gen.asic.engines import ENGINES, Measured
from rtl_gen.asic.libraries import Known
from rtl_gen.asic.library import Library, load
from sim import banks
from sim.cost import energy, layer_cost
from sim.cost.energy import EnergySet
from sim.task import Shape
from sim.workload import find
from sim.workload.ops import Linear
from stamp_hw import schemes
from stamp_hw.cli.common import progress_line
from stamp_hw.cli.show import show
from stamp_hw.config import NpuConfig
from stamp_hw.errors import StampError
from stamp_hw.formats.files import write_json
from stamp_hw.rooms import build_folder
from stamp_hw.text import align
from tb.asic.published import PUBLISHED

ROWS = (16, 32)
MODEL, TOKENS = "smollm2-135m", 2048
#: What of the simulator's events a unit takes, by component and the event's beginning; the first that fits.
_EVENTS = (("lifting", "forward", "lifting"), ("lifting", "inverse", "inverse"), ("lifting", "hadamard", "hadamard"),
           ("scale", "", "scale"), ("mac", "", "pe"), ("rescale", "multiply_block", "combine"),
           ("rescale", "add_block", "combine"), ("rescale", "bias", "finish"), ("rescale", "", "rescale"),
           ("control", "array", "array"), ("control", "control", "control"))
#: A unit's own memories by the beginning of a bank's name; all others are the engine's `buffers`.
_BANKS = {"lifting": "lifting", "inverse": "inverse", "hadamard": "hadamard", "ring": "scale", "combine": "combine",
          "span": "combine"}
BUFFERS = "buffers"


def configuration(engine: str, rows: int, freq_hz: float) -> NpuConfig:
    """An engine's hardware and job at a clock."""
    config = engines.stamp(rows) if engine == "stamp" else engines.plain(rows)
    return schemes.configure(engine, config.with_hw(freq_hz=freq_hz))


def layers() -> list[Shape]:
    """The linear layers of a block; those that share their input are one job."""
    workload = find.workload(MODEL, find.Ask(prefill=TOKENS))
    ops = [op for op in workload.phases[0].ops if isinstance(op, Linear) and op.repeat > 1]
    return [Shape(name=op.name, tokens=op.tokens, k=op.k, n=sum(n for _, n in op.outputs)) for op in ops]


def spent(shapes: Sequence[Shape], config: NpuConfig, priced: EnergySet) -> dict[str, Any]:
    """pJ of the layers: of `gates` and of own `memories` by unit, of `dram`; their `cycles` and `macs`. What memories
    of lifting units take that are not counted is not, either."""
    found: dict[str, Any] = {"gates": {}, "memories": {}, "dram": 0.0, "cycles": 0, "macs": 0}
    names = {bank.name for bank in banks.banks(config.hw)}
    for shape in shapes:
        cost = layer_cost.cost(shape, config, priced)
        found["cycles"] += cost.cycles.total
        found["macs"] += cost.macs
        for component, events in cost.events.items():
            for name, event in events.items():
                if component == "dram":
                    found["dram"] += event.energy_pj
                    continue
                kind = "memories" if name in names else "gates"
                unit = _owner(component, name, memory=name in names)
                if unit not in (*priced.gates, BUFFERS):
                    continue
                found[kind][unit] = found[kind].get(unit, 0.0) + event.energy_pj
    return found


def _owner(component: str, name: str, *, memory: bool) -> str:
    if memory:
        return next((unit for start, unit in _BANKS.items() if name.startswith(start)), BUFFERS)
    if component in ("at_rest", "leakage"):
        return name
    return next(unit for own, start, unit in _EVENTS if own == component and name.startswith(start))


def make_set(results: list[Result], config: NpuConfig, known: Known, library: Library, wires: Wires) -> EnergySet:
    """The set of an engine's gates."""
    found = energy_set.document(results, "engine", known, library, wires, config.hw, "the benches'")
    return energy.parse(yaml.safe_dump(found, allow_unicode=True), "energy set")


def memory_areas(config: NpuConfig, priced: EnergySet, units: Collection[str]) -> dict[str, float]:
    """Unit, or `buffers` → µm² of its memories, by the table of the set; none of lifting units that do not count."""
    assert priced.memories is not None
    found: dict[str, float] = {}
    for own in banks.banks(config.hw):
        unit = _owner("memory", own.name, memory=True)
        if unit in (*units, BUFFERS):
            one = priced.memories.table.bank(own.words, own.bits)
            found[unit] = found.get(unit, 0.0) + own.count * one.area_um2
    return found


def engine_figures(engine: str, rows: int, measured: Measured, freq_hz: float,
                   price: Callable[[list[Result], NpuConfig], EnergySet]) -> dict[str, Any]:
    """Everything of an engine: area, energy a token by unit, and what follows."""
    units, config, shapes = measured.units(engine, rows), configuration(engine, rows, freq_hz), layers()
    priced = price(list(units.values()), config)
    taken, room = spent(shapes, config, priced), memory_areas(config, priced, units)
    area = {name: unit.count * unit.area_um2 for name, unit in units.items()}
    whole = sum(area.values())
    gates, memories = sum(taken["gates"].values()), sum(taken["memories"].values())
    seconds = taken["cycles"] / freq_hz
    operations = 2 * taken["macs"]
    return {
        "area_um2": whole, "memories_um2": sum(room.values()), "gates_pj": gates / TOKENS,
        "memories_pj": memories / TOKENS, "dram_pj": taken["dram"] / TOKENS, "cycles": taken["cycles"],
        "tops": operations / seconds / 1e12, "tops_w": operations / gates,
        "tops_w_memories": operations / (gates + memories), "tops_mm2": operations / seconds / whole * 1e-6,
        "tops_mm2_memories": operations / seconds / (whole + sum(room.values())) * 1e-6,
        "limit_mhz": min(unit.clock_mhz for unit in units.values()),
        "units": {name: {
            "count": units[name].count, "area_um2": area[name], "area_share": area[name] / whole,
            "flip_flops": units[name].flip_flops, "clock_mhz": units[name].clock_mhz,
            "pj": taken["gates"].get(name, 0.0) / TOKENS, "share": taken["gates"].get(name, 0.0) / gates,
            "memories_um2": room.get(name, 0.0), "memories_pj": taken["memories"].get(name, 0.0) / TOKENS}
            for name in (*engines.UNITS, "pe") if name in units},
        "buffers_pj": taken["memories"].get(BUFFERS, 0.0) / TOKENS}


def document(measured: Measured, rows: Sequence[int], known: Known, library: Library, wires: Wires) -> dict[str, Any]:
    """What is written."""
    slowest = max((unit.path_ps, f"{name} of {engine}") for engine in ENGINES for count in rows
                  for name, unit in measured.units(engine, count).items())
    freq_hz = 1e12 / slowest[0]

    def price(results: list[Result], config: NpuConfig) -> EnergySet:
        return make_set(results, config, known, library, wires)

    return {
        "schema_version": 1, "library": library.name, "voltage": library.voltage, "wire_ff": wires.ff,
        "slew_ns": library.slew, "clock_mhz": freq_hz / 1e6, "slowest": slowest[1], "model": MODEL, "tokens": TOKENS,
        "layers": [f"{shape.tokens}x{shape.k}x{shape.n}" for shape in layers()],
        "mapped": {"pilot": engines.PILOT, "second": engines.SECOND, "at_size": list(engines.MAPPED)},
        "off": measured.off(),
        "engines": {str(count): {engine: engine_figures(engine, count, measured, freq_hz, price)
                                 for engine in ENGINES} for count in rows},
        "published": [asdict(one) for one in PUBLISHED]}


def render(found: Mapping[str, Any]) -> str:
    """Units of the STaMP engines, then all engines."""
    texts = []
    for rows, own in found["engines"].items():
        table = [(name, f"{unit['area_um2']:,.0f}", f"{unit['area_share']:.1%}", f"{unit['pj']:,.0f}",
                  f"{unit['share']:.1%}", f"{unit['memories_pj']:,.0f}")
                 for name, unit in own["stamp"]["units"].items()]
        texts.append(f"{rows} × {rows}, {found['clock_mhz']:.0f} MHz\n" + align(
            ("unit", "µm²", "of area", "pJ/token", "of energy", "its memories"), table))
        lines = [(name, f"{one['area_um2'] / 1e6:.3f}", f"{one['gates_pj']:,.0f}", f"{one['memories_pj']:,.0f}",
                  f"{one['cycles']:,}", f"{one['tops']:.3f}", f"{one['tops_w']:.2f}", f"{one['tops_w_memories']:.2f}",
                  f"{one['tops_mm2']:.3f}") for name, one in own.items()]
        texts.append(align(("engine", "mm²", "gates pJ/token", "memories", "cycles", "TOPS", "TOPS/W",
                            "with memories", "TOPS/mm²"), lines))
    return "\n\n".join(texts)


def main(words: Sequence[str] | None = None) -> None:
    """Print the tables and write silicon.json into the build folder."""
    parser = argparse.ArgumentParser(prog="python -m tb.asic.silicon", description=main.__doc__)
    parser.add_argument("--liberty", default="freepdk45", help="as of stamp-hw characterize")
    given = parser.parse_args(words)
    try:
        known = libraries.find(given.liberty)
        library, wires = load(known.path, known.slew), Wires(ff=known.wire_ff)
        say = progress_line()
        found = document(engines.measure(library, wires, ROWS, say), ROWS, known, library, wires)
        say("")
        write_json(build_folder() / "silicon.json", found)
        show(render(found))
    except StampError as error:
        parser.exit(2, f"stamp-hw: {error}\n")


if __name__ == "__main__":
    main()
