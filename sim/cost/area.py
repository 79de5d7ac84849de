"""Area of hardware by an energy set made from its gates: cells before placement, and banks of memory."""

from __future__ import annotations

from typing import Any

from sim.banks import banks
from sim.cost.at_rest import copies
from sim.cost.bank_prices import nine_digits
from sim.cost.energy import EnergySet
from stamp_hw.config import HwConfig

_UM2 = 1e-6  # mm² of one


def area_mm2(hw: HwConfig, energy_set: EnergySet) -> dict[str, Any] | None:
    """`gates`, mm² of the cells of all units in the set's `node`; where it has a table of memories `memories`, mm² of
    all banks in the table's `memories_node`, which may be another: areas are not scaled. None of a set without gates.
    """
    if not energy_set.gates:
        return None
    cells = sum(copies(name, hw) * unit.area_um2 for name, unit in energy_set.gates.items())
    found = {"gates": nine_digits(_UM2 * cells), "node": energy_set.node}
    if energy_set.memories is not None:
        table = energy_set.memories.table
        whole = sum(one.count * table.bank(one.words, one.bits).area_um2 for one in banks(hw))
        found |= {"memories": nine_digits(_UM2 * whole), "memories_node": table.node}
    return found
