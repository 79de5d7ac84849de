"""The page of the layers of a trace, or of layers of given shapes: what `stamp-hw simulate --json` writes of them
(`sim/studies/report.py`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sim.report import common, layer_sections, memories, names
from sim.report.check import (
    COMMON,
    DRAIN,
    above_zero,
    anything,
    decibel,
    figure,
    flag,
    listing,
    mapping,
    maybe,
    record,
    same_hardware,
    same_keys,
    text,
)
from sim.report.figures import digits, quantity, rate
from sim.report.view import Card, View
from sim.studies import drains
from sim.studies.report import SCHEMA_VERSION
from sim.studies.tables import decibels
from stamp_hw.text import plural

__all__ = ["SCHEMA_VERSION", "check", "view"]

_EVENTS = mapping(record({"count": figure, "energy_pj": figure}), empty=True)
_FIGURES = {
    **dict.fromkeys(("cycles", "time_s"), above_zero),
    **dict.fromkeys(("macs", "tops", "utilization", "dram_bytes", "energy_pj", "power_w", "tops_per_w", "average_bits",
                     "average_bits_with_scales", "tokens"), figure),
    **dict.fromkeys(("cycles_by_part", "dram_bytes_by_operand"), mapping(figure)),
    "energy_by_component": mapping(record({"energy_pj": figure, "events": _EVENTS})),
    "bottleneck": text, "tokens_per_s": maybe(figure)}
_DECIBELS = {name: decibel for name in ("sqnr_db", "output_sqnr_db")} | {
    f"{name}_infinite": maybe(text) for name in ("sqnr_db", "output_sqnr_db")}
_LAYER = {**_FIGURES, **dict.fromkeys(("k", "n", "levels", "n_hi", "n_sink"), figure), "transform": flag,
          "grid": anything, "warnings": listing(record({"text": text}))}

Figures = Mapping[str, Any]


def check(document: Figures) -> None:
    """Raise StampError unless the document is such a report."""
    measured = {} if "shape" in document else _DECIBELS
    record({**COMMON, "layers": mapping(mapping(record(_LAYER | measured, perhaps=DRAIN))),
            "totals": mapping(record({**_FIGURES, **measured, "layers": figure}))},
           perhaps=memories.DESCRIBED)(document, "")
    same_hardware(document)
    same_keys({"totals": document["totals"], **document["layers"]}, "layers")
    if not measured:
        text(document["shape"], "shape")
    else:
        text(document.get("calibration"), "calibration")


def view(document: Figures) -> View:
    """The page."""
    chosen = common.lead(list(document["totals"]))
    used = ["cycles", "bytes", "energy", "bounds", *([] if "shape" in document else ["accuracy"]), "given"]
    return View(
        title="Linear layers on stamp-hw", subtitle=f"{_what(document)}. {common.asked(document)}",
        cards=_cards(document, chosen), verdict=tuple(_verdict(document, chosen)),
        sections=(
            layer_sections.overview(document), layer_sections.cycles(document),
            layer_sections.energy(document, chosen), layer_sections.traffic(document),
            layer_sections.roofline(document), layer_sections.layers(document),
            layer_sections.accuracy(document, chosen), common.constants(document),
            common.missing(document, _not_included(document)), common.origins(used), common.configuration(document)))


def _what(document: Figures) -> str:
    first = next(iter(document["totals"].values()))
    tokens = plural(round(first["tokens"]), "token")
    if "shape" in document:
        return f"{plural(round(first['layers']), 'layer')} of given shape: {', '.join(document['layers'])}"
    of_model = document.get("model_linear_layers")
    return (f"{plural(round(first['layers']), 'captured linear layer')}"
            + ("" if of_model is None else f" of a model with {of_model}") + f", {tokens}")


def _cards(document: Figures, chosen: str) -> tuple[Card, ...]:
    totals = document["totals"]
    own = totals[chosen]
    others = [(scheme, found) for scheme, found in totals.items() if scheme != chosen]
    cards = [
        Card(name=f"time, {chosen}", value=_number(quantity(own["time_s"], "s")),
             unit=_unit(quantity(own["time_s"], "s")), lines=(
                 ("cycles", f"{own['cycles']:,.0f}"), ("utilization", f"{100 * own['utilization']:.1f} %"),
                 ("paced by", names.limit(own["bottleneck"])),
                 *((f"speed against {scheme}", f"× {digits(found['cycles'] / own['cycles'])}")
                   for scheme, found in others))),
        Card(name=f"energy, {chosen}", value=_number(quantity(own["energy_pj"] / 1e12, "J")),
             unit=_unit(quantity(own["energy_pj"] / 1e12, "J")),
             lines=(("power", quantity(own["power_w"], "W")), ("efficiency", f"{digits(own['tops_per_w'])} TOPS/W"),
                    ("external memory", quantity(own["dram_bytes"], "B")),
                    *((f"energy of {scheme}", f"× {digits(found['energy_pj'] / own['energy_pj'])}")
                      for scheme, found in others if own["energy_pj"])))]
    if "sqnr_db" in own:
        cards.append(Card(
            name=f"SQNR of the quantized input, {chosen}", value=decibels(own, "sqnr_db"), unit="dB",
            lines=(("of the output", f"{decibels(own, 'output_sqnr_db')} dB"),
                   ("bits with scales", f"{own['average_bits_with_scales']:.3f}"),
                   *((f"of {scheme}", f"{decibels(found, 'sqnr_db')} dB") for scheme, found in others))))
    else:
        made = own["tokens_per_s"]
        cards.append(Card(name=f"rate, {chosen}", value="–" if made is None else rate(made), unit="tokens/s", lines=(
            ("array", f"{digits(own['tops'])} TOPS"), ("bits an activation", f"{own['average_bits']:.3f}"))))
    return tuple(cards)


def _number(told: str) -> str:
    return told.partition(" ")[0]


def _unit(told: str) -> str:
    return told.partition(" ")[2]


def _verdict(document: Figures, chosen: str) -> Iterator[str]:
    own = document["totals"][chosen]
    streams = 100 * own["cycles_by_part"].get("streaming", 0) / own["cycles"]
    yield (f"Under {chosen} the array streams operands in {streams:.1f} % of the cycles; the layers that take most of "
           f"them are paced by: {names.limit(own['bottleneck'])}.")
    drained = [(name, found[chosen]["drain"]) for name, found in document["layers"].items()
               if found[chosen].get("drain")]
    yield from drains.said(drained, document["config"]["hw"]["rescale_lanes"])


def _not_included(document: Figures) -> list[str]:
    return ["attention, norms, activations and everything else of a model but these linear layers",
            "cycles: layers follow each other without overlap"]
