"""The page of a whole model: what `stamp-hw simulate --model --json` writes (`sim/workload/report.py`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sim.report import common, memories, names, phases
from sim.report.check import (
    COMMON,
    DRAIN,
    figure,
    listing,
    mapping,
    maybe,
    place,
    record,
    same_hardware,
    same_keys,
    text,
)
from sim.report.figures import digits, percent, quantity, rate
from sim.report.view import Card, View
from sim.studies import drains
from sim.workload.report import SCHEMA_VERSION
from sim.workload.tables import drained
from stamp_hw.text import plural

__all__ = ["SCHEMA_VERSION", "check", "view"]

#: What an operation, a phase and a run have.
FIGURES = {
    **dict.fromkeys(("cycles", "vector_cycles", "macs", "dram_bytes", "energy_fj", "time_s"), figure),
    **dict.fromkeys(("power_w", "tops", "utilization", "average_bits", "macs_per_byte"), maybe(figure)),
    **dict.fromkeys(("cycles_by_part", "cycles_by_limit", "dram_bytes_by_operand", "energy_fj_by_component"),
                    mapping(figure, empty=True)),
    "bottleneck": maybe(text)}
PHASE = {**FIGURES, **dict.fromkeys(("produces", "steps", "batch", "energy_j_per_unit"), figure), "unit": text,
          **dict.fromkeys(("units_per_s", "memory_units_per_s", "array_units_per_s"), maybe(figure)),
          "ops": mapping(record(FIGURES, perhaps=DRAIN))}
_RULE = record({
    **COMMON, "workload": record({"name": text, "not_included": listing(text)}), "vector_lanes": maybe(figure),
    "schemes": mapping(record({"phases": mapping(record(PHASE)), "total": record(FIGURES)}, perhaps=memories.SPENT))},
    perhaps=memories.DESCRIBED)
_ACCURACY = record({"figure": text, "schemes": mapping(maybe(figure)), "source": text})

Figures = Mapping[str, Any]


def check(document: Figures) -> None:
    """Raise StampError unless the document is such a report."""
    _RULE(document, "")
    same_hardware(document)
    if "accuracy" in document:
        _ACCURACY(document["accuracy"], "accuracy")
    check_phases({name: found["phases"] for name, found in document["schemes"].items()}, "schemes")


def check_phases(schemes: Mapping[str, Figures], where: str) -> None:
    """Raise StampError unless all schemes have the same phases, and these the same operations."""
    same_keys(schemes, where)
    for phase in next(iter(schemes.values())):
        same_keys({name: found[phase]["ops"] for name, found in schemes.items()}, place(where, f"{phase}.ops"))


def view(document: Figures) -> View:
    """The page."""
    chosen = common.lead(list(document["schemes"]))
    used = ["cycles", "bytes", "energy", "bounds", *(["measured"] if "accuracy" in document else []), "given"]
    return View(
        title=f"{document['workload']['name']} on stamp-hw", subtitle=subtitle(document),
        cards=cards(document, chosen), verdict=tuple(verdict(document, chosen)),
        sections=(
            phases.overview(document), phases.cycles(document),
            phases.energy(document, memories.table(document, chosen, *_spent(document, chosen))),
            *(section(document) for section in (phases.traffic, phases.roofline, phases.operations, phases.accuracy)),
            common.constants(document, vector_unit(document)), common.missing(document, not_included(document)),
            common.origins(used), common.configuration(document)))


def _spent(document: Figures, scheme: str) -> tuple[dict[str, tuple[float, float]], float]:
    """Accesses and joules of each on-chip memory in the whole run under a scheme, and the joules of all."""
    found = document["schemes"][scheme]
    spent = {name: (one["accesses"], one["energy_fj"] / 1e15) for name, one in found.get("memories", {}).items()}
    return spent, found["total"]["energy_fj"] / 1e15


def subtitle(document: Figures) -> str:
    """What was asked, of which hardware."""
    first = next(iter(document["schemes"].values()))["phases"]
    asked = "; ".join(f"{name}: {plural(round(phase['produces']), phase['unit'])} in "
                      f"{plural(round(phase['steps']), 'step')}"
                      + (f", {phase['batch']} side by side" if phase["batch"] > 1 else "")
                      for name, phase in first.items())
    return f"{asked}. {common.asked(document)}"


def cards(document: Figures, chosen: str) -> tuple[Card, ...]:
    """A card a phase under the chosen scheme, and what it is against the others."""
    found = []
    for name, phase in document["schemes"][chosen]["phases"].items():
        others = [(scheme, other["phases"][name]) for scheme, other in document["schemes"].items() if scheme != chosen]
        against = tuple((f"speed against {scheme}", f"× {digits(other['cycles'] / phase['cycles'])}")
                        for scheme, other in others if phase["cycles"])
        units = phase["units_per_s"]
        found.append(Card(
            name=f"{name}, {chosen}", value="–" if units is None else rate(units), unit=f"{phase['unit']}s/s", lines=(
                ("time", quantity(phase["time_s"], "s")),
                ("energy", f"{quantity(phase['energy_j_per_unit'], 'J')} a {phase['unit']}"),
                ("power", "–" if phase["power_w"] is None else quantity(phase["power_w"], "W")),
                ("paced by", _paced(phase)), *against)))
    return tuple(found)


def _paced(phase: Figures) -> str:
    """The first cause by time, with its share."""
    shares = {**phase["cycles_by_limit"], "vector": phase["vector_cycles"]}
    worst = max(shares, key=lambda limit: shares[limit])
    return f"{names.limit(worst)}, {percent(shares[worst], phase['cycles'])}" if shares[worst] else "–"


def verdict(document: Figures, chosen: str) -> Iterator[str]:
    """A sentence a phase: what it does, and what the memory or the array alone would allow; and what would lift the
    drain where it paces an operation."""
    for name, phase in document["schemes"][chosen]["phases"].items():
        made, memory, array = (phase[key] for key in ("units_per_s", "memory_units_per_s", "array_units_per_s"))
        if made is None:
            continue
        bounds = [f"{what} would allow {rate(bound)}" for what, bound in
                  (("the memory's rate alone", memory), ("an array whose row slots never idle", array))
                  if bound is not None]
        yield (f"{name.capitalize()} ({chosen}) makes {rate(made)} {phase['unit']}s/s, paced by: {_paced(phase)} of "
               f"the time; {'; '.join(bounds)}.")
    yield from drains.said(drained(document["schemes"][chosen]["phases"]), document["config"]["hw"]["rescale_lanes"])


def vector_unit(document: Figures) -> list[tuple[str, ...]]:
    """The row of constants of the vector unit, where there is one."""
    lanes = document["vector_lanes"]
    return [] if lanes is None else [
        ("vector unit", f"{lanes:g}", "lanes", "–", "--vector-lanes", "cycles of norms, softmax and activations",
         "operations a value counted from their formulas, assumed; the energy is not modelled")]


def not_included(document: Figures) -> list[str]:
    """What of the model is not in the figures."""
    beside = [] if document["vector_lanes"] is not None else ["norms, rotary positions, softmax, activations"]
    order = ("tokens that could come while another job runs; all wait for the results of the job before"
             if document.get("prefetch") else "jobs run one after the other, each on an engine at rest")
    return [*beside, *document["workload"]["not_included"], f"cycles: {order}"]
