"""A report as text for the terminal; every table says where its figures come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sim.report import PARTS

SHOWN = 60  # characters of a layer's name

PART_NAMES = {
    "busy": "array busy", "wait_activations": "waits for activations", "wait_weights": "waits for weights",
    "wait_output": "waits for the output buffer", "wait_dram": "DRAM-bound", "tail": "drain, rescale, inverse lifting",
}


def render(report: Mapping[str, Any]) -> str:
    """All tables and the footer; a report of a shape has no table of accuracies."""
    layers = [] if "shape" in report else [_layers(report)]
    parts = [_totals(report), *layers, _energy(report), _cycles(report), _footer(report)]
    return "\n\n".join(parts)


def align(header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Columns padded to their widest cell, the first `left` to the left, a rule below the header."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        return "  ".join(cell.ljust(width) if i < left else cell.rjust(width)
                         for i, (cell, width) in enumerate(zip(cells, widths, strict=True))).rstrip()

    rule = "  ".join("─" * width for width in widths)
    return "\n".join([line(header), rule, *map(line, rows)])


def shorten(name: str, width: int = SHOWN) -> str:
    """A long name without its middle."""
    name = name.replace("model.layers.", "")
    return name if len(name) <= width else f"{name[: (width - 1) // 2]}…{name[-(width // 2) :]}"


def labels(names: Sequence[str], width: int = SHOWN) -> list[str]:
    """A short label for each name; where two would look the same, all get their place in front."""
    short = [shorten(name, width) for name in names]
    if len(set(short)) == len(set(names)):
        return short
    return [f"{place} {shorten(name, width - 4)}" for place, name in enumerate(names)]


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
    what = (f"One linear layer, {report['shape']}" if shaped else
            f"Totals: {_part(report)}, {plural(first['tokens'], 'token')}")
    title = (f"{what}, {hw['rows']} × {hw['cols']} array, {hw['lanes']} lanes, {hw['freq_hz'] / 1e6:g} MHz, "
             f"DRAM {hw['dram_bytes_per_s'] / 1e9:g} GB/s")
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


def _part(report: Mapping[str, Any]) -> str:
    """Which part of the model the layers are, as far as the trace knows."""
    own, of_model = report["linear_layers"], report["model_linear_layers"]
    captured = next(iter(report["totals"].values()))["layers"]
    times = "" if captured == own else f", {captured} captures of them"
    if of_model is None:
        return f"these {plural(own, 'linear layer')} of a model{times}"
    return f"{'all' if own == of_model else f'{own} of'} the model's {plural(of_model, 'linear layer')}{times}"


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

    notes: dict[str, list[tuple[int, str]]] = {}  # text → tokens and label of each layer that it is said of
    of_mark: dict[str, list[tuple[str, ...]]] = {"": [], "†": []}  # rows of layers with and without transform
    for (_, figures), label in zip(report["layers"].items(), labels(list(report["layers"])), strict=True):
        first = figures[schemes[0]]
        said = list(dict.fromkeys(text for scheme in schemes for text in figures[scheme]["warnings"]))
        for text in said:
            notes.setdefault(text, []).append((first["tokens"], label))
        sizes = (str(round(first[key])) for key in ("tokens", "k", "n", "headroom"))
        mark = "" if first["transform"] else "†"
        of_mark[mark].append((label + mark + ("*" if said else ""), *sizes,
                              *cells(figures, [gain(figures, a, b) for _, a, b in pairs])))

    def mean(mark: str, figures: Mapping[str, Any]) -> tuple[str, ...]:
        # A gain's mean is over the layers that have one: the schemes' own means may be over different layers.
        layers = [f for f in report["layers"].values() if f[schemes[0]]["transform"] == (not mark)]
        gains = [[m for f in layers if (m := gain(f, a, b)) is not None] for _, a, b in pairs]
        name = f"mean of {len(layers)}{mark}" if all(of_mark.values()) else "mean"
        return (name, "", "", "", "", *cells(figures, [sum(g) / len(g) if g else None for g in gains]))

    rows: list[tuple[str, ...]] = []
    for mark, some in of_mark.items():
        apart = bool(mark and of_mark[""])
        figures = {scheme: t["untransformed"] if apart else t for scheme, t in report["totals"].items()}
        rows += [*some, mean(mark, figures)] if some else []
    title = "SQNR of the quantized input by layer, dB (headroom: INT16 code of the median token's absmax)"
    lines = [title, align(header, rows), *(_note(text, of) for text, of in list(notes.items())[:_NOTES])]
    if len(notes) > _NOTES:
        lines.append(f"* and {len(notes) - _NOTES} more warnings, in the JSON report")
    if of_mark["†"]:
        count = plural(len(of_mark["†"]), "layer")
        lines.append(f"† {count} without transform under every scheme: the trace says that "
                     "the input is no token sequence worth one")
    return "\n".join(lines)


_NOTES = 8  # warnings shown


def _note(text: str, layers: Sequence[tuple[int, str]]) -> str:
    """A warning with the layer that it is said of, or with how many they are and the shortest of them."""
    tokens, label = min(layers, key=lambda layer: layer[0])
    return f"* {label}: {text}" if len(layers) == 1 else (
        f"* {plural(len(layers), 'layer')}, the shortest {label} with {plural(tokens, 'token')}: {text}")


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
    return "Cycles by what the array does\n" + align(("part", *totals), rows)


def _footer(report: Mapping[str, Any]) -> str:
    chosen = report["energy_set"]
    lines = [
        *(_shape_notes(report) if "shape" in report else _accuracy_notes(report)),
        "Cycles: cycle model of the engine, RTL-checked beat by beat; group scales and the DRAM's rate are modelled.",
        f"Energy: modelled, event counts times the constants of set {chosen['name']} ({chosen['node']}):",
        *(f"  {key}: {text}" for key, text in chosen["sources"].items()),
        *(f"  {name:16} {_constant(entry)}" for name, entry in chosen["constants"].items()),
        "Not modelled: " + "; ".join(chosen["not_modelled"]) + ".",
    ]
    return "\n".join(lines)


def _accuracy_notes(report: Mapping[str, Any]) -> list[str]:
    static = sorted({figures["calibration"] for schemes in report["layers"].values() for figures in schemes.values()})
    return [
        f"SQNR: bit-accurate model; scales {' and '.join(static)} (trace: {report['calibration']}); "
        f"permutation seed {report['permutation_seed']}.",
        "∞ dB: no noise at all; −∞ dB: noise where the reference is zero; means: layers with a finite figure.",
    ]


def _shape_notes(report: Mapping[str, Any]) -> list[str]:
    (layer,) = report["layers"].values()
    warnings = dict.fromkeys(text for figures in layer.values() for text in figures["warnings"])
    jobs = ", ".join(f"{scheme} {figures['levels']} and {figures['n_hi']}" for scheme, figures in layer.items())
    return [*(f"* {text}" for text in warnings), f"Levels and tokens at 8 bits: {jobs}.",
            "A shape alone: there is no data, and so no SQNR."]


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


def number(value: float, decimals: int) -> str:
    """So many decimals, and three significant digits where that would leave fewer than two of them."""
    if value and abs(value) < 10.0 ** (1 - decimals):
        return f"{value:.3g}"
    return f"{value:,.{decimals}f}"


def plural(count: int, noun: str) -> str:
    """`1 layer`, `2 layers`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
