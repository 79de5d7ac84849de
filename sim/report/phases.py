"""Sections of a page about phases under schemes, whatever the schemes are of: `document` has `schemes`, each with its
`phases` and their figures as `sim/workload/report.py` writes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sim.report import cells, common, names
from sim.report.figures import count, quantity, rate
from sim.report.view import Bar, Bars, Cell, Dot, Roofline, Section, Table

Figures = Mapping[str, Any]


def rows_of(document: Figures) -> Iterator[tuple[str, str, Figures]]:
    """(phase, scheme, figures), phase by phase."""
    first = next(iter(document["schemes"].values()))
    for phase in first["phases"]:
        for scheme, found in document["schemes"].items():
            yield phase, scheme, found["phases"][phase]


def overview(document: Figures) -> Section:
    """What each phase does under each scheme."""
    rows = list(rows_of(document))
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
    for phase, scheme, found in rows_of(document):
        groups[phase] = (*groups.get(phase, ()), Bar(label=scheme, told=told(found), values=values(found)))
    return groups


def cycles(document: Figures) -> Section:
    """Cycles by what paces the jobs, and by what the array does."""
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


def energy(document: Figures, more: Sequence[Table] = ()) -> Section:
    """Energy by component, and `more` tables."""
    bars = Bars(
        title="Energy by component", kind="energy", unit="J", origin="energy",
        groups=_grouped(document, lambda phase: {key: value / 1e15 for key, value in
                                                 phase["energy_fj_by_component"].items()},
                        lambda phase: f"{quantity(phase['energy_fj'] / 1e15, 'J')} · "
                                      f"{quantity(phase['energy_j_per_unit'], 'J')} a {phase['unit']}"))
    return Section(anchor="energy", title="Energy", parts=(bars, cells.breakdown(bars), *more))


def traffic(document: Figures) -> Section:
    """Bytes by operand."""
    bars = Bars(title="Bytes over the external memory by operand", kind="bytes", unit="B", origin="bytes",
                groups=_grouped(document, lambda phase: phase["dram_bytes_by_operand"],
                                lambda phase: f"{quantity(phase['dram_bytes'], 'B')} · "
                                              f"{quantity(_rate(phase), 'B/s')}"))
    return Section(anchor="traffic", title="Memory traffic", parts=(bars, cells.breakdown(bars)))


def _rate(phase: Figures) -> float:
    return float(phase["dram_bytes"] / phase["time_s"]) if phase["time_s"] else 0.0


def roofline(document: Figures) -> Section:
    """Every operation under the roofline."""
    dots = tuple(Dot(name=f"{phase}, {name}", scheme=scheme, intensity=2 * op["macs"] / op["dram_bytes"],
                     rate=2 * op["macs"] / op["time_s"], limit=op["bottleneck"] or "array")
                 for phase, scheme, found in rows_of(document) for name, op in found["ops"].items()
                 if op["macs"] and op["dram_bytes"] and op["time_s"])
    chart = Roofline(title="Roofline", peaks=common.peaks(document["config"]), slopes=common.slopes(document["config"]),
                     dots=dots, schemes=tuple(document["schemes"]), origin="cycles", note=(
                         "A product is two operations. The line of the weights holds for operations whose bytes are "
                         "weights alone; one with other operands too may lie above it."))
    return Section(anchor="roofline", title="Roofline", parts=(chart,) if dots else (),
                   words=() if dots else ("No operation multiplies and moves bytes.",))


def operations(document: Figures) -> Section:
    """Every operation of every phase that takes cycles."""
    rows = [(phase, scheme, name, op, found) for phase, scheme, found in rows_of(document)
            for name, op in found["ops"].items() if op["cycles"]]
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
        *_saved(ops),
    ], (0, 1, 2, 11), origin="cycles")
    return Section(anchor="layers", title="Operations", parts=(table,), words=(
        "A press on a heading sorts by it. Bars: cycles by what the array does, in the colours above; sorted by the "
        "share in which it streams operands.",))


def _saved(ops: list[Figures]) -> list[tuple[str, list[Cell]]]:
    """A column of what prefetch saves, where the report tells it."""
    saved = [value for op in ops if type(value := op.get("prefetch_saved_cycles")) is int]
    return [("saved by prefetch", cells.counts(saved))] if len(saved) == len(ops) else []


def _strip(op: Figures) -> Cell:
    values = {**op["cycles_by_part"], "vector": op["vector_cycles"]}
    return Cell(text="", bar=values, value=values.get("streaming", 0) / op["cycles"] if op["cycles"] else None)


def accuracy(document: Figures) -> Section:
    """What was measured on the same model, if anything was."""
    measured = document.get("accuracy")
    if measured is None:
        return Section(anchor="accuracy", title="Accuracy", words=(
            "Not measured: this report is of shapes. `stamp-hw simulate --model … --accuracy FILE` puts what "
            "`stamp-hw eval` measured on the same model beside the costs.",))
    table = cells.table(f"{measured['figure']} by scheme", [
        ("scheme", cells.words(list(measured["schemes"]))),
        (measured["figure"], cells.plain(list(measured["schemes"].values()), 2))], (0,), origin="measured")
    return Section(anchor="accuracy", title="Accuracy", parts=(table,), words=(f"{measured['source']}.",))
