"""The energy set that a characterization makes: what `sim/cost/energy.py` reads (docs/asic.md)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from rtl_gen.asic.characterize import Result
from rtl_gen.asic.energy import Wires
from rtl_gen.asic.libraries import Known
from rtl_gen.asic.library import Library
from rtl_gen.mac.multiplier import OPERAND_WIDTH
from stamp_hw.config import HwConfig
from stamp_hw.formats.files import atomic_file
from stamp_hw.params import CODE_WIDTH

BASE = "horowitz45"  # what the DRAM costs, which is no part of the chip
TABLE, TABLE_NM, TABLE_VOLT = "cacti45", 45, 1.1  # of on-chip memories: `sim/cost/memory_tables`
SOURCE = "gates"
VECTORS = "made layers of Gaussian values; of units that none runs through, those of the blocks' benches"
_AXES = {"add": "bits", "multiply": "product"}
_POINTS = {"bits": (8, 32), "product": (64, 1024)}
_DIGITS = 6
_UNITS = ("idle_pj", "clock_pj", "leakage_uw", "area_um2")


def constants(results: Sequence[Result], acc_width: int) -> dict[str, dict[str, Any]]:
    """Constant → its entry. Of a PE's 8-bit step the accumulation has the part that its bits are of all."""
    found = {name: value for result in results for name, value in result.energy_pj.items() if result.name != "pe"}
    entries = {name: _entry(name, value) for name, value in found.items()}
    for result in results:
        if result.name == "pe":
            eight, four = result.energy_pj["mac.step8"], result.energy_pj["mac.step4"]
            add = eight * acc_width / (acc_width + OPERAND_WIDTH * CODE_WIDTH)
            entries |= {"mac.multiply": _entry("mac.multiply", eight - add), "mac.add": _entry("mac.add", add)}
            if four > 2 * add:
                entries["mac.step4"] = _entry("mac.step4", four - 2 * add)
    return {name: entry for name, entry in entries.items() if entry is not None}


def _entry(name: str, value: float) -> dict[str, Any] | None:
    """One constant; None for one without energy, which no set can have. Of additions and multiplications `value` is
    that of one bit."""
    if value <= 0:
        return None
    axis = None if name.startswith(("mac.", "array.", "control.")) else _AXES[name.split(".")[1]]
    text = {"prices": f"one event of {name} above the unit's rest", "unit": "pJ an event", "node": "of the library",
            "source": SOURCE, "basis": "gates of the unit, simulated; its events share its energy by their bits"}
    if axis is None:
        return text | {"energy_pj": _rounded(value)}
    return text | {"axis": axis, "energy_pj": {point: _rounded(value * point) for point in _POINTS[axis]}}


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


def memories(nm: int | None, voltage: float) -> dict[str, Any]:
    """On-chip memories at a library's node: those of the table, of which an access takes capacitance times the square
    of the voltage. Of a node that is not known they are the table's."""
    of_table = f"{TABLE_NM} nm and {TABLE_VOLT:g} V"
    times = 1.0 if nm is None else nm / TABLE_NM * (voltage / TABLE_VOLT) ** 2
    found = f"as in the table, {of_table}" + (", whatever the library's node" if nm is None else "")
    if times != 1:
        found = (f"assumed: from {of_table} to {nm} nm and {voltage:g} V the energy of an access goes with the length "
                 "and the square of the voltage; leakage stays as in the table")
    return {"table": TABLE, "energy_times": _rounded(times), "leakage_times": 1.0, "basis": found}


def document(results: Sequence[Result], name: str, named: Known, library: Library, wires: Wires, hw: HwConfig,
             vectors: str) -> dict[str, Any]:
    """The whole set."""
    return {
        "name": name, "node": named.node, "base": BASE, "memories": memories(named.nm, library.voltage),
        "sources": {SOURCE: f"the generated Verilog of this hardware in cells of {library.name} ({library.path.name}), "
                            f"{library.voltage:g} V; vectors: {vectors}"},
        "constants": constants(results, hw.acc_width),
        "gates": {
            "hardware": hw.gates,
            "units": {result.name: {key: _rounded(getattr(result, key)) for key in _UNITS}
                      | {"flip_flops": result.flip_flops, "clock_mhz": _rounded(result.clock_mhz)}
                      for result in results}} | ({"follows": follows} if (follows := {
                          result.name: {name: _rounded(price) for name, price in result.follows_pj.items()}
                          for result in results if result.follows_pj}) else {}),
        "not_modelled": [
            f"glitches: gates switch once a cycle; slews of {library.slew:g} ns and wires of {wires.ff:g} fF a pin are "
            "assumed",
            f"the clock tree is an estimate: buffers of {wires.fanout} pins, never gated",
            f"a DRAM of the library's age: its figure is {BASE}'s, and it is no part of the chip; wires between the "
            "units and to the memories; memories at rest but for leakage",
            "what values do to a layer without a trace, or with a scale a block; units of other widths"],
    }


def write(path: Path, content: dict[str, Any], command: str = "stamp-hw characterize") -> None:
    """Write a set, complete or not at all, with the `command` that makes it in its head. Raises OutputError."""
    with atomic_file(path) as stream:
        stream.write(f"# Written by `{command}`; docs/asic.md says what each figure is.\n")
        yaml.safe_dump(content, stream, sort_keys=False, width=120, allow_unicode=True)
