"""The plots of a report: SQNR by layer, energy and cycles by component, token energy before and after the transform."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from sim.engine.closed_form import PARTS
from sim.studies.accuracy import TokenEnergy
from sim.studies.tables import PART_NAMES
from stamp_hw.formats.files import atomic_file
from stamp_hw.text import labels, plural

# Okabe and Ito's palette, which colour-blind readers can tell apart; one colour a scheme in every plot.
SCHEME_COLOURS = {"a8": "#000000", "a4": "#999999", "first_n": "#E69F00", "stamp": "#0072B2",
                  "stamp_shuffled": "#56B4E9"}
SCHEME_MARKERS = {"a8": "s", "a4": "o", "first_n": "^", "stamp": "D", "stamp_shuffled": "v"}
COMPONENT_COLOURS = {"lifting": "#D55E00", "scale": "#F0E442", "mac": "#0072B2", "rescale": "#CC79A7",
                     "memory": "#56B4E9", "dram": "#BBBBBB"}
PART_COLOURS = {"streaming": "#0072B2", "wait_drain": "#56B4E9", "wait_activations": "#D55E00",
                "wait_weights": "#E69F00", "wait_output": "#F0E442", "wait_dram_activations": "#444444",
                "wait_dram_weights": "#888888", "wait_dram_bytes": "#CCCCCC", "tail": "#009E73"}
FILES = ("sqnr_by_layer.png", "energy_and_cycles.png", "token_energy.png")
_GAP = 0.8  # rows between the layers that are transformed and the others
NAMED_LAYERS = 48  # more layers than this are numbered instead of named
_DPI = 150


def write(report: Mapping[str, Any], energies: Mapping[str, TokenEnergy], folder: Path) -> list[Path]:
    """Write every plot that the report has data for, as PNG; returns their paths. Raises OutputError."""
    figures = [sqnr_by_layer(report), energy_and_cycles(report)]
    if energies:
        figures.append(token_energy(energies))
    paths = []
    for name, figure in zip(FILES, figures, strict=False):
        with atomic_file(folder / name, "wb") as stream:
            figure.savefig(stream, format="png", dpi=_DPI, metadata={"Software": None})
        paths.append(folder / name)
    return paths


def plain(text: str) -> str:
    """Text with what the plots' font has no glyph for spelled as code points."""
    font = get_font(findfont(FontProperties()))
    return "".join(char if font.get_char_index(ord(char)) else f"\\u{ord(char):04x}" for char in text)


def unmath(text: str) -> str:
    """Text that is drawn as it stands: matplotlib takes what is between two $ for a formula."""
    return text.replace("$", r"\$")


def sqnr_by_layer(report: Mapping[str, Any]) -> Figure:
    """Every layer's SQNR by scheme, and what each scheme gains over plain 4 bits."""
    schemes = list(report["totals"])
    moved, apart = ([name for name, figures in report["layers"].items() if figures[schemes[0]]["transform"] == wanted]
                    for wanted in (True, False))
    names, marks = moved + apart, [""] * len(moved) + ["†"] * len(apart)
    gains = [scheme for scheme in schemes if scheme not in ("a4", "a8")] if "a4" in schemes else []
    named = len(names) <= NAMED_LAYERS
    height = 1.9 + 0.27 * max(len(names), 4) if named else 10.0
    figure, axes = _figure(11.0, height, 2 if gains else 1, sharey=True, ratios=[1.0, 1.0][: 2 if gains else 1])
    gap = _GAP if moved and apart else 0.0  # before the layers that are not in the means
    rows = np.arange(len(names)) + gap * (np.arange(len(names)) >= len(moved))
    for scheme in schemes:
        _dots(axes[0], _series(report, names, scheme), rows, scheme, label=scheme)
    _style(axes[0], "SQNR of the quantized input", "dB")
    if named:
        shown = labels([plain(name) for name in names], 34)
        axes[0].set_yticks(rows, [unmath(text) + mark for text, mark in zip(shown, marks, strict=True)])
    else:
        axes[0].set_ylabel("layer, in the trace's order" + (", those without transform last" if gap else ""))
        axes[0].yaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0].set_ylim(len(names) + gap - 0.4, -0.6)
    for axis in axes if gap else ():
        axis.axhline(len(moved) - 0.5 + gap / 2, color="#999999", linewidth=1)
    if gap:
        axes[0].text(0.99, len(moved) - 0.5 + gap / 2, "† without transform: not in the means", fontsize=8, ha="right",
                     va="bottom", transform=axes[0].get_yaxis_transform())
    for scheme in gains:
        gain = _series(report, names, scheme) - _series(report, names, "a4")
        mean_of = gain[: len(moved) or len(names)]
        known = mean_of[np.isfinite(mean_of)]
        if not known.size:
            axes[1].plot([], [], color=SCHEME_COLOURS[scheme], label=f"{scheme}: no finite gain")
            continue
        mean = float(known.mean())
        _dots(axes[1], gain, rows, scheme)
        axes[1].plot([mean, mean], [-0.6, len(moved or names) - 0.5 + gap / 2], color=SCHEME_COLOURS[scheme],
                     linewidth=1.2, linestyle="--", label=f"{scheme}: mean {mean:+.2f} dB")
    if gains:
        bits = _mean_bits(report, moved or names, gains[0])
        _style(axes[1], f"Gain over a4, at {bits:.3f} bits on average", "dB")
        axes[1].axvline(0, color="#999999", linewidth=1)
        axes[1].legend(loc="upper center", bbox_to_anchor=(0.5, -_below(height)), ncols=1, frameon=False, fontsize=9)
    axes[0].legend(loc="upper center", bbox_to_anchor=(0.5, -_below(height)), ncols=3, frameon=False, fontsize=9)
    return figure


def energy_and_cycles(report: Mapping[str, Any]) -> Figure:
    """Stacked bars by scheme: energy by component, cycles by what the array does, cycles in which it stands still."""
    totals = report["totals"]
    shown = "stamp" if "stamp" in totals else list(totals)[-1]
    against = " (× a4 on top)" if "a4" in totals else ""
    figure, axes = _figure(14.0, 5.6, 3, ratios=[1.0, 1.0, 1.0])
    energies = {name: [t["energy_by_component"][name]["energy_pj"] / 1e6 for t in totals.values()]
                for name in next(iter(totals.values()))["energy_by_component"]}
    cycles = {part: [t["cycles_by_part"][part] for t in totals.values()] for part in PARTS}
    still = {part: values for part, values in cycles.items() if part != "streaming"}
    _stack(axes[0], totals, energies, COMPONENT_COLOURS, ratio=True)
    chosen = unmath(plain(report["energy_set"]["name"]))
    _style(axes[0], f"Energy by component{against}\nmodelled, set {chosen}", None, "µJ")
    _stack(axes[1], totals, cycles, PART_COLOURS, ratio=True)
    _style(axes[1], f"Cycles{against}\ncycle model", None, "cycles")
    _stack(axes[2], totals, still, PART_COLOURS)
    _style(axes[2], "Cycles in which the array streams no operand\nenlarged from the middle", None, "cycles")
    place = list(totals).index(shown)
    # Thin layers cannot be read off the bars: the legends say one scheme's figures.
    legends = ((axes[0], energies, " µJ"), (axes[1], cycles, ""), (axes[2], still, ""))
    for axis, parts, unit in legends:
        handles = [Patch(color=(COMPONENT_COLOURS | PART_COLOURS)[name],
                         label=f"{PART_NAMES.get(name, name)}: {_engineering(values[place], 4)}{unit}")
                   for name, values in parts.items() if max(values) > 0]
        axis.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2 if axis is axes[0] else 1,
                    frameon=False, fontsize=9, title=f"in {shown}", title_fontsize=9)
    for axis in axes[1:]:
        axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _place: _engineering(value)))
    return figure


def token_energy(energies: Mapping[str, TokenEnergy]) -> Figure:
    """Energy by token before and after the transform, and how much of it the 8-bit tokens hold: means over layers."""
    # Layers of the commonest length: only those share an axis.
    lengths = [len(energy.before) for energy in energies.values()]
    length = max(set(lengths), key=lambda size: (lengths.count(size), size))
    chosen = [energy for energy in energies.values() if len(energy.before) == length]
    # A layer of zeros has no energy to share out.
    chosen = [energy for energy in chosen if energy.before.any() and energy.after.any()] or chosen[:1]
    before = np.mean([_share(energy.before) for energy in chosen], axis=0)
    after = np.mean([_share(energy.after) for energy in chosen], axis=0)
    n_hi = chosen[0].n_hi
    figure, axes = _figure(12.0, 4.8, 2, ratios=[1.5, 1.0])
    tokens = np.arange(1, length + 1)
    axes[0].axvspan(0.5, n_hi + 0.5, color="#F0E442", alpha=0.35, linewidth=0, label=f"{n_hi} tokens at 8 bits")
    axes[0].plot(tokens, before * length, color="#999999", linewidth=1, label="before: tokens in order")
    axes[0].plot(tokens, after * length, color=SCHEME_COLOURS["stamp"], linewidth=1, label="after: Haar coefficients")
    if before.any() and after.any():
        axes[0].set_yscale("log")
        # Differences of equal tokens are next to nothing; they would stretch the axis.
        axes[0].set_ylim(max(5e-2, 0.7 * float(min(before.min(), after.min())) * length),
                         1.5 * float(max(before.max(), after.max())) * length)
    axes[0].set_xlim(0.5, length + 0.5)
    _style(axes[0], f"Energy of each token, mean of {plural(len(chosen), 'layer')}",
           "token, low frequency first after the transform", "energy / mean energy")
    axes[0].legend(loc="upper right", frameon=False, fontsize=9)
    for share, colour, name in ((before, "#999999", "before"), (after, SCHEME_COLOURS["stamp"], "after")):
        total = np.cumsum(share) * 100
        axes[1].plot(tokens, total, color=colour, linewidth=2,
                     label=f"{name}: first {n_hi} hold {total[max(n_hi, 1) - 1]:.1f} %")
    axes[1].axvline(max(n_hi, 1), color="#000000", linewidth=1, linestyle=":")
    axes[1].set_xscale("log", base=2)
    axes[1].xaxis.set_major_formatter(FuncFormatter(lambda value, _place: f"{value:g}"))
    axes[1].set_xlim(1, max(length, 2))
    axes[1].set_ylim(0, 103)
    _style(axes[1], "Energy in the first tokens", "first tokens", "% of the energy")
    axes[1].legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), frameon=False, fontsize=9)
    return figure


def _figure(width: float, height: float, columns: int, *, ratios: Sequence[float], sharey: bool = False
            ) -> tuple[Figure, Sequence[Axes]]:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, columns, squeeze=False, sharey=sharey, gridspec_kw={"width_ratios": list(ratios)})[0]
    return figure, list(axes)


def _below(height: float) -> float:
    """Distance of a legend below its axes, as a part of their height, for 0.6 inch."""
    return 0.6 / height


def _mean_bits(report: Mapping[str, Any], names: Sequence[str], scheme: str) -> float:
    """Bits of an activation of these layers."""
    figures = [report["layers"][name][scheme] for name in names]
    values = [one["tokens"] * one["k"] for one in figures]
    return float(sum(one["average_bits"] * count for one, count in zip(figures, values, strict=True)) / sum(values))


def _series(report: Mapping[str, Any], names: Sequence[str], scheme: str) -> np.ndarray:
    """dB by layer; a layer without noise is not drawn."""
    values = [report["layers"][name][scheme]["sqnr_db"] for name in names]
    return np.array([np.nan if value is None else value for value in values])


def _dots(axis: Axes, values: np.ndarray, rows: np.ndarray, scheme: str, label: str | None = None) -> None:
    """One mark a layer; `stamp` lies on top."""
    axis.plot(values, rows, linestyle="none", marker=SCHEME_MARKERS[scheme], markersize=6, color=SCHEME_COLOURS[scheme],
              markeredgecolor="white", markeredgewidth=0.6, label=label, zorder=4 if scheme == "stamp" else 3)


def _stack(axis: Axes, totals: Mapping[str, Any], parts: Mapping[str, Sequence[float]], colours: Mapping[str, str], *,
           ratio: bool = False) -> None:
    """Stacked bars by scheme; `ratio` writes each total relative to a4's on top, where there is one."""
    bottom = np.zeros(len(totals))
    places = np.arange(len(totals))
    for name, values in parts.items():
        axis.bar(places, values, bottom=bottom, color=colours[name], width=0.7)
        bottom += values
    if ratio and "a4" in totals:
        base = bottom[list(totals).index("a4")]
        for place, value in enumerate(bottom.tolist()):
            axis.text(float(place), value, f"× {value / base:.3f}", ha="center", va="bottom", fontsize=9)
    axis.set_ylim(0, max(float(bottom.max()) * 1.1, 1e-12))
    axis.set_xticks(places, [scheme.replace("stamp_", "stamp_\n") for scheme in totals])


def _style(axis: Axes, title: str, xlabel: str | None, ylabel: str | None = None) -> None:
    axis.set_title(title, fontsize=11, loc="left")
    if xlabel:
        axis.set_xlabel(xlabel)
    if ylabel:
        axis.set_ylabel(ylabel)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    axis.grid(visible=True, axis="both" if xlabel else "y", color="#DDDDDD", linewidth=0.6)
    axis.set_axisbelow(True)


def _engineering(value: float, digits: int = 6) -> str:
    """A number with its thousands as k, M, G."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e4, " k")):
        if abs(value) >= size:
            return f"{value / size if unit != ' k' else value / 1e3:.{digits}g}{unit}"
    return f"{value:.{digits}g}"


def _share(energy: np.ndarray) -> np.ndarray:
    total = float(energy.sum())
    return energy / total if total else energy
