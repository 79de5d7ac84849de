"""Every row on every layer: noise in float, the same in integer arithmetic where the hardware has it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sim.ablate import rows
from sim.ablate.fit import Fit
from sim.ablate.rows import Plan, Row, Tokens
from sim.paper import quantizer
from sim.paper.transforms import Transform, klt
from sim.studies.study import place
from stamp_hw import features, scale, shuffle
from stamp_hw.config import NpuConfig
from stamp_hw.engine import linear
from stamp_hw.errors import StampError
from stamp_hw.formats.trace import Trace
from stamp_hw.layer import Layer
from stamp_hw.outliers import places
from stamp_hw.weights import quantize_weights

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One row on one layer; dB are infinite where there is no noise.

    `average_bits`; `sqnr_db` of the input, quantized and transformed back; `bound_sqnr_db` what theorem 1 guarantees of
    it; `noise_over_bound` measured noise as a part of that bound; `output_sqnr_db` of the output against the float
    layer with the same quantized weights; `total_output_sqnr_db` against the layer with float weights; `engine_sqnr_db`
    and `engine_output_sqnr_db` of the integer engine, None where the hardware has no such transform; `values` S·K.
    """

    average_bits: float
    sqnr_db: float
    bound_sqnr_db: float
    noise_over_bound: float
    output_sqnr_db: float
    total_output_sqnr_db: float
    engine_sqnr_db: float | None
    engine_output_sqnr_db: float | None
    values: int


Study = dict[str, dict[Row, Figures]]


@dataclass(frozen=True, slots=True, eq=False)
class _Products:
    """What all rows of a feature transform share: the folded layer, its quantized weights float32[N, K], energies of
    input and of the two reference outputs, and the output's error float32[S, N] that the weights alone make."""

    layer: Layer
    weight: np.ndarray
    input_power: float
    output_power: float
    total_power: float
    weight_error: np.ndarray


def tokens_of(trace: Trace, name: str, config: NpuConfig) -> Tokens:
    """A layer's tokens, from the trace's header."""
    entry = trace.entry(name)
    job = config.for_kind(entry.kind).job
    count = trace.tensor(entry.input).shape[0]
    sinks = job.outliers_of(entry.outliers, count)
    if sinks and entry.grid is not None:
        raise StampError("outliers do not fit the layer", where=f"job.outliers, layer {name}", got=list(sinks),
                         expected="none on a grid")
    return Tokens(name=name, kind=entry.kind, count=count, grid=entry.grid, sinks=sinks)


def run(trace: Trace, fit: Fit, config: NpuConfig, layers: Sequence[Tokens], plan: Plan, seed: int,
        progress: Progress = lambda _line: None) -> Study:
    """Layer → row → figures; a layer is in memory at a time. `seed` draws rotation signs and permutations.

    Raises
    ------
    StampError : what a layer, a fit sequence or the job was refused for; `where` names trace and layer
    """
    study: Study = {}
    shared: dict[str, np.ndarray] = {}
    for index, tokens in enumerate(layers):
        try:
            layer = trace.layer(tokens.name)
            own = config.for_kind(layer.kind)
            scales = features.smooth_scales(
                fit.absmax(layer) if fit else np.abs(layer.x).max(axis=0).astype(np.float64),
                _weight_absmax(trace, tokens.name, shared))
            found: dict[Row, Figures] = {}
            for feature in plan.features:
                progress(f"layer {index + 1} of {len(layers)}, feature transform {feature}: {tokens.name}")
                smooth = scales if feature == "smooth" else None
                folded = fold(layer, feature, scales, seed)
                sequences = [x if smooth is None else x / smooth for x in fit.inputs(layer)] if fit else []
                found |= _feature_rows(folded, tokens, feature, plan, sequences, own, seed)
        except StampError as error:
            if error.where.startswith("--fit"):
                raise
            where = place(str(trace.path), tokens.name, error.where)
            raise type(error)(error.what, where=where, got=error.got, expected=error.expected) from error
        study[tokens.name] = found
    return study


def fold(layer: Layer, feature: str, scales: np.ndarray, seed: int) -> Layer:
    """The layer under a feature transform; `scales` are SmoothQuant's."""
    if feature == "hadamard":
        return features.apply(layer, rotation=features.hadamard(layer.x.shape[1], seed))
    return features.apply(layer, scales=scales) if feature == "smooth" else layer


def _weight_absmax(trace: Trace, name: str, shared: dict[str, np.ndarray]) -> np.ndarray:
    """float64[K] over all layers that read this input: their scales fold into one norm or product in front of them."""
    source = trace.entry(name).input
    if source not in shared:
        readers = [other for other in trace.layer_names if trace.entry(other).input == source]
        shared.clear()
        shared[source] = np.max([np.abs(trace.layer(other).weight).max(axis=0) for other in readers], axis=0)
    return shared[source].astype(np.float64)


def _feature_rows(layer: Layer, tokens: Tokens, feature: str, plan: Plan, sequences: Sequence[np.ndarray],
                  config: NpuConfig, seed: int) -> dict[Row, Figures]:
    """All rows of a feature transform on its folded layer."""
    weight = quantize_weights(layer.weight, config.job.weight_bits, config.job.weight_group).real()
    clean, exact = layer.x @ weight.T, layer.x @ layer.weight.T
    bias = 0 if layer.bias is None else layer.bias
    products = _Products(layer, weight, _power(layer.x), _power(clean + bias), _power(exact + bias), clean - exact)
    found: dict[Row, Figures] = {}
    for sinks in plan.sinks:
        out = () if sinks == "in" else tokens.sinks
        wire, own = places(tokens.count, out)
        kept = len(out)
        fitted: list[Transform] = []  # the KLT, made when the first row wants it

        def fitted_klt(wire: np.ndarray = wire[kept:], fitted: list[Transform] = fitted) -> Transform:
            if not fitted:
                fitted.append(klt([x[wire] for x in sequences]))
            return fitted[0]

        for variant in plan.variants:
            transform = rows.build(variant, tokens.count, layer.grid, fitted_klt)
            order = (shuffle.permutation(layer.name, tokens.count, out, seed) if variant.shuffled else
                     np.arange(tokens.count))
            x = layer.x[order[wire]].astype(np.float64)
            c = np.concatenate([x[:kept], transform.forward(x[kept:])])
            for high in (False, True):
                row = Row(feature=feature, sinks=sinks, variant=variant, high=high)
                found[row] = _figures(products, x, c, transform, order, row, out, own, config)
    return found


def _figures(products: _Products, x: np.ndarray, c: np.ndarray, transform: Transform, order: np.ndarray, row: Row,
             out: tuple[int, ...], own: np.ndarray, config: NpuConfig) -> Figures:
    layer, symmetric, kept = products.layer, config.job.symmetric, len(out)
    n_hi = rows.n_hi(len(own), config) if row.high else 0
    bits = scale.precision_map(len(own), n_hi, kept)
    coded = quantizer.quantize(c, bits, symmetric=symmetric, group=config.job.group)
    error = (np.concatenate([coded[:kept], transform.inverse(coded[kept:])]) - x)[own]
    lost = error.astype(np.float32) @ products.weight.T
    noise, most = float(np.sum(error * error)), quantizer.bound(c, bits, symmetric=symmetric)
    real = _engine(layer, row, order, n_hi, out, config)
    return Figures(
        average_bits=float(bits.sum() / len(own)), sqnr_db=linear.decibels(products.input_power, noise),
        bound_sqnr_db=linear.decibels(products.input_power, most), noise_over_bound=noise / most if most else 0.0,
        output_sqnr_db=linear.decibels(products.output_power, _power(lost)),
        total_output_sqnr_db=linear.decibels(products.total_power, _power(lost + products.weight_error[order])),
        engine_sqnr_db=None if real is None else real.sqnr_db,
        engine_output_sqnr_db=None if real is None else real.output_sqnr_db, values=error.size)


def _engine(layer: Layer, row: Row, order: np.ndarray, n_hi: int, out: tuple[int, ...], config: NpuConfig
            ) -> linear.LinearResult | None:
    """The bit-accurate model on the same row, or None."""
    variant = row.variant
    if not rows.in_hardware(variant, layer.grid, config):
        return None
    grid = layer.grid if variant.transform == "haar" else None
    job = replace(layer, grid=grid, outliers=out, x=layer.x[order])
    own = config.with_job(levels=variant.levels or 0, n_hi=n_hi, outliers="auto")
    unscaled = not set(layer.outliers) <= set(out)
    if unscaled:
        # The trace's s_x was measured without its outliers: with one in the transform it is no range of this tensor.
        job = replace(job, s_x=None, s_y=None)
    if own.job.calibration == "static" and (row.feature != "none" or unscaled):
        own = own.with_job(calibration="self")
    return linear.run_linear(job, own)


def _power(values: np.ndarray) -> float:
    return float(np.sum(np.square(values, dtype=np.float64)))
