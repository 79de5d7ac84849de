"""What each width of the hardware costs in accuracy: integer arithmetic against the same job in float, layer by layer.

One parameter changes at a time, the others stay as configured. Float STaMP is the paper's arithmetic: the orthonormal
Haar wavelet and the min-max quantizer in float64, no INT16 input, no lifting, no reciprocal, no rescale. Both read the
same input and multiply by the same quantized weights, so that the difference is the integers' alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sim.paper import quantizer, transforms
from stamp_hw import scale
from stamp_hw.config import NpuConfig
from stamp_hw.engine import linear
from stamp_hw.engine.wire_layer import arrange
from stamp_hw.errors import StampError
from stamp_hw.layer import Layer
from stamp_hw.weights import quantize_weights

#: A width is wide enough where no layer loses more than so many dB, at its input or its output.
LIMIT_DB = 0.05
_EXACT_DB = 150.0  # beyond it float noise is rounding
HARDWARE: dict[str, tuple[int, ...]] = {"in_width": tuple(range(8, 17)), "recip_frac": tuple(range(9)),
                                        "z_frac": tuple(range(5))}
JOB: dict[str, tuple[int | str, ...]] = {"scale_mode": ("minmax", "symmetric"),
                                         "n_hi": (0, "1/64", "1/32", "1/16", "1/8", "1/4")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """One layer at one value: SQNR in dB of the quantized input and of the output, in float and in integers."""

    sqnr_db: float
    engine_sqnr_db: float
    output_sqnr_db: float
    engine_output_sqnr_db: float

    @property
    def loss_db(self) -> float:
        """What the integers cost, at the input or the output, whichever is more; negative where they win."""
        return max(_less(self.sqnr_db, self.engine_sqnr_db), _less(self.output_sqnr_db, self.engine_output_sqnr_db))


Study = dict[str, dict[int | str, dict[str, Cost]]]  # parameter → value → layer → cost


def values_of(layers: Sequence[Layer], config: NpuConfig) -> dict[str, tuple[int | str, ...]]:
    """Parameter → values to try; levels from none to one more than any layer's own job has, as the hardware allows."""
    most = max(linear.resolve(layer, config.for_kind(layer.kind).with_job(levels="auto")).levels for layer in layers)
    limit = config.hw.max_levels // (2 if any(layer.grid for layer in layers) else 1)
    return {**HARDWARE, **JOB, "levels": tuple(range(min(most + 1, limit) + 1))}


def run(layers: Sequence[Layer], config: NpuConfig, progress: Callable[[str], None] = lambda line: None) -> Study:
    """Every value of every parameter on every layer that is transformed, as its kind's job has it otherwise.

    Layers that float STaMP reproduces to its own rounding (zeros, equal tokens) say nothing of widths and are left out.
    Raises StampError where no layer is left.
    """
    chosen = [layer for layer in layers if layer.transform
              and max(float_sqnr(layer, config.for_kind(layer.kind))) < _EXACT_DB]
    if not chosen:
        raise StampError("no layer that is transformed and has noise", where="widths",
                         expected="layers of a sequence or a grid")
    values = values_of(chosen, config)
    study: Study = {name: {value: {} for value in tried} for name, tried in values.items()}
    for number, layer in enumerate(chosen, 1):
        base = config.for_kind(layer.kind)
        floats: dict[NpuConfig, tuple[float, float]] = {}
        for name, tried in values.items():
            progress(f"layer {number} of {len(chosen)}, {name}: {layer.name}")
            for value in tried:
                # A width is nothing to float STaMP, a register is.
                narrow = base.with_hw(**{name: value}) if name in HARDWARE else base.with_job(**{name: value})
                ideal = base if name in HARDWARE else narrow
                if ideal not in floats:
                    floats[ideal] = float_sqnr(layer, ideal)
                result = linear.run_linear(layer, narrow)
                study[name][value][layer.name] = Cost(
                    sqnr_db=floats[ideal][0], output_sqnr_db=floats[ideal][1], engine_sqnr_db=result.sqnr_db,
                    engine_output_sqnr_db=result.output_sqnr_db)
    return study


def float_sqnr(layer: Layer, config: NpuConfig) -> tuple[float, float]:
    """SQNR in dB of input and output of a layer under `config`'s job in float; weights quantized as in the engine."""
    layer = arrange(layer, config)
    own, job = layer.own, linear.resolve(layer, config)
    x = layer.x.astype(np.float64)
    transform = transforms.haar(job.tokens, job.levels, job.grid)
    c = np.concatenate([x[: job.n_sink], transform.forward(x[job.n_sink :])])
    bits = scale.precision_map(job.tokens, job.n_hi, job.n_sink)
    coded = quantizer.quantize(c, bits, symmetric=config.job.symmetric, group=config.job.group)
    error = np.concatenate([coded[: job.n_sink], transform.inverse(coded[job.n_sink :])]) - x
    weight = quantize_weights(layer.weight, config.job.weight_bits, config.job.weight_group).real()
    reference = layer.x[own] @ weight.T + (0 if layer.bias is None else layer.bias)
    return _decibels(x[own], error[own]), _decibels(reference, error[own].astype(np.float32) @ weight.T)


def narrowest(study: Study) -> dict[str, int | None]:
    """Hardware parameter → the least value from which on no layer loses more than `LIMIT_DB`; None if all lose."""
    found: dict[str, int | None] = {}
    for name in HARDWARE:
        found[name] = None
        for value in sorted(study[name], reverse=True):
            if max(cost.loss_db for cost in study[name][value].values()) > LIMIT_DB:
                break
            found[name] = int(value)
    return found


def document(study: Study, config: NpuConfig) -> dict[str, object]:
    """The study as JSON: a row a value, with means, the worst layer, and the loss of every layer in dB."""
    return {"limit_db": LIMIT_DB, "narrowest": narrowest(study), "config": config.to_dict(), "rows": [
        {"parameter": name, "value": value, **summary(layers),
         "layers": {layer: round(cost.loss_db, 4) for layer, cost in layers.items()}}
        for name, tried in study.items() for value, layers in tried.items()]}


def summary(layers: Mapping[str, Cost]) -> dict[str, object]:
    """Means over layers in dB, and the layer that loses most."""
    worst = max(layers, key=lambda name: layers[name].loss_db)
    costs = list(layers.values())
    return {"sqnr_db": _mean(cost.sqnr_db for cost in costs),
            "engine_sqnr_db": _mean(cost.engine_sqnr_db for cost in costs),
            "output_sqnr_db": _mean(cost.output_sqnr_db for cost in costs),
            "engine_output_sqnr_db": _mean(cost.engine_output_sqnr_db for cost in costs),
            "loss_db": _mean(cost.loss_db for cost in costs),
            "worst_loss_db": round(layers[worst].loss_db, 4), "worst_layer": worst}


def _mean(values: Iterable[float]) -> float:
    return round(float(np.mean(list(values))), 4)


def _less(before: float, after: float) -> float:
    return 0.0 if math.isinf(before) and math.isinf(after) else before - after


def _decibels(signal: np.ndarray, noise: np.ndarray) -> float:
    power, rest = (float(np.sum(np.square(values, dtype=np.float64))) for values in (signal, noise))
    return linear.decibels(power, rest)
