"""What a set made from gates adds to arithmetic: clocks and leakage of every unit in every cycle, leakage of the
on-chip memories, and what array and control take beside the PEs (docs/asic.md)."""

from __future__ import annotations

from sim.cost import bank_prices
from sim.cost.energy import EnergySet, Event
from stamp_hw.config import HwConfig

PE = "pe"  # of which there is one a row and column; of any other unit one
UNIT, LEAKAGE = "at_rest", "leakage"  # components


def copies(unit: str, hw: HwConfig) -> int:
    """How many of a unit there are."""
    return hw.rows * hw.cols if unit == PE else 1


def energy_pj(energy_set: EnergySet, hw: HwConfig, cycles: int) -> dict[str, dict[str, float]]:
    """Component → unit, or memory → pJ of so many cycles, whatever is done in them; none of a set without gates."""
    if not energy_set.gates:
        return {}
    counts = {name: copies(name, hw) for name in energy_set.gates}
    seconds = cycles / hw.freq_hz
    return {
        UNIT: {name: counts[name] * unit.idle_pj * cycles for name, unit in energy_set.gates.items()},
        LEAKAGE: {name: counts[name] * unit.leakage_uw * 1e6 * seconds for name, unit in energy_set.gates.items()}
        | {name: leaking * 1e6 * seconds for name, leaking in bank_prices.leakage_uw(hw, energy_set).items()},
    }


def steps(energy_set: EnergySet, count: int) -> dict[str, tuple[Event, ...]]:
    """Component → its events, of `count` steps of the array: skew, queue, buffers' ports and gates."""
    found = tuple(Event(name=f"{name}_step", constant=f"{name}.step", count=count) for name in ("array", "control")
                  if f"{name}.step" in energy_set.constants)
    return {"control": found} if found else {}
