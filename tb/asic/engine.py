"""A whole small engine in gates: what the simulator charges for layers beside what the gates take.

    python -m tb.asic.engine [--liberty freepdk45] [--json build/asic.json] TRACE…

Its blocks are characterized as those of any hardware, by layers that are made; the set is written and read again. Then
the engine is mapped in one piece, and layers that no price has seen run through it. Memories, DRAM and leakage are on
neither side.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rtl_gen.asic import energy_set, layer_beats, layers, libraries, library
from rtl_gen.asic.bench import BUSY, of_unit
from rtl_gen.asic.characterize import characterize
from rtl_gen.asic.energy import Meter, Wires
from rtl_gen.asic.follow import Error
from rtl_gen.asic.libraries import Known
from rtl_gen.asic.library import Library
from rtl_gen.asic.mapping import map_files
from rtl_gen.asic.parts import Layers, parts
from rtl_gen.asic.simulate import simulate_all
from rtl_gen.delivery.generate import unit_files
from rtl_gen.tops import BLOCKS, ENGINE_TOP
from sim.cost import energy, layer_cost
from sim.cost.energy import EnergySet
from sim.task import Shape
from stamp_hw.cli.show import show
from stamp_hw.config import NpuConfig
from stamp_hw.engine.changes import Passage
from stamp_hw.errors import StampError
from stamp_hw.formats.files import write_json
from stamp_hw.formats.json_file import load_json
from stamp_hw.text import align

#: Two rows and columns: small enough to map whole, with everything that an engine of two axes has.
SMALL = NpuConfig.from_dict({"hw": {"rows": 2, "cols": 2, "lanes": 2, "max_k": 256, "max_tokens": 64,
                                    "act_slots": 128}})
_ELSEWHERE = ("memory", "dram", "leakage")
MOST_BYTES = 10_000_000  # of a report
_HEAD = ("layer", "cycles", "gates pJ", "charged, mean", "by values")


def made_set(config: NpuConfig, cells: Library, wires: Wires, known: Known) -> EnergySet:
    """The energy set of a configuration's blocks, by way of its file."""
    fitted = layers.made(layers.FITTED, config, layers.SEED)
    results = [characterize(part, cells, wires) for part in parts(config, layers=fitted)]
    with tempfile.TemporaryDirectory(prefix="stamp-set-") as folder:
        path = Path(folder) / "set.yaml"
        found = energy_set.document(results, "small", known, cells, wires, config.hw, energy_set.VECTORS)
        energy_set.write(path, found)
        return energy.load_file(path)


def of_gates(config: NpuConfig, runs: Layers, cells: Library, wires: Wires) -> dict[str, tuple[int, float]]:
    """Layer → (cycles, pJ) of the engine mapped in one piece."""
    unit = next(unit for unit in BLOCKS["engine"] if unit.module == ENGINE_TOP)
    netlist = map_files(unit_files(unit, config), ENGINE_TOP, cells)
    bench = of_unit(unit, config, others={name: layer_beats.engine(run) for name, run in runs.items()})
    found = simulate_all(netlist, cells, bench, {})
    meter = Meter(netlist, cells, wires)
    return {name: (phases[BUSY].cycles, phases[BUSY].cycles / 1000 * meter.energy(phases[BUSY]).total)
            for name, phases in found.items() if name in runs}


def charged(run: Passage, chosen: EnergySet) -> tuple[float, float, int]:
    """(pJ by mean prices, pJ by values, cycles) of a layer."""
    shape = Shape(name=run.layer.name, tokens=run.job.width * run.job.height, k=run.layer.x.shape[1],
                  n=run.layer.weight.shape[0], grid=run.grid, n_sink=run.outliers, transform=run.layer.transform)
    costs = [layer_cost.cost(shape, run.config, chosen, run=values) for values in (None, run)]
    mean, following = (sum(event.energy_pj for component, events in cost.events.items() if component not in _ELSEWHERE
                           for event in events.values()) for cost in costs)
    return mean, following, costs[0].cycles.total


def errors(config: NpuConfig, runs: Layers, chosen: EnergySet, cells: Library, wires: Wires
           ) -> list[tuple[Error, int, int]]:
    """Of each layer (what is charged over what the gates took, less one; cycles of the gates, and of the simulator)."""
    found = []
    for name, (cycles, taken) in of_gates(config, runs, cells, wires).items():
        mean, following, simulated = charged(runs[name], chosen)
        found.append((Error(run=name, total_pj=taken, mean=mean / taken - 1, following=following / taken - 1), cycles,
                      simulated))
    return found


def unseen(config: NpuConfig, traces: Sequence[Path]) -> Layers:
    """Layers of other seeds, and of traces."""
    found = layers.made(layers.OTHERS, config, layers.OTHER_SEED)
    for path in traces:
        found |= layers.traced(path, config)
    return found


def report_of_blocks(path: Path) -> dict[str, Any]:
    """The report of `stamp-hw characterize --json`, which has an `engine`. Raises StampError."""
    expected = "what stamp-hw characterize --json wrote"
    document = load_json(path, "report", MOST_BYTES, expected)
    if not isinstance(document, dict) or not isinstance(document.get("engine"), dict):
        raise StampError("not a report", where=str(path), expected=expected)
    return document


def report(found: Sequence[tuple[Error, int, int]], config: NpuConfig) -> dict[str, Any]:
    """As `build/asic.json` has it, in `engine`."""
    return {"energy_error": max(abs(one.following) for one, _, _ in found),
            "mean_energy_error": max(abs(one.mean) for one, _, _ in found),
            "checked": {"hw": config.to_dict()["hw"], "errors": [
                {"run": one.run, "total_pj": one.total_pj, "mean": one.mean, "following": one.following,
                 "cycles": cycles} for one, cycles, _ in found]}}


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tb.asic.engine", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("traces", metavar="TRACE", type=Path, nargs="*")
    parser.add_argument("--liberty", default="freepdk45", help="as of stamp-hw characterize")
    parser.add_argument("--json", type=Path, metavar="FILE", help="a report of characterize, which gets the error")
    given = parser.parse_args(words)
    try:
        document = None if given.json is None else report_of_blocks(given.json)
        known = libraries.find(given.liberty)
        cells, wires = library.load(known.path, known.slew), Wires(ff=known.wire_ff)
        runs = unseen(SMALL, given.traces)
        found = errors(SMALL, runs, made_set(SMALL, cells, wires, known), cells, wires)
        show(align(_HEAD, [(one.run, str(cycles), f"{one.total_pj:.0f}", f"{one.mean:+.1%}", f"{one.following:+.1%}")
                           for one, cycles, _ in found]))
        if document is not None:
            document["engine"] |= report(found, SMALL)
            write_json(given.json, document)
    except (StampError, OSError, ValueError) as error:
        sys.stderr.write(f"stamp-hw: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
