"""What causes, components and operands are called, in which order they stand, and which colour each has everywhere.

A colour belongs to a thing, whatever chart it is in: the array, the activations, the weights, the memory. What a cause
adds to that (it is late because of the memory, the array waits for itself) is hatched. Keys that are not known here
keep their own name and the colour of what is left.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sim.studies.tables import BOTTLENECK_NAMES, PART_NAMES


@dataclass(frozen=True, slots=True)
class Name:
    """What a key is called, its colour (a custom property of report.css), and whether it is hatched."""

    text: str
    colour: str
    hatched: bool = False


REST = "rest"
_PARTS = {
    "streaming": ("array", False), "wait_drain": ("array", True), "wait_activations": ("activations", False),
    "wait_dram_activations": ("activations", True), "wait_weights": ("weights", False),
    "wait_dram_weights": ("weights", True), "wait_output": ("outputs", False), "wait_dram_bytes": ("dram", True),
    "tail": ("tail", False)}
_LIMITS = {
    "array": ("array", False), "drain": ("array", True), "activations": ("activations", False),
    "dram_activations": ("activations", True), "weights": ("weights", False), "dram_weights": ("weights", True),
    "dram_bytes": ("dram", True), "back": ("tail", False)}

CYCLES = {**{part: Name(PART_NAMES[part], *look) for part, look in _PARTS.items()},
          "vector": Name("vector unit works", "vector")}
LIMITS = {**{limit: Name(BOTTLENECK_NAMES[limit], *look) for limit, look in _LIMITS.items()},
          "weights": Name("weights enter the array", "weights"), "vector": Name("vector unit", "vector")}
ENERGY = {
    "mac": Name("MAC array", "array"), "memory": Name("on-chip memories", "memory"),
    "dram": Name("external memory", "dram"), "lifting": Name("lifting", "lifting"),
    "scale": Name("quantizer", "scale"), "rescale": Name("rescale", "rescale")}
OPERANDS = {
    "weights": Name("weights", "weights"), "activations": Name("activations", "activations"),
    "outputs": Name("outputs", "outputs"), "scales": Name("channel parameters", "parameters")}
KINDS = {"cycles": CYCLES, "limits": LIMITS, "energy": ENERGY, "bytes": OPERANDS}

#: Where a figure comes from: what the badge says, and what that means.
ORIGINS = {
    "cycles": ("cycle model", "modelled; the engine's cycles are held equal to the RTL, beat by beat; what the external"
                              " memory offers when is modelled"),
    "bytes": ("counted", "modelled; the bytes of the engine's streams, counted, equal to the files that `stamp-hw "
                         "program --data` writes"),
    "energy": ("modelled", "modelled: event counts times the constants below"),
    "bounds": ("computed", "computed from the configuration: rows, columns, clock, rate of the external memory"),
    "accuracy": ("bit-accurate model", "measured on data with the bit-accurate model, which the RTL is held equal to"),
    "measured": ("measured", "measured on a running model by `stamp-hw eval`"),
    "swept": ("modelled", "modelled: cycles by the cycle model of the engine, which is held equal to the RTL, beat by "
                          "beat; bytes counted; energy event counts times the constants of the set that the sweep or "
                          "hw.technology names"),
    "given": ("given", "from the configuration and the energy set, as the report holds them"),
}


def name(kind: str, key: str) -> Name:
    """Name and look of a key of a chart."""
    return KINDS[kind].get(key) or Name(key.replace("_", " "), REST, True)


def ordered(kind: str, keys: Iterable[str]) -> list[str]:
    """Keys in the order of their kind, those that it does not know behind them by name."""
    known = list(KINDS[kind])
    return sorted(set(keys), key=lambda key: (known.index(key) if key in known else len(known), key))


def limit(key: str | None) -> str:
    """What paces something, in words."""
    return "–" if key is None else name("limits", key).text
