"""Sections of a page about layers under schemes: `document` has `layers` and `totals` as `sim/studies/report.py` writes
them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sim.report import cells, common, memories, names
from sim.report.figures import count, quantity, rate
from sim.report.view import Bar, Bars, Cell, Dot, Roofline, Section, Spread
from sim.studies.tables import decibels
from stamp_hw.text import labels

Figures = Mapping[str, Any]


def overview(document: Figures) -> Section:
    """What each scheme costs over all layers."""
    totals = document["totals"]
    found = list(totals.values())
    measured = [] if "shape" in document else [
        ("SQNR, dB", [Cell(text=decibels(t, "sqnr_db"), value=t["sqnr_db"]) for t in found]),
        ("output SQNR, dB", [Cell(text=decibels(t, "output_sqnr_db"), value=t["output_sqnr_db"]) for t in found])]
    rates = [] if any(t["tokens_per_s"] is None for t in found) else [
        ("tokens/s of these layers", [Cell(text=rate(t["tokens_per_s"]), value=t["tokens_per_s"]) for t in found])]
    columns = [
        ("scheme", cells.words(list(totals))),
        ("bits an activation", cells.plain([t["average_bits"] for t in found], 3)),
        ("with scales", cells.plain([t["average_bits_with_scales"] for t in found], 3)), *measured,
        ("cycles", cells.counts([t["cycles"] for t in found])),
        cells.scaled("time", [t["time_s"] for t in found], "s"), *rates,
        cells.scaled("rate", [t["tops"] * 1e12 for t in found], "OPS"),
        ("utilization, %", cells.plain([100 * t["utilization"] for t in found], 1)),
        cells.scaled("external memory", [t["dram_bytes"] for t in found], "B"),
        cells.scaled("energy", [t["energy_pj"] / 1e12 for t in found], "J"),
        cells.scaled("power", [t["power_w"] for t in found], "W"),
        ("TOPS/W", cells.plain([t["tops_per_w"] for t in found], 3)),
        ("paced by", cells.words([names.limit(t["bottleneck"]) for t in found]))]
    note = ("Sums over all layers, one after the other; dB are means over the layers that are transformed and have a "
            "finite figure." if measured else "Sums over all layers, one after the other.")
    return Section(anchor="summary", title="Summary", parts=(
        cells.table("Schemes", columns, (0, len(columns) - 1), origin="cycles", note=note),))


def _bars(document: Figures, title: str, kind: str, unit: str, origin: str,
          values: Callable[[Figures], Mapping[str, float]], told: Callable[[Figures], str], note: str = "") -> Bars:
    """A chart of the totals, a bar a scheme."""
    bars = tuple(Bar(label=scheme, told=told(found), values=values(found))
                 for scheme, found in document["totals"].items())
    return Bars(title=title, kind=kind, groups={"": bars}, unit=unit, origin=origin, note=note)


def cycles(document: Figures) -> Section:
    """Cycles by what the array does, and by what paces the layers."""
    def told(figures: Figures) -> str:
        return f"{quantity(figures['time_s'], 's')} · {count(figures['cycles'], 'cycles')}"

    def paced() -> Bars:
        found: dict[str, dict[str, float]] = {scheme: {} for scheme in document["totals"]}
        for layer in document["layers"].values():
            for scheme, figures in layer.items():
                limit = figures["bottleneck"]
                found[scheme][limit] = found[scheme].get(limit, 0) + figures["cycles"]
        return Bars(title="Cycles by what paces the layers", kind="limits", unit="cycles", origin="cycles", groups={
            "": tuple(Bar(label=scheme, told=told(document["totals"][scheme]), values=limits)
                      for scheme, limits in found.items())},
            note="Each layer is counted whole for the stage that has most of its critical path.")

    parts = _bars(document, "Cycles by what the array does", "cycles", "cycles", "cycles",
                  lambda figures: figures["cycles_by_part"], told)
    return Section(anchor="cycles", title="Cycles", parts=(parts, paced(), cells.breakdown(parts)))


def energy(document: Figures, chosen: str) -> Section:
    """Energy by component, and of the chosen scheme by event."""
    bars = _bars(document, "Energy by component", "energy", "J", "energy", lambda figures: {
        key: item["energy_pj"] / 1e12 for key, item in figures["energy_by_component"].items()},
        lambda figures: f"{quantity(figures['energy_pj'] / 1e12, 'J')} · {quantity(figures['power_w'], 'W')}")
    events = [(component, name, event) for component, item in document["totals"][chosen]["energy_by_component"].items()
              for name, event in item["events"].items()]
    whole = document["totals"][chosen]["energy_pj"]
    table = cells.table(f"Events and their energy, {chosen}", [
        ("component", cells.words([names.name("energy", component).text for component, _, _ in events])),
        ("event", cells.words([name.replace("_", " ") for _, name, _ in events])),
        ("count (of memories: accesses; of the external one: bytes)",
         cells.counts([event["count"] for *_, event in events])),
        cells.scaled("energy", [event["energy_pj"] / 1e12 for *_, event in events], "J"),
        ("of all, %", cells.plain([100 * event["energy_pj"] / whole if whole else None for *_, event in events], 2)),
    ], (0, 1), origin="energy")
    spent = {name: (event["count"], event["energy_pj"] / 1e12) for component, name, event in events
             if component == "memory"}
    return Section(anchor="energy", title="Energy", parts=(
        bars, cells.breakdown(bars), *([table] if events else []),
        *memories.table(document, chosen, spent, whole / 1e12)))


def traffic(document: Figures) -> Section:
    """Bytes by operand."""
    bars = _bars(document, "Bytes over the external memory by operand", "bytes", "B", "bytes",
                 lambda figures: figures["dram_bytes_by_operand"],
                 lambda figures: f"{quantity(figures['dram_bytes'], 'B')} · "
                                 f"{quantity(figures['dram_bytes'] / figures['time_s'], 'B/s')}")
    return Section(anchor="traffic", title="Memory traffic", parts=(bars, cells.breakdown(bars)))


def _labelled(document: Figures) -> list[tuple[str, Figures]]:
    """(label, schemes) of every layer."""
    return list(zip(labels(list(document["layers"])), document["layers"].values(), strict=True))


def roofline(document: Figures) -> Section:
    """Every layer under the roofline."""
    dots = tuple(Dot(name=name, scheme=scheme, intensity=2 * found["macs"] / found["dram_bytes"],
                     rate=2 * found["macs"] / found["time_s"], limit=found["bottleneck"])
                 for name, layer in _labelled(document) for scheme, found in layer.items()
                 if found["macs"] and found["dram_bytes"])
    chart = Roofline(title="Roofline", peaks=common.peaks(document["config"]), slopes=common.slopes(document["config"]),
                     dots=dots, schemes=tuple(document["totals"]), origin="cycles", note=(
                         "A product is two operations. The line of the weights holds for layers whose bytes are "
                         "weights alone; one with other operands too may lie above it."))
    return Section(anchor="roofline", title="Roofline", parts=(chart,) if dots else (),
                   words=() if dots else ("No layer multiplies and moves bytes.",))


def layers(document: Figures) -> Section:
    """Every layer under every scheme, and its warnings."""
    rows = [(name, scheme, found) for name, layer in _labelled(document) for scheme, found in layer.items()]
    found = [figures for *_, figures in rows]
    parts = [Cell(text="", bar=figures["cycles_by_part"],
                  value=figures["cycles_by_part"].get("streaming", 0) / figures["cycles"]) for figures in found]
    columns = [
        ("layer", cells.words([name for name, _, _ in rows])), ("scheme", cells.words([name for _, name, _ in rows])),
        *((title, cells.counts([figures[key] for figures in found])) for title, key in (
            ("tokens", "tokens"), ("K", "k"), ("N", "n"), ("levels", "levels"), ("tokens at 8 bits", "n_hi"),
            ("cycles", "cycles"))),
        ("by what the array does", parts),
        cells.scaled("energy", [figures["energy_pj"] / 1e12 for figures in found], "J"),
        cells.scaled("external memory", [figures["dram_bytes"] for figures in found], "B"),
        ("utilization, %", cells.plain([100 * figures["utilization"] for figures in found], 1)),
        ("paced by", cells.words([names.limit(figures["bottleneck"]) for figures in found]))]
    notices = tuple(dict.fromkeys(f"{name}: {notice['text']}" for name, _, figures in rows
                                  for notice in figures["warnings"]))
    return Section(anchor="layers", title="Layers", points=notices, parts=(
        cells.table("Layers under each scheme", columns, (0, 1, len(columns) - 1), origin="cycles"),), words=(
        "A press on a heading sorts by it. Bars: cycles by what the array does, in the colours above; sorted by the "
        "share in which it streams operands.",))


def accuracy(document: Figures, chosen: str) -> Section:
    """SQNR of each layer; none of shapes."""
    if "shape" in document:
        return Section(anchor="accuracy", title="Accuracy", words=("Not measured: shapes have no data.",))
    schemes = tuple(document["totals"])
    rows = {name: {scheme: found["sqnr_db"] for scheme, found in layer.items()} for name, layer in _labelled(document)}
    table = cells.table("SQNR by layer and scheme, dB", [
        ("layer", cells.words(list(rows))),
        *((f"{kind}{scheme}", [Cell(text=decibels(layer[scheme], key), value=layer[scheme][key])
                               for _, layer in _labelled(document)])
          for kind, key in (("input, ", "sqnr_db"), ("output, ", "output_sqnr_db")) for scheme in schemes),
    ], (0,), origin="accuracy", note="∞: no noise at all; −∞: noise where the reference is zero.")
    drawn = any(value is not None for row in rows.values() for value in row.values())
    spread = Spread(title="SQNR of the quantized input by layer", rows=rows, schemes=schemes, lead=chosen,
                    origin="accuracy")
    return Section(anchor="accuracy", title="Accuracy", parts=(*([spread] if drawn else []), table), words=(
        "The input as the array sees it, transformed back, against the float input. Scales: "
        f"{document['calibration']}.",))
