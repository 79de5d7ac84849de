"""The table of `stamp-hw eval`, with the digits that hold on other processors (docs/eval.md, "Digits").

The integers are the same everywhere; what stands between the layers (attention, norms, softmax) is float, and its last
bits are the processor's. A code that falls to the other side of a tie for them is another rounding noise of the same
size, so that a figure of a few windows or prompts moves by about its standard error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

_MOST = 4  # decimals
_LAYERS = 12  # of those with outliers
_COSTLY = 8  # layers of those that cost most
_UNKNOWN = 2  # significant digits of a figure whose error is not known: one window has none


def render(document: Mapping[str, Any]) -> str:
    """The table, and what it means."""
    return "\n".join([table(document), "", *_kinds(document), *_costly(document), *_outliers(document),
                      *_notes(document)])


def table(document: Mapping[str, Any], width: int | None = None) -> str:
    """A line a scheme, folded at `width` columns, or those of the terminal."""
    from stamp_hw.text import align

    saturated = "xhy" if any(row.get("h_saturated") for row in document["rows"]) else "xy"
    text, predicted = document["kind"] == "text", any("expected_kl" in row for row in document["rows"])
    columns: tuple[tuple[str, Callable[[Mapping[str, Any]], str]], ...] = (
        ("bits", lambda row: number(row["average_bits"], 3)),
        ("with scales", lambda row: number(row.get("average_bits_with_scales"), 3)),
        *((("perplexity", _perplexity),
           ("Δ loss", lambda row: with_error(row["loss_difference"], row["loss_difference_error"], sign="+")),
           ("KL nats/token", lambda row: with_error(row["kl"], row["kl_error"])),
           *([("expected", lambda row: _expected(row.get("expected_kl")))] if predicted else [])) if text else
          (("latent SQNR dB", lambda row: number(row["latent_sqnr_db"], 0)),
           ("picture SQNR dB", lambda row: number(row["picture_sqnr_db"], 0)),
           ("picture PSNR dB", lambda row: number(row["picture_psnr_db"], 0)))),
        ("layers dB", lambda row: number(row.get("layer_sqnr_db"), 1)),
        ("worst dB", lambda row: number(row.get("worst_sqnr_db"), 1)),
        ("worst layer", lambda row: row.get("worst_layer", "–")),
        (f"saturated {', '.join(saturated)}", lambda row: ", ".join(
            about(row[f"{place}_saturated"]) for place in saturated) if "x_saturated" in row else "–"),
    )
    rows = [(row["scheme"], *(cell(row) for _, cell in columns)) for row in document["rows"]]
    return align(("model", *(name for name, _ in columns)), rows, width=width)


def _kinds(document: Mapping[str, Any]) -> list[str]:
    """Mean dB of the layers of each kind, a line a scheme."""
    from stamp_hw.text import align

    rows = [row for row in document["rows"] if row.get("kinds")]
    if not rows or len(rows[0]["kinds"]) < 2:
        return []
    kinds = list(rows[0]["kinds"])
    lines = [(row["scheme"], *(number(row["kinds"].get(kind), 1) for kind in kinds)) for row in rows]
    return ["Layers dB by kind (--json has them by block and by layer):", align(("model", *kinds), lines), ""]


def _costly(document: Mapping[str, Any]) -> list[str]:
    """The layers that should add most to the divergence, under the last scheme."""
    from stamp_hw.text import align

    row = document["rows"][-1]
    if "expected_by_layer" not in row:
        return []
    layers = row["expected_by_layer"]
    most = sorted(layers, key=lambda name: -layers[name])[:_COSTLY]
    lines = [(name, _expected(layers[name]), f"{layers[name] / row['expected_kl']:.0%}") for name in most]
    return [f"Layers that should add most to the KL divergence under {row['scheme']}:",
            align(("layer", "nats/token", "of all"), lines, left=1), ""]


def _expected(value: float | None) -> str:
    """An expected divergence: two significant digits."""
    return "–" if value is None else f"{float(f'{value:.1e}'):g}"


def _said(which: Any) -> str:
    return which if isinstance(which, str) else "tokens " + ", ".join(map(str, which))


def _outliers(document: Mapping[str, Any]) -> list[str]:
    """How many tokens were kept out of the transform, and a line a layer in which they were others than the first."""
    from stamp_hw.text import align, plural

    if document["kind"] != "text" or document["quantized"] != "layers":
        return []
    layers = document["rows"][-1].get("layers", {})
    found = sorted((name for name in layers if layers[name]["outliers"]), key=lambda name: -layers[name]["outliers"])
    if not found:
        return ["No outlier tokens.", ""]
    count = sum(layers[name]["outliers"] for name in found)
    more = [name for name in found if layers[name]["places"] != [0]]
    lines = [(name, f"{layers[name]['outliers'] / document['windows']:.1f}",
              ", ".join(map(str, layers[name]["places"]))) for name in more[:_LAYERS]]
    said = f"Outlier tokens, kept out of the transform: {count:,} in {plural(len(found), 'layer')} of {len(layers)}"
    if not more:
        return [f"{said}, the first of a window each.", ""]
    rest = [f"and {plural(len(more) - _LAYERS, 'more layer')} with fewer"] if len(more) > _LAYERS else []
    return [f"{said}; others than the first of a window in {plural(len(more), 'layer')} under "
            f"{document['rows'][-1]['scheme']}:",
            align(("layer", "a window", "the most frequent positions"), lines, left=1), *rest, ""]


def _notes(document: Mapping[str, Any]) -> list[str]:
    """What was measured, and how far the digits hold."""
    if document["kind"] == "text":
        what = (f"{document['tokens']:,} predicted tokens of {document['text']}, {document['windows']} windows of "
                f"{document['length']}, outliers: {_said(document['outliers'])}; ± one standard error over windows. ")
        what += (f"Decode: the last {document['decode']} tokens of a window, a token a run." if document["decode"] else
                 "Prefill: in a causal model the transform mixes later tokens into the rounding noise of earlier ones.")
        if document["quantized"] == "cache":
            return [what, "Keys and values are quantized, a scale a token and head; all else is float.", _DIGITS]
    else:
        what = (f"{len(document['prompts'])} prompts, {document['inference_steps']} steps, grid "
                f"{document['grid'][0]} × {document['grid'][1]}, seed {document['seed']}, guidance "
                f"{document['guidance']:g}; against the float model's latent and picture.")
    if "cost" in document and document["cost"]["cpu_s_a_window"]:
        seconds = document["cost"]["cpu_s_a_window"]
        jobs = f" in each of {count} processes" if (count := document["cost"].get("jobs", 1)) > 1 else ""
        ratios = ", ".join(f"{name} {seconds[name] / seconds['float']:.1f} ×" for name in seconds if name != "float")
        what += (f"\nProcessor time of a window: float {seconds['float']:.1f} s, {ratios}, each but `weights` with the "
                 f"float layers to compare with; memory at most {document['cost']['peak_mb']:,.0f} MB{jobs}.")
    return [
        what,
        f"Weights: {document['weights']}; rotation: {document['rotation']}; scales: {document['calibration']}"
        f"{', and a mean of each channel' if document.get('center') else ''}. "
        "`weights`: the integers' weights under float activations. Layers: output against the float layer on the same "
        "input.",
        "All figures are measured on the bit-accurate model; attention, norms and embeddings run in float.",
        _DIGITS]


_DIGITS = ("Digits: the last one moves with the processor's float kernels (docs/eval.md); --json has all, as this one "
           "gave them.")


def number(value: float | None, decimals: int) -> str:
    """So many decimals; a dash for none."""
    if value is None:
        return "–"
    return "∞" if math.isinf(value) else f"{value:.{decimals}f}"


def decimals_of(error: float) -> int:
    """Decimals down to the first digit of a standard error, as it is rounded; negative for one of 10 and more."""
    return min(_MOST, -math.floor(math.log10(float(f"{error:.0e}"))))


def with_error(value: float, error: float, sign: str = "") -> str:
    """`0.130 ± 0.002`: to the first digit of the error; without an error two significant digits, and nothing exact."""
    if not math.isfinite(value):
        return number(value, 0)
    if not math.isfinite(error):
        return f"{float(f'{value:.{_UNKNOWN - 1}e}'):{sign}g}"
    if error == 0:
        return f"{value:g}"
    places = decimals_of(error)
    shown = max(0, places)
    return f"{round(value, places):{sign}.{shown}f} ± {round(error, places):.{shown}f}"


def _perplexity(row: Mapping[str, Any]) -> str:
    """exp of a loss: its error is that of the difference of loss, times the perplexity; the float model's has none."""
    value, error = row["perplexity"], row["loss_difference_error"]
    if row["scheme"] == "float":
        return number(value, 2)
    return with_error(value, error * value)


def about(count: int) -> str:
    """A count of saturated values, which moves by a third: one significant digit."""
    return str(count) if count < 10 else f"~{float(f'{count:.0e}'):,.0f}"
