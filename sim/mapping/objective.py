"""What a search minimizes, and the order in which it compares."""

from __future__ import annotations

from typing import Any, Literal, get_args

from stamp_hw.errors import ConfigError, brief

#: Cycles, energy, or their product (the energy-delay product).
Objective = Literal["cycles", "energy", "edp"]
OBJECTIVES: tuple[Objective, ...] = get_args(Objective)
#: In an objective's place: nothing is searched, super-tiles are the largest that fit.
LARGEST = "largest"


def searched(where: str, word: Any) -> Objective | None:
    """The objective of a document's word, None of `largest`. Raises ConfigError for any other."""
    if word == LARGEST:
        return None
    for objective in OBJECTIVES:
        if word == objective:
            return objective
    raise ConfigError("impossible value", where=where, got=brief(word),
                      expected=f"{LARGEST}, or what is searched for: {', '.join(OBJECTIVES)}")


def rank(objective: Objective, cycles: int, energy_fj: int, tokens: int) -> tuple[int, int, int]:
    """Least is best: what is searched for; of equals the fewer cycles, for `cycles` the less energy; of equals still
    the smaller super-tile, of which no two have as many `tokens`."""
    if objective == "cycles":
        return cycles, energy_fj, tokens
    return energy_fj if objective == "energy" else cycles * energy_fj, cycles, tokens
