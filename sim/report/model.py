"""The page of a whole model: what `stamp-hw simulate --model --json` writes (`sim/workload/report.py`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sim.report import cells, common, names
from sim.report.check import COMMON, figure, listing, mapping, maybe, record, same_keys, text
from sim.report.figures import count, digits, percent, quantity, rate
from sim.report.view import Bar, Bars, Card, Cell, Dot, Roofline, Section, View
from sim.workload.report import SCHEMA_VERSION
from stamp_hw.text import plural

__all__ = ["SCHEMA_VERSION", "check", "view"]

_FIGURES = {
    **dict.fromkeys(("cycles", "vector_cycles", "macs", "dram_bytes", "energy_fj", "time_s"), figure),
    **dict.fromkeys(("power_w", "tops", "utilization", "average_bits", "macs_per_byte"), maybe(figure)),
    **dict.fromkeys(("cycles_by_part", "cycles_by_limit", "dram_bytes_by_operand", "energy_fj_by_component"),
                    mapping(figure, empty=True)),
    "bottleneck": maybe(text)}
_PHASE = {**_FIGURES, **dict.fromkeys(("produces", "steps", "batch", "energy_j_per_unit"), figure), "unit": text,
          **dict.fromkeys(("units_per_s", "memory_units_per_s", "array_units_per_s"), maybe(figure)),
          "ops": mapping(record(_FIGURES))}
_RULE = record({
    **COMMON, "workload": record({"name": text, "not_included": listing(text)}), "vector_lanes": maybe(figure),
    "schemes": mapping(record({"phases": mapping(record(_PHASE)), "total": record(_FIGURES)}))})
_ACCURACY = record({"figure": text, "schemes": mapping(maybe(figure)), "source": text})

Figures = Mapping[str, Any]


def check(document: Figures, where: str) -> None:
    """Raise StampError unless the document is such a report."""
    _RULE(document, where)
    if "accuracy" in document:
        _ACCURACY(document["accuracy"], f"{where}: accuracy")
    schemes = document["schemes"]
    same_keys({name: found["phases"] for name, found in schemes.items()}, f"{where}: schemes")
    for phase in next(iter(schemes.values()))["phases"]:
        same_keys({name: found["phases"][phase]["ops"] for name, found in schemes.items()},
                  f"{where}: {phase}: operations")


def view(document: Figures) -> View:
    """The page."""
    chosen = common.lead(list(document["schemes"]))
    used = ["cycles", "bytes", "energy", "bounds", *(["measured"] if "accuracy" in document else []), "given"]
    return View(
        title=f"{document['workload']['name']} on stamp-hw", subtitle=_subtitle(document),
        cards=_cards(document, chosen), verdict=tuple(_verdict(document, chosen)),
        sections=(_overview(document), _cycles(document), _energy(document), _traffic(document), _roofline(document),
                  _operations(document), _accuracy(document), common.constants(document, _vector(document)),
                  common.missing(document, _not_included(document)), common.origins(used),
                  common.configuration(document)))


def _phases(document: Figures) -> Iterator[tuple[str, str, Figures]]:
    """(phase, scheme, figures), phase by phase."""
    first = next(iter(document["schemes"].values()))
    for phase in first["phases"]:
        for scheme, found in document["schemes"].items():
            yield phase, scheme, found["phases"][phase]


def _subtitle(document: Figures) -> str:
    first = next(iter(document["schemes"].values()))["phases"]
    asked = "; ".join(f"{name}: {plural(round(phase['produces']), phase['unit'])} in "
                      f"{plural(round(phase['steps']), 'step')}"
                      + (f", {phase['batch']} side by side" if phase["batch"] > 1 else "")
                      for name, phase in first.items())
    return f"{asked}. {common.hardware(document['config'])}."


def _cards(document: Figures, chosen: str) -> tuple[Card, ...]:
    """A card a phase under the chosen scheme, and what it is against the others."""
    cards = []
    for name, phase in document["schemes"][chosen]["phases"].items():
        others = [(scheme, found["phases"][name]) for scheme, found in document["schemes"].items() if scheme != chosen]
        against = tuple((f"speed against {scheme}", f"× {digits(other['cycles'] / phase['cycles'])}")
                        for scheme, other in others if phase["cycles"])
        units = phase["units_per_s"]
        cards.append(Card(
            name=f"{name}, {chosen}", value="–" if units is None else rate(units), unit=f"{phase['unit']}s/s", lines=(
                ("time", quantity(phase["time_s"], "s")),
                ("energy", f"{quantity(phase['energy_j_per_unit'], 'J')} a {phase['unit']}"),
                ("power", "–" if phase["power_w"] is None else quantity(phase["power_w"], "W")),
                ("paced by", _paced(phase)), *against)))
    return tuple(cards)


def _paced(phase: Figures) -> str:
    """The first cause by time, with its share."""
    shares = {**phase["cycles_by_limit"], "vector": phase["vector_cycles"]}
    worst = max(shares, key=lambda limit: shares[limit])
    return f"{names.limit(worst)}, {percent(shares[worst], phase['cycles'])}" if shares[worst] else "–"


def _verdict(document: Figures, chosen: str) -> Iterator[str]:
    """A sentence a phase: what it does, and what the memory or the array alone would allow."""
    for name, phase in document["schemes"][chosen]["phases"].items():
        made, memory, array = (phase[key] for key in ("units_per_s", "memory_units_per_s", "array_units_per_s"))
        if made is None:
            continue
        bounds = [f"{what} alone would allow {rate(bound)}" for what, bound in
                  (("the memory's rate", memory), ("an array whose row slots never idle", array)) if bound is not None]
        yield (f"{name.capitalize()} ({chosen}) is paced by: {_paced(phase)} of the time. It makes {rate(made)} "
               f"{phase['unit']}s/s; {'; '.join(bounds)}.")


def _overview(document: Figures) -> Section:
    rows = list(_phases(document))
    found = [phase for _, _, phase in rows]
    measured = document.get("accuracy")
    accuracy = [] if measured is None else [
        (measured["figure"], cells.plain([measured["schemes"].get(scheme) for _, scheme, _ in rows], 2))]
    units = {phase["unit"] for phase in found}
    unit = units.pop() if len(units) == 1 else "unit"

    def rates(heading: str, key: str) -> tuple[str, list[Cell]]:
        return heading, [Cell(text="–" if p[key] is None else rate(p[key]), value=p[key]) for p in found]

    columns = [
        ("phase", cells.words([name for name, _, _ in rows])), ("scheme", cells.words([name for _, name, _ in rows])),
        ("bits an activation", cells.plain([phase["average_bits"] for phase in found], 3)), *accuracy,
        cells.scaled("time", [phase["time_s"] for phase in found], "s"), rates(f"{unit}s/s", "units_per_s"),
        cells.scaled(f"energy a {unit}", [phase["energy_j_per_unit"] for phase in found], "J"),
        cells.scaled("power", [phase["power_w"] for phase in found], "W"),
        cells.scaled("external memory", [phase["dram_bytes"] for phase in found], "B"),
        ("utilization, %", cells.plain(_percent(found, "utilization"), 1)),
        rates(f"memory alone, {unit}s/s", "memory_units_per_s"), rates(f"array alone, {unit}s/s", "array_units_per_s"),
        ("paced by", cells.words([names.limit(phase["bottleneck"]) for phase in found])),
    ]
    table = cells.table("Phases and schemes", columns, (0, 1, len(columns) - 1), origin="cycles", note=(
        "Memory alone: what the rate of the external memory would allow if nothing else took time; array alone: an "
        "array whose row slots never idle. Utilization: the share of the row-slot steps that worked on a real token "
        "and output."))
    return Section(anchor="summary", title="Summary", parts=(table,))


def _percent(found: list[Figures], key: str) -> list[float | None]:
    return [None if figures[key] is None else 100 * figures[key] for figures in found]


def _grouped(document: Figures, values: Callable[[Figures], Mapping[str, float]], told: Callable[[Figures], str]
             ) -> dict[str, tuple[Bar, ...]]:
    groups: dict[str, tuple[Bar, ...]] = {}
    for phase, scheme, found in _phases(document):
        groups[phase] = (*groups.get(phase, ()), Bar(label=scheme, told=told(found), values=values(found)))
    return groups


def _cycles(document: Figures) -> Section:
    def told(phase: Figures) -> str:
        return f"{quantity(phase['time_s'], 's')} · {count(phase['cycles'], 'cycles')}"

    def with_vector(key: str) -> Callable[[Figures], Mapping[str, float]]:
        return lambda phase: {**phase[key], **({"vector": phase["vector_cycles"]} if phase["vector_cycles"] else {})}

    parts = Bars(title="Cycles by what the array does", kind="cycles", unit="cycles", origin="cycles",
                 groups=_grouped(document, with_vector("cycles_by_part"), told),
                 note="The array streams in most cycles even where it is nearly empty: a step takes a cycle whether "
                      "one of its rows holds a token or all do.")
    limits = Bars(title="Cycles by what paces the jobs", kind="limits", unit="cycles", origin="cycles",
                  groups=_grouped(document, with_vector("cycles_by_limit"), told),
                  note="Each job is counted whole for the stage that has most of its critical path: what a faster "
                       "machine would have to have more of.")
    return Section(anchor="cycles", title="Cycles", parts=(
        limits, parts, cells.breakdown(limits), cells.breakdown(parts)))


def _energy(document: Figures) -> Section:
    bars = Bars(
        title="Energy by component", kind="energy", unit="J", origin="energy",
        groups=_grouped(document, lambda phase: {key: value / 1e15 for key, value in
                                                 phase["energy_fj_by_component"].items()},
                        lambda phase: f"{quantity(phase['energy_fj'] / 1e15, 'J')} · "
                                      f"{quantity(phase['energy_j_per_unit'], 'J')} a {phase['unit']}"))
    return Section(anchor="energy", title="Energy", parts=(bars, cells.breakdown(bars)))


def _traffic(document: Figures) -> Section:
    bars = Bars(title="Bytes over the external memory by operand", kind="bytes", unit="B", origin="bytes",
                groups=_grouped(document, lambda phase: phase["dram_bytes_by_operand"],
                                lambda phase: f"{quantity(phase['dram_bytes'], 'B')} · "
                                              f"{quantity(_rate(phase), 'B/s')}"))
    return Section(anchor="traffic", title="Memory traffic", parts=(bars, cells.breakdown(bars)))


def _rate(phase: Figures) -> float:
    return float(phase["dram_bytes"] / phase["time_s"]) if phase["time_s"] else 0.0


def _roofline(document: Figures) -> Section:
    dots = tuple(Dot(name=f"{phase}, {name}", scheme=scheme, intensity=2 * op["macs"] / op["dram_bytes"],
                     rate=2 * op["macs"] / op["time_s"], limit=op["bottleneck"] or "array")
                 for phase, scheme, found in _phases(document) for name, op in found["ops"].items()
                 if op["macs"] and op["dram_bytes"] and op["time_s"])
    chart = Roofline(title="Roofline", peaks=common.peaks(document["config"]), slopes=common.slopes(document["config"]),
                     dots=dots, schemes=tuple(document["schemes"]), origin="cycles", note=(
                         "A product is two operations. The line of the weights holds for operations whose bytes are "
                         "weights alone; one with other operands too may lie above it."))
    return Section(anchor="roofline", title="Roofline", parts=(chart,) if dots else (),
                   words=() if dots else ("No operation multiplies and moves bytes.",))


def _operations(document: Figures) -> Section:
    rows = [(phase, scheme, name, op, found) for phase, scheme, found in _phases(document)
            for name, op in found["ops"].items()]
    ops = [op for _, _, _, op, _ in rows]
    table = cells.table("Operations of each phase under each scheme", [
        ("phase", cells.words([row[0] for row in rows])), ("operation", cells.words([row[2] for row in rows])),
        ("scheme", cells.words([row[1] for row in rows])), ("cycles", cells.counts([op["cycles"] for op in ops])),
        ("of the phase, %", cells.plain([100 * op["cycles"] / found["cycles"] if found["cycles"] else None
                                         for *_, op, found in rows], 2)),
        ("by what the array does", [_strip(op) for op in ops]),
        cells.scaled("energy", [op["energy_fj"] / 1e15 for op in ops], "J"),
        ("G products", cells.plain([op["macs"] / 1e9 for op in ops], 2)),
        cells.scaled("external memory", [op["dram_bytes"] for op in ops], "B"),
        ("utilization, %", cells.plain(_percent(ops, "utilization"), 1)),
        ("products a byte", cells.plain([op["macs_per_byte"] for op in ops], 2)),
        ("paced by", cells.words([names.limit(op["bottleneck"]) for op in ops])),
    ], (0, 1, 2, 11), origin="cycles")
    return Section(anchor="layers", title="Operations", parts=(table,), words=(
        "A press on a heading sorts by it. Bars: cycles by what the array does, in the colours above; sorted by the "
        "share in which it streams operands.",))


def _strip(op: Figures) -> Cell:
    values = {**op["cycles_by_part"], "vector": op["vector_cycles"]}
    return Cell(text="", bar=values, value=values.get("streaming", 0) / op["cycles"] if op["cycles"] else None)


def _accuracy(document: Figures) -> Section:
    measured = document.get("accuracy")
    if measured is None:
        return Section(anchor="accuracy", title="Accuracy", words=(
            "Not measured: this report is of shapes. `stamp-hw simulate --model … --accuracy FILE` puts what "
            "`stamp-hw eval` measured on the same model beside the costs.",))
    table = cells.table(f"{measured['figure']} by scheme", [
        ("scheme", cells.words(list(measured["schemes"]))),
        (measured["figure"], cells.plain(list(measured["schemes"].values()), 2))], (0,), origin="measured")
    return Section(anchor="accuracy", title="Accuracy", parts=(table,), words=(f"{measured['source']}.",))


def _vector(document: Figures) -> list[tuple[str, str, str, str, str, str, str]]:
    lanes = document["vector_lanes"]
    return [] if lanes is None else [
        ("vector unit", f"{lanes:g}", "lanes", "–", "--vector-lanes", "cycles of norms, softmax and activations",
         "operations a value counted from their formulas, assumed; the energy is not modelled")]


def _not_included(document: Figures) -> list[str]:
    beside = [] if document["vector_lanes"] is not None else ["norms, rotary positions, softmax, activations"]
    return [*beside, *document["workload"]["not_included"],
            "cycles: what one job could overlap with the next is not counted; jobs run one after the other"]
