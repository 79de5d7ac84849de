"""The job of each kind of layer that gives the most SQNR at a budget of average bits.

For every layer and every candidate job the noise that the quantizer leaves in the layer's output is measured, bit by
bit, on calibration tokens. A kind's score is the sum over its layers of their SQNR in dB; the choice is exact: of all
combinations of a candidate a kind, the one with the largest mean over layers whose average bits are within the budget.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from stamp_hw import haar, scale
from stamp_hw.config import NpuConfig
from stamp_hw.engine import linear
from stamp_hw.engine.wire_layer import arrange
from stamp_hw.errors import StampError
from stamp_hw.layer import Layer

#: Parts of the tokens that may take 8 bits, from none to all.
N_HI: tuple[int | str, ...] = (0, "1/64", "1/32", "1/16", "1/8", "1/4", "1/2", "1/1")
SCALE_MODES = ("minmax", "symmetric")
_STEP = 1e-6  # dB and bits below which two candidates count as equal: the simpler one, which comes first, stays


@dataclass(frozen=True, slots=True, order=True)
class Choice:
    """Job registers of a kind; `levels` 0 is no transform."""

    levels: int
    n_hi: int | str
    scale_mode: str

    def apply(self, config: NpuConfig) -> NpuConfig:
        """`config` with this job."""
        return config.with_job(levels=self.levels, n_hi=self.n_hi, scale_mode=self.scale_mode)


@dataclass(frozen=True, slots=True)
class Option:
    """A choice for a kind: `bits` · `values` activation bits in all its layers, `score` the sum of their SQNR in dB."""

    choice: Choice
    bits: float
    score: float


def halves(layer: Layer) -> tuple[Layer, Layer]:
    """(calibration, held out): the first and the second half of the tokens, of a grid the upper and the lower rows.

    Static scales stay, and outliers. For `divisible` layers.
    """
    row = 1 if layer.grid is None else layer.grid[1]
    rows = len(layer.x) // row
    middle = rows // 2 * row
    upper, lower = (None, None) if layer.grid is None else ((rows // 2, row), (rows - rows // 2, row))
    return (replace(layer, x=layer.x[:middle], grid=upper,
                    outliers=tuple(one for one in layer.outliers if one < middle)),
            replace(layer, x=layer.x[middle:], grid=lower,
                    outliers=tuple(one - middle for one in layer.outliers if one >= middle)))


def divisible(layer: Layer) -> bool:
    """The layer has two tokens, or two rows, of which one can be held out."""
    return len(layer.x) >= 2 * (1 if layer.grid is None else layer.grid[1])


def candidates(config: NpuConfig, layers: Sequence[Layer]) -> list[Choice]:
    """Every choice that the hardware has for these layers, the simplest first."""
    most = config.hw.max_levels // (2 if any(layer.grid for layer in layers) else 1)
    if not any(layer.transform for layer in layers):
        most = 0
    # A level halves an axis: more of them than that are the identity.
    longest = max(max(layer.grid) if layer.grid else len(layer.x) for layer in layers)
    most = min(most, math.ceil(math.log2(max(longest, 2))))
    return [Choice(levels, n_hi, mode) for mode in SCALE_MODES for levels in range(most + 1) for n_hi in N_HI]


def sqnr(layer: Layer, config: NpuConfig, choices: Iterable[Choice]) -> dict[Choice, tuple[float, float]]:
    """Choice → (SQNR of the output in dB, average bits): what the quantizer of the input leaves, through the layer's
    quantized weights; exact integers up to the dequantized coefficients.

    Raises LayerError and ConfigError as `run_linear` does.
    """
    _, weight = linear.weights_of(layer, config)
    layer = arrange(layer, config)
    reference = layer.x @ weight.T
    power = float(np.einsum("sn,sn->", reference[layer.own], reference[layer.own], dtype=np.float64))
    job = linear.resolve(layer, config)
    s_x, _, calibration = linear.calibrate(layer, config, reference)
    rotation, width = linear.rotation_of(layer, config, s_x, calibration), config.hw.in_width
    codes, shift, _ = linear.quantize_input(layer.x, s_x, job.n_sink, width, rotation)
    codes, _ = linear.mix(codes, rotation, width)
    lifted: dict[int, np.ndarray] = {}
    found = {}
    for choice in choices:
        own = choice.apply(config)
        job = linear.resolve(layer, own)
        if job.levels not in lifted:
            body = haar.forward(codes[job.n_sink :], job.levels, job.grid)
            lifted[job.levels] = np.concatenate([codes[: job.n_sink], body])
        bits = scale.precision_map(job.tokens, job.n_hi, job.n_sink)
        real = linear.reconstruct(scale.quantize(lifted[job.levels], bits, own, shift), job, rotation,
                                  layer.x.shape[1])
        error = (real * np.float32(s_x) - layer.x)[layer.own] @ weight.T
        noise = float(np.einsum("sn,sn->", error, error, dtype=np.float64))
        found[choice] = linear.decibels(power, noise), job.average_bits
    return found


def options(found: Sequence[Mapping[Choice, tuple[float, float]]], values: Sequence[int]) -> list[Option]:
    """Of a kind whose layers have `values` activations each: for every number of bits the best choice."""
    best: dict[int | str, Option] = {}  # by n_hi, which alone decides the bits
    # A layer without noise or without a signal has no say: whatever is chosen, it is exact, or worth nothing.
    heard = [one for one in found if all(math.isfinite(decibels) for decibels, _ in one.values())]
    for choice in found[0]:
        option = Option(choice, sum(one[choice][1] * count for one, count in zip(found, values, strict=True)),
                        sum(one[choice][0] for one in heard))
        before = best.get(choice.n_hi)
        if before is None or option.score > before.score + _STEP:
            best[choice.n_hi] = option
    return list(best.values())


def choose(kinds: Mapping[str, Sequence[Option]], budget: float, values: int) -> dict[str, Choice]:
    """Kind → choice: the largest sum of scores of at most `budget` bits for all `values`. Raises StampError where none
    fits."""
    front: list[tuple[float, float, tuple[Choice, ...]]] = [(0.0, 0.0, ())]
    for ways in kinds.values():
        merged = sorted(((bits + way.bits, score + way.score, (*made, way.choice))
                         for bits, score, made in front for way in ways), key=lambda one: (one[0], -one[1]))
        front = []
        for one in merged:
            if one[0] <= budget * (1 + _STEP) and (not front or one[1] > front[-1][1] + _STEP):
                front.append(one)
    if not front:
        least = sum(min(way.bits for way in ways) for ways in kinds.values())
        raise StampError("budget below what the layers need", where="--bits", got=budget / values,
                         expected=f"at least {least / values:g}")
    return dict(zip(kinds, front[-1][2], strict=True))


@dataclass(frozen=True, slots=True)
class Tuned:
    """`kinds` choice of each; `rows` a line a layer: name, kind, (dB, bits) of the configuration's own job and of the
    choice, on held-out tokens."""

    kinds: dict[str, Choice]
    rows: list[tuple[str, str, tuple[float, float], tuple[float, float]]]
    values: list[int]

    def config(self, config: NpuConfig) -> NpuConfig:
        """`config` with a job for each kind."""
        return replace(config, kinds=tuple((kind, choice.apply(config).job) for kind, choice in self.kinds.items()))


def tune(calibration: Sequence[Layer], held_out: Sequence[Layer], config: NpuConfig, bits: float | None,
         progress: Callable[[str], None] = lambda line: None) -> Tuned:
    """Choose on `calibration` within `bits` an activation (None: as many as the configuration's own job takes there),
    measure on `held_out`. Raises StampError for what a layer or the job was refused for."""
    config.check_n_hi((layer.kind, len(layer.x)) for layer in (*calibration, *held_out))
    by_kind: dict[str, list[int]] = {}
    for index, layer in enumerate(calibration):
        by_kind.setdefault(layer.kind, []).append(index)
    values = [layer.x.size for layer in calibration]
    found: dict[int, dict[Choice, tuple[float, float]]] = {}
    kinds: dict[str, list[Option]] = {}
    for kind, indices in by_kind.items():
        layers = [calibration[index] for index in indices]
        for index, layer in zip(indices, layers, strict=True):
            progress(f"calibrating {len(found) + 1}/{len(calibration)}: {layer.name}")
            found[index] = sqnr(layer, config, candidates(config, layers))
        kinds[kind] = options([found[index] for index in indices], [values[index] for index in indices])
    if bits is None:
        budget = sum(linear.resolve(layer, config).average_bits * layer.x.size for layer in calibration)
    else:
        budget = bits * sum(values)
    chosen = choose(kinds, budget, sum(values))
    rows = []
    for number, layer in enumerate(held_out, 1):
        progress(f"measuring {number}/{len(held_out)}: {layer.name}")
        job = linear.resolve(layer, config)
        own = Choice(job.levels, job.n_hi, config.job.scale_mode)
        both = sqnr(layer, config, (own, chosen[layer.kind]))
        rows.append((layer.name, layer.kind, both[own], both[chosen[layer.kind]]))
    return Tuned(chosen, rows, [layer.x.size for layer in held_out])
