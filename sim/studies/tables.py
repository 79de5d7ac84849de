"""A report as text for the terminal; every table says where its figures come from."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from sim.engine.closed_form import PARTS
from sim.mapping import table
from sim.studies import drains, notices
from stamp_hw.text import WIDTH, align, labels, number, plural

PART_NAMES = {
    "streaming": "array streams operands", "wait_drain": "waits for its own drain",
    "wait_activations": "waits for activations", "wait_weights": "waits for weights",
    "wait_output": "waits for the output buffer", "wait_dram_activations": "DRAM: activations late",
    "wait_dram_weights": "DRAM: weights late", "wait_dram_bytes": "DRAM: all bytes", "tail": "behind the last operand",
}
BOTTLENECK_NAMES = {
    "array": "array", "drain": "drain", "activations": "activations", "weights": "weights", "back": "behind the array",
    "dram_activations": "DRAM (activations)", "dram_weights": "DRAM (weights)", "dram_bytes": "DRAM (all bytes)",
}


def render(report: Mapping[str, Any]) -> str:
    """All tables and the footer; a report of shapes has no table of accuracies, of several one of their cycles."""
    layers = [_layers(report)] if "shape" not in report else [_shapes(report)] if len(report["layers"]) > 1 else []
    found = [table.render(report)] if "mapping" in report else []
    parts = [_totals(report), *layers, *found, _energy(report), _cycles(report), _bottlenecks(report), _footer(report)]
    return "\n\n".join(parts)


def _totals(report: Mapping[str, Any]) -> str:
    totals = report["totals"]
    base = totals["a4"]["cycles"] if "a4" in totals else None
    first = next(iter(totals.values()))
    shaped, sequence = "shape" in report, first["tokens_per_s"] is not None
    measured = () if shaped else ("SQNR dB", "out dB")
    rate = (("tokens/s" if shaped else "tokens/s of these",) if sequence else ())
    header = ("scheme", "bits", "+scales", *measured, "cycles", "vs a4", "ms", *rate, "TOPS", "util %",
              "array tiles", "DRAM MB", "energy µJ", "W", "TOPS/W")
    rows = [(
        scheme, f"{t['average_bits']:.3f}", f"{t['average_bits_with_scales']:.3f}",
        *(() if shaped else (decibels(t, "sqnr_db"), decibels(t, "output_sqnr_db"))),
        f"{t['cycles']:,}", f"{t['cycles'] / base:.3f}" if base else "–",
        number(t["time_s"] * 1e3, 3), *((f"{t['tokens_per_s']:,.0f}",) if sequence else ()), number(t["tops"], 4),
        number(t["utilization"] * 100, 1), f"{t['array_tiles']:,}", number(t["dram_bytes"] / 1e6, 2),
        number(t["energy_pj"] / 1e6, 1), number(t["power_w"], 3), number(t["tops_per_w"], 3),
    ) for scheme, t in totals.items()]
    hw = report["config"]["hw"]
    what = (f"One linear layer, {report['shape']}" if shaped and first["layers"] == 1 else
            f"Totals: {plural(first['layers'], 'linear layer') if shaped else _part(report)}, "
            f"{plural(first['tokens'], 'token')}")
    title = (f"{what}, {hw['rows']} × {hw['cols']} array, {hw['lanes']} lanes, {hw['freq_hz'] / 1e6:g} MHz, "
             f"{external(report)}")
    lines = [title, align(header, rows)]
    if first["untransformed"]:
        apart = first["untransformed"]["layers"]
        lines.append(f"dB: means over the {first['layers'] - apart} layers that are transformed, the other {apart} "
                     "apart below; all else: every layer.")
    if sequence and not shaped:
        times = ", ".join(f"{scheme} {number(t['time_to_first_token_s'] * 1e3, 3)} ms" for scheme, t in totals.items())
        lines.append("tokens/s: of these layers alone, one after the other, and no rate of the model; their part of "
                     f"the time to first token: {times}")
    return "\n".join(lines)


def external(report: Mapping[str, Any]) -> str:
    """The external memory and its rate, and what of it the port moves."""
    peak = f"{report['config']['hw']['dram_bytes_per_s'] / 1e9:g} GB/s"
    if "memory" not in report:
        return f"DRAM {peak}"
    return f"{report['memory']['kind']} {peak}, {report['memory']['effective_bytes_per_s'] / 1e9:g} of them"


def _part(report: Mapping[str, Any]) -> str:
    """Which part of the model the layers are, as far as the trace knows."""
    own, of_model = report["linear_layers"], report["model_linear_layers"]
    captured = next(iter(report["totals"].values()))["layers"]
    times = "" if captured == own else f", {captured} captures of them"
    if of_model is None:
        return f"these {plural(own, 'linear layer')} of a model{times}"
    return f"{'all' if own == of_model else f'{own} of'} the model's {plural(of_model, 'linear layer')}{times}"


def _shapes(report: Mapping[str, Any]) -> str:
    """Cycles of each shape by scheme, and their sums."""
    totals = report["totals"]
    rows = [(label, *(f"{figures[scheme]['cycles']:,}" for scheme in totals))
            for label, figures in zip(labels(list(report["layers"])), report["layers"].values(), strict=True)]
    rows.append(("total", *(f"{t['cycles']:,}" for t in totals.values())))
    return "Cycles by shape\n" + align(("shape", *totals), rows)


def _layers(report: Mapping[str, Any]) -> str:
    schemes = tuple(report["totals"])
    margins = (("stamp − first_n", "stamp", "first_n"), ("stamp − shuffled", "stamp", "stamp_shuffled"))
    pairs = [(name, a, b) for name, a, b in margins if a in schemes and b in schemes]
    header = ("layer", "S", "K", "N", "headroom", *schemes, *(name for name, _, _ in pairs))

    def gain(figures: Mapping[str, Any], a: str, b: str) -> float | None:
        found = figures[a]["sqnr_db"], figures[b]["sqnr_db"]
        return None if None in found else found[0] - found[1]

    def cells(figures: Mapping[str, Any], gained: Sequence[float | None]) -> list[str]:
        return [decibels(figures[scheme], "sqnr_db") for scheme in schemes] + [
            "–" if m is None else f"{round(m, 2) + 0.0:+.2f}" for m in gained]

    rows_of: dict[str, list[tuple[str, ...]]] = {"": [], "†": []}  # of layers with and without transform
    labelled = dict(zip(labels(list(report["layers"])), report["layers"].values(), strict=True))
    for label, figures in labelled.items():
        first = figures[schemes[0]]
        said = any(figures[scheme]["warnings"] for scheme in schemes)
        sizes = (str(round(first[key])) for key in ("tokens", "k", "n", "headroom"))
        mark = "" if first["transform"] else "†"
        rows_of[mark].append((label + mark + ("*" if said else ""), *sizes,
                              *cells(figures, [gain(figures, a, b) for _, a, b in pairs])))

    def mean(mark: str, figures: Mapping[str, Any]) -> tuple[str, ...]:
        # A gain's mean is over the layers that have one: the schemes' own means may be over different layers.
        layers = [f for f in report["layers"].values() if f[schemes[0]]["transform"] == (not mark)]
        gains = [[m for f in layers if (m := gain(f, a, b)) is not None] for _, a, b in pairs]
        name = f"mean of {len(layers)}{mark}" if all(rows_of.values()) else "mean"
        return (name, "", "", "", "", *cells(figures, [sum(g) / len(g) if g else None for g in gains]))

    rows: list[tuple[str, ...]] = []
    for mark, some in rows_of.items():
        apart = bool(mark and rows_of[""])
        figures = {scheme: t["untransformed"] if apart else t for scheme, t in report["totals"].items()}
        rows += [*some, mean(mark, figures)] if some else []
    title = "SQNR of the quantized input by layer, dB (headroom: INT16 code of the median token's absmax)"
    lines = [title, align(header, rows), *notices.lines(labelled)]
    if rows_of["†"]:
        count = plural(len(rows_of["†"]), "layer")
        lines.append(f"† {count} without transform under every scheme: the trace says that the input is no token "
                     "sequence worth one")
    return "\n".join(lines)


def _energy(report: Mapping[str, Any]) -> str:
    totals = report["totals"]
    names = next(iter(totals.values()))["energy_by_component"]
    rows = [(name, *(number(t["energy_by_component"][name]["energy_pj"] / 1e6, 3) for t in totals.values()))
            for name in names]
    rows.append(("total", *(number(t["energy_pj"] / 1e6, 3) for t in totals.values())))
    return "Energy by component, µJ\n" + align(("component", *totals), rows)


def _cycles(report: Mapping[str, Any]) -> str:
    totals = report["totals"]
    rows = [(PART_NAMES[part], *(f"{t['cycles_by_part'][part]:,}" for t in totals.values())) for part in PARTS]
    rows.append(("total", *(f"{t['cycles']:,}" for t in totals.values())))
    rows.append(("fill hidden under the array", *(f"{t['overlapped_fill_cycles']:,}" for t in totals.values())))
    rows.append(("fill not hidden", *(f"{t['exposed_fill_cycles']:,}" for t in totals.values())))
    if "shape" not in report:
        rows.append(("saved if prefetched in a row", *(f"{t['prefetch_saved_cycles']:,}" for t in totals.values())))
    return "Cycles by what the array does\n" + align(("part", *totals), rows)


def _bottlenecks(report: Mapping[str, Any]) -> str:
    """What paces each layer, with the part of its cycles in which the array streams operands."""
    def cell(figures: Mapping[str, Any]) -> str:
        streams = figures["cycles_by_part"]["streaming"] / figures["cycles"]
        return f"{BOTTLENECK_NAMES[figures['bottleneck']]} {number(streams * 100, 1)} %"

    layers = list(report["layers"].items())
    rows = [(label, *(cell(figures[scheme]) for scheme in report["totals"]))
            for (_, figures), label in zip(layers, labels([name for name, _ in layers]), strict=True)]
    drained = [(label, found) for (_, figures), label in zip(layers, labels([name for name, _ in layers]), strict=True)
               if (found := next((f["drain"] for f in figures.values() if f["drain"]), None))]
    said = [line for text in drains.said(drained, report["config"]["hw"]["rescale_lanes"])
            for line in textwrap.wrap(text, WIDTH, subsequent_indent="  ")]
    return "\n".join(["Bottleneck of each layer, and the part of its cycles in which the array streams operands",
                      align(("layer", *report["totals"]), rows), *said])


def _footer(report: Mapping[str, Any]) -> str:
    chosen = report["energy_set"]
    lines = [
        *(_shape_notes(report) if "shape" in report else _accuracy_notes(report)),
        "Cycles: cycle model of the engine, RTL-checked beat by beat; the DRAM is modelled.",
        *_memory(report),
        *clock({chosen["name"]: chosen.get("gates", {}).get("clock_mhz")}, report),
        f"Energy: modelled, event counts times the constants of set {chosen['name']} ({chosen['node']}):",
        *(f"  {key}: {text}" for key, text in chosen["sources"].items()),
        *_followed(report),
        *(f"  {name:16} {_constant(entry)}" for name, entry in chosen["constants"].items()),
        "Not modelled: " + "; ".join(chosen["not_modelled"]) + ".",
    ]
    return "\n".join(lines)


def _followed(report: Mapping[str, Any]) -> list[str]:
    """Which units' energy follows the values, where the set can."""
    if "follows" not in report["energy_set"].get("gates", {}):
        return []
    units = report.get("follows_values", [])
    return [f"  by the values of each layer: {', '.join(units) or 'none'}; by mean prices: all else"]


def clock(sets: Mapping[str, float | None], report: Mapping[str, Any]) -> list[str]:
    """Of sets of gates (name → MHz), those that are slower than the clock that figures are of."""
    mhz = report["config"]["hw"]["freq_hz"] / 1e6
    return [f"Clock: gates of {name} reach {number(own, 0)} MHz before placement; times and leakage are of the {mhz:g} "
            "MHz of hw.freq_hz." for name, own in sets.items() if own is not None and own < mhz]


def _memory(report: Mapping[str, Any]) -> list[str]:
    """The constants of the external memory and their sources, where the configuration has more than a rate."""
    if "memory" not in report:
        return []
    memory = report["memory"]
    used = ", ".join(f"{scheme} {number(t['port_bytes'] / 1e6, 2)} MB in {number(t['port_utilization'] * 100, 1)} %"
                     for scheme, t in report["totals"].items())
    return [f"Memory: {memory['kind']} behind one port that the streams share:",
            *(f"  {name:16} {memory[name]:g} ({source})" for name, source in memory["sources"].items()),
            f"  In whole bursts, and the part of its time that they take: {used}."]


def _accuracy_notes(report: Mapping[str, Any]) -> list[str]:
    static = sorted({figures["calibration"] for schemes in report["layers"].values() for figures in schemes.values()})
    return [
        f"SQNR: bit-accurate model; scales {' and '.join(static)} (trace: {report['calibration']}); "
        f"permutation seed {report['permutation_seed']}.",
        "∞ dB: no noise at all; −∞ dB: noise where the reference is zero; means: layers with a finite figure.",
    ]


def _shape_notes(report: Mapping[str, Any]) -> list[str]:
    jobs = []
    for name, layer in report["layers"].items():
        each = ", ".join(f"{scheme} {figures['levels']} and {figures['n_hi']}" for scheme, figures in layer.items())
        head = f"{name}: levels" if len(report["layers"]) > 1 else "Levels"
        jobs.append(f"{head} and tokens at 8 bits: {each}.")
    return [*notices.lines(report["layers"]), *jobs, "Shapes alone: there is no data, and so no SQNR."]


def _constant(entry: Mapping[str, Any]) -> str:
    value = entry["energy_pj"]
    shown = f"{value:g}" if entry["axis"] is None else ", ".join(f"{place}: {pj:g}" for place, pj in value.items())
    return f"{shown} {entry['unit']}{'' if entry['axis'] is None else ' by ' + entry['axis']}"


def decibels(figures: Mapping[str, Any], name: str) -> str:
    """Two decimals; ∞ and −∞ where the report says so; a dash for no figure."""
    value = figures[name]
    if value is None:
        return {"inf": "∞", "-inf": "−∞"}.get(figures[f"{name}_infinite"], "–")
    return f"{round(value, 2) + 0.0:.2f}"
