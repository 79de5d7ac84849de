"""What a search minimizes, and the order in which it compares."""

from __future__ import annotations

from typing import Literal, get_args

#: Cycles, energy, or their product (the energy-delay product).
Objective = Literal["cycles", "energy", "edp"]
OBJECTIVES: tuple[Objective, ...] = get_args(Objective)


def rank(objective: Objective, cycles: int, energy_fj: int, tokens: int) -> tuple[int, int, int]:
    """Least is best: what is searched for; of equals the fewer cycles, for `cycles` the less energy; of equals still
    the smaller super-tile, of which no two have as many `tokens`."""
    if objective == "cycles":
        return cycles, energy_fj, tokens
    return energy_fj if objective == "energy" else cycles * energy_fj, cycles, tokens
