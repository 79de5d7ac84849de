"""The page of a comparison, a whole model under schemes on machines: what `stamp-hw compare --json` writes
(`sim/workload/compare.py`). A scheme on a machine is to it what a scheme is to the page of a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sim.report import cells, common, model, phases
from sim.report.check import COMMON, figure, flag, listing, mapping, maybe, need, record, text
from sim.report.view import Cell, Section, Table, View
from sim.workload.compare import SCHEMA_VERSION

__all__ = ["SCHEMA_VERSION", "check", "view"]

_SHARES = ("lifting", "scale", "rescale")
_ROW = record({"machine": text, "scheme": text, "refusal": maybe(text)})
_COSTED = record({"phases": mapping(record(model.PHASE)), "total": record(model.FIGURES),
                  "share_of_energy": record(dict.fromkeys(_SHARES, figure))})
_RULE = record({
    **COMMON, "workload": record({"name": text, "not_included": listing(text)}), "vector_lanes": maybe(figure),
    "rows": listing(_ROW), "hardware": mapping(record(
        {"multipliers": figure, "memory_bytes": figure},
        perhaps={"area_mm2": mapping(record({"gates": figure, "node": text}), empty=True)})),
    "orders_by_energy": mapping(mapping(listing(text), empty=True)), "survives": mapping(flag)},
    perhaps={"energy_by_set": mapping(record({
        "node": text, "clock_mhz": maybe(figure), "machines": mapping(mapping(mapping(figure)), empty=True),
        "refused": mapping(text, empty=True)}))})
_ACCURACY = record({"figure": text, "rows": mapping(maybe(figure)), "source": text})

Figures = Mapping[str, Any]


def check(document: Figures) -> None:
    """Raise StampError unless the document is such a report."""
    _RULE(document, "")
    if "accuracy" in document:
        _ACCURACY(document["accuracy"], "accuracy")
    costed = {}
    for place, row in enumerate(document["rows"]):
        if row["refusal"] is None:
            _COSTED(row, f"rows[{place}]")
            costed[_name(row)] = row["phases"]
    need(bool(costed), "rows", "no row with figures", "one at least")
    model.check_phases(costed, "rows")


def _name(row: Figures) -> str:
    return f"{row['machine']} {row['scheme']}"


def view(document: Figures) -> View:
    """The page."""
    rows = [row for row in document["rows"] if row["refusal"] is None]
    whole = _as_model(document, rows)
    chosen = common.lead(list(whole["schemes"]))
    machine = next(row["machine"] for row in rows if _name(row) == chosen)
    one = _as_model(document, [row for row in rows if row["machine"] == machine])
    used = ["cycles", "bytes", "energy", "bounds", *(["measured"] if "accuracy" in document else []), "given"]
    return View(
        title=f"{document['workload']['name']}: schemes and machines", subtitle=model.subtitle(whole),
        cards=model.cards(one, chosen), verdict=tuple(model.verdict(one, chosen)),
        sections=(phases.overview(whole), _machines(document, rows), phases.cycles(whole), phases.energy(whole),
                  phases.traffic(whole), phases.roofline(one), phases.operations(one), phases.accuracy(whole),
                  common.constants(document, model.vector_unit(document)),
                  common.missing(document, model.not_included(document)), common.origins(used),
                  common.configuration(document)))


def _as_model(document: Figures, rows: list[Figures]) -> dict[str, Any]:
    """The rows as a report of a model has its schemes."""
    measured = document.get("accuracy")
    names = {_name(row) for row in rows}
    accuracy = {} if measured is None else {"accuracy": {
        **measured, "schemes": {name: value for name, value in measured["rows"].items() if name in names}}}
    return {**{key: value for key, value in document.items() if key != "accuracy"}, **accuracy,
            "schemes": {_name(row): {"phases": row["phases"], "total": row["total"]} for row in rows}}


def _machines(document: Figures, rows: list[Figures]) -> Section:
    """What the machines have, what the schemes' own units take, and whether the order hangs on the constants."""
    hardware = document["hardware"]
    parts = cells.table("Machines", [
        ("machine", cells.words(list(hardware))),
        ("multipliers", cells.counts([found["multipliers"] for found in hardware.values()])),
        cells.scaled("on-chip memories", [found["memory_bytes"] for found in hardware.values()], "B"),
        *((f"energy, least first ({name})", cells.words([" < ".join(order.get(machine, ())) or "–"
                                                         for machine in hardware]))
          for name, order in document["orders_by_energy"].items()),
        ("same under every set", cells.words(["yes" if document["survives"].get(machine) else "no"
                                              for machine in hardware])),
    ], (0, *range(3, 4 + len(document["orders_by_energy"]))), origin="energy", note=(
        "Multipliers and memory stand for area where no set has gates of a machine."))
    shares = cells.table("Part of the energy that the schemes' own units take", [
        ("machine", cells.words([row["machine"] for row in rows])),
        ("scheme", cells.words([row["scheme"] for row in rows])),
        *((heading, [Cell(text=f"{100 * row['share_of_energy'][key]:.3f}", value=row["share_of_energy"][key])
                     for row in rows])
          for key, heading in (("lifting", "transform (lifting, Hadamard), %"), ("scale", "quantizer, %"),
                               ("rescale", "rescale and combine, %"))),
    ], (0, 1), origin="energy")
    refused = tuple(dict.fromkeys(f"{row['machine']}: {row['refusal']}" for row in document["rows"] if row["refusal"]))
    tables = (parts, *_areas(document), *_sets(document), shares)
    return Section(anchor="machines", title="Machines", parts=tables, points=refused, words=(
        "hadamard: a block Hadamard unit in front of the lifting; blocks: a scale a block of channels; both: both. The "
        "summary, the roofline and the operations are of the first machine.",))


def _areas(document: Figures) -> tuple[Table, ...]:
    """mm² of the machines that a set has gates of; no table where there is none, or where an older program wrote."""
    rows = [(machine, name, area["node"], area.get("memories_node", "–"), area["gates"], area.get("memories"))
            for machine, found in document["hardware"].items() for name, area in found.get("area_mm2", {}).items()]
    if not rows:
        return ()
    return (cells.table("Area", [
        *((heading, cells.words([row[place] for row in rows])) for place, heading in enumerate(
            ("machine", "energy set", "node of the gates", "node of the memories"))),
        *((heading, [Cell(text="–" if row[place] is None else f"{row[place]:.3f}", value=row[place] or 0.0)
                     for row in rows]) for place, heading in ((4, "gates, mm²"), (5, "memories, mm²"))),
    ], (0, 1, 2, 3), origin="energy", note="Cells before placement, and banks alone; no area is scaled."),)


def _sets(document: Figures) -> tuple[Table, ...]:
    """Energy of a unit of each phase under every set that fits a machine; no table where an older program wrote."""
    rows = [(machine, scheme, name, one["node"], phases)
            for name, one in document.get("energy_by_set", {}).items() for machine, found in one["machines"].items()
            for scheme, phases in found.items()]
    if not rows:
        return ()
    given = [phase for phase in next(iter(rows))[-1] if all(phase in row[-1] for row in rows)]
    return (cells.table("Energy under every set", [
        *((heading, cells.words([str(row[place]) for row in rows]))
          for place, heading in enumerate(("machine", "scheme", "energy set", "node"))),
        *(cells.scaled(f"{phase}, each", [row[-1][phase] for row in rows], "J") for phase in given),
    ], (0, 1, 2, 3), origin="energy", note="A set of gates is of one hardware, and has no figures of another."),)
