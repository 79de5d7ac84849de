"""Sections that every kind of report has: what the hardware is, what the energy's constants are and where they come
from, what is not in the figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sim.mapping import table
from sim.report import names
from sim.report.figures import digits, quantity
from sim.report.view import Cell, Section, Table

#: What a place on a curve is in.
_AXES = {"product": "bits²"}


def asked(document: Mapping[str, Any]) -> str:
    """The hardware, and what super-tiles were searched for, where they were."""
    searched = f" {table.title(document['mapping']['objective'])}." if "mapping" in document else ""
    return f"{_hardware(document['config'])}.{searched}"


def _hardware(config: Mapping[str, Any]) -> str:
    hw, job = config["hw"], config["job"]
    memory = hw["memory"]["kind"] if hw.get("memory") else "external memory"
    return (f"{hw['rows']} × {hw['cols']} array, {hw['lanes']} lanes, {quantity(hw['freq_hz'], 'Hz')}, {memory} "
            f"{quantity(hw['dram_bytes_per_s'], 'B/s')}, {job['weight_bits']}-bit weights")


def lead(schemes: Sequence[str]) -> str:
    """The scheme that the summary is of: the first that ends in STaMP, else the last."""
    return next((scheme for scheme in schemes if scheme.endswith("stamp")), list(schemes)[-1])


def peaks(config: Mapping[str, Any]) -> tuple[tuple[str, float], ...]:
    """Operations a second (two a product) of an array whose row slots never idle: 8-bit tokens, and two of 4 bits."""
    hw = config["hw"]
    eight = 2.0 * hw["rows"] * hw["cols"] * hw["freq_hz"]
    return ("array, 4-bit tokens", 2 * eight), ("array, 8-bit tokens", eight)


def slopes(config: Mapping[str, Any]) -> tuple[tuple[str, float], ...]:
    """Bytes a second of the external memory, of which a port moves its part, and of the weights that enter the array: a
    beat of `cols` a cycle."""
    hw, job = config["hw"], config["job"]
    part = hw["memory"]["efficiency"] if hw.get("memory") else 1.0
    packed = hw.get("packed_weights") and job["weight_bits"] == 4
    return (("external memory", part * hw["dram_bytes_per_s"]),
            (f"weights of {job['weight_bits']} bits enter the array",
             hw["cols"] * hw["freq_hz"] * (0.5 if packed else 1.0)))


def constants(document: Mapping[str, Any], more: Sequence[tuple[str, ...]] = ()) -> Section:
    """Every constant that a figure was made with; `more` rows of (name, value, unit, node, source, of what, basis)."""
    chosen, hw = document["energy_set"], document["config"]["hw"]
    rows: list[tuple[str, ...]] = [
        (name, _value(entry["energy_pj"], entry["axis"]), entry["unit"], entry["node"], entry["source"],
         entry["prices"], entry["basis"]) for name, entry in chosen["constants"].items()]
    rows += [
        ("clock", digits(hw["freq_hz"] / 1e6), "MHz", "–", "hw.freq_hz", "cycles to seconds", "the configuration"),
        *_memory(document), *more]
    constants_table = Table(
        caption=f"Energy set {chosen['name']} ({chosen['node']}), clock and memory", origin="given",
        columns=("constant", "value", "unit", "node", "source", "what it is of", "basis"),
        words=tuple(range(7)), rows=tuple(tuple(Cell(text=text) for text in row) for row in rows))
    return Section(anchor="constants", title="Constants", parts=(constants_table,), words=(
        "Energy is the count of each event times its constant. A constant with several values is a curve over the "
        "places named in front of them, interpolated.",), points=tuple(
            f"{key}: {citation}" for key, citation in chosen["sources"].items()))


def _memory(document: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The rate of the external memory; of one behind a port every constant but its energy, which the set has."""
    memory = document.get("memory")
    if memory is None:
        rate = digits(document["config"]["hw"]["dram_bytes_per_s"] / 1e9)
        return [("external memory", rate, "GB/s", "–", "hw.dram_bytes_per_s", "what the memory offers when",
                 "the configuration")]
    units = {"bytes_per_s": ("GB/s", 1e9), "latency_ns": ("ns", 1), "burst": ("bytes", 1),
             "efficiency": ("of the peak", 1)}
    return [(f"external memory, {name}", digits(memory[name] / scale), unit, memory["kind"], f"hw.memory.{name}",
             "what the memory offers when", memory["sources"][name]) for name, (unit, scale) in units.items()]


def _value(value: Any, axis: str | None) -> str:
    if isinstance(value, Mapping):
        named = _AXES.get(axis or "", axis or "")
        return "; ".join(f"{_place(place)} {named}: {pj}" for place, pj in value.items())
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _place(text: str) -> str:
    """A place on a curve's axis, in groups of three digits."""
    try:
        return f"{float(text):,.15g}"
    except ValueError:
        return text


def origins(used: Sequence[str]) -> Section:
    """What the badges mean."""
    rows = tuple((Cell(text=names.ORIGINS[key][0]), Cell(text=names.ORIGINS[key][1])) for key in used)
    return Section(anchor="origins", title="Sources", parts=(
        Table(caption="Where figures come from: what the badges mean", columns=("badge", "meaning"), words=(0, 1),
              rows=rows),))


def missing(document: Mapping[str, Any], more: Sequence[str]) -> Section:
    """What the figures leave out."""
    return Section(anchor="missing", title="Not included",
                   points=(*more, *(f"energy: {note}" for note in document["energy_set"]["not_modelled"])))


def configuration(document: Mapping[str, Any]) -> Section:
    """Every value of the configuration."""
    rows = tuple((Cell(text=section), Cell(text=key), Cell(text=written(value)))
                 for section, values in document["config"].items() if isinstance(values, Mapping)
                 for key, value in values.items())
    return Section(anchor="configuration", title="Configuration", parts=(
        Table(caption=f"Hardware and job (stamp-hw {document['version']})", columns=("section", "key", "value"),
              words=(0, 1, 2), rows=rows),))


def written(value: Any) -> str:
    """A value of a configuration."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {written(item)}" for key, item in value.items()) or "none"
    if isinstance(value, float) and value.is_integer():
        return f"{value:.0f}"
    return "–" if value is None else str(value)
