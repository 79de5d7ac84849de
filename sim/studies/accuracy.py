"""What the golden model says of a layer under a scheme: SQNR, saturation, energy of the tokens."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sim.studies import notices
from sim.studies.notices import Notice
from sim.task import Shape, Task
from stamp_hw import shuffle
from stamp_hw.config import NpuConfig, ResolvedJob
from stamp_hw.engine import linear, super_tile
from stamp_hw.engine.changes import Passage
from stamp_hw.engine.wire_layer import WireLayer, arrange
from stamp_hw.haar import band_shapes
from stamp_hw.layer import Layer
from stamp_hw.schemes import configure

#: Below this part of the input's range (1000 of 32767) the median token's absmax is warned of (docs/contract.md §3.1).
LOW_HEADROOM = 1000 / 32767


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """What the golden model says of one layer; dB are infinite where there is no noise.

    `s_x`, `s_y` real value of an input and an output step; `x_saturated`, `z_saturated`, `y_saturated` values that
    saturated; `headroom` INT16 code of the median token's absmax.
    """

    sqnr_db: float
    output_sqnr_db: float
    s_x: float
    s_y: float
    x_saturated: int
    z_saturated: int
    y_saturated: int
    headroom: float
    calibration: str
    warnings: tuple[Notice, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TokenEnergy:
    """Energy of tokens, float64[S]: `before` in token order, `after` in coefficient order, with orthonormal norms."""

    before: np.ndarray
    after: np.ndarray
    n_hi: int


def token_limit(shape: Shape, config: NpuConfig) -> int:
    """Tokens of a super-tile for every scheme: those of the configuration's own job."""
    return super_tile.token_limit(Task.of(shape, config).job, config.hw)


def measure(layer: Layer, scheme: str, config: NpuConfig, seed: int, *, values: bool = False
            ) -> tuple[Accuracy, TokenEnergy, Passage | None]:
    """One layer through the golden model under a scheme of `config`; with `values` all that went through it as well.

    Raises
    ------
    ConfigError, LayerError : as `stamp_hw.engine.linear.run_linear`
    """
    own = configure(scheme, config)
    if scheme == "stamp_shuffled":
        # Both SQNRs are sums over tokens, so that undoing the permutation behind the layer would change neither.
        taken = config.job.outliers_of(layer.outliers, len(layer.x))
        order = shuffle.permutation(layer.name, len(layer.x), taken, seed)
        layer = replace(layer, x=layer.x[order])
    result = linear.run_linear(layer, own)
    wire, top = arrange(layer, own), (1 << (config.hw.in_width - 1)) - 1
    warnings = [*notices.of_job(result.job.warnings), *_warnings(wire, result, top)]
    accuracy = Accuracy(
        sqnr_db=result.sqnr_db, output_sqnr_db=result.output_sqnr_db, s_x=result.s_x, s_y=result.s_y,
        x_saturated=result.x_saturated, z_saturated=result.z_saturated, y_saturated=result.y_saturated,
        headroom=result.headroom,
        calibration=result.calibration, warnings=tuple(warnings))
    return accuracy, _token_energy(wire, result), Passage.of(wire, own, result) if values else None


def _warnings(layer: WireLayer, result: linear.LinearResult, top: int) -> list[Notice]:
    """What costs accuracy in the layer's own numbers; `top` is the largest input code."""
    x, low = layer.x[layer.n_sink :], LOW_HEADROOM * top
    peak = float(np.abs(x).max()) / (result.s_x * top)
    found = (
        # Zeros are exact whatever the scale: only a layer that holds something can lose it.
        notices.headroom(result.headroom, low, top) if x.any() else None,
        notices.saturated("x_saturated", "inputs (x)", result.x_saturated, result.y.shape[0] * x.shape[1], peak),
        notices.saturated("h_saturated", "values in the Hadamard unit (h)", result.h_saturated,
                          result.coefficients.size),
        notices.saturated("z_saturated", "output coefficients (z)", result.z_saturated, result.z.size),
        notices.saturated("y_saturated", "outputs (y)", result.y_saturated, result.y.size))
    return [notice for notice in found if notice is not None]


def _token_energy(layer: WireLayer, result: linear.LinearResult) -> TokenEnergy:
    job = result.job
    step = result.step**2 / (1 if result.rotation is None else result.rotation.block)  # H makes B times the energy
    after = _energy(result.coefficients[job.n_sink :]) * norms(job) * step
    return TokenEnergy(before=_energy(layer.x[job.n_sink :]), after=after, n_hi=job.n_hi)


def _energy(values: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.einsum("sk,sk->s", values, values, dtype=np.float64)
    return found


def norms(job: ResolvedJob) -> np.ndarray:
    """Energy of an orthonormal Haar coefficient over that of the lifting's (s a mean, d a difference): float64[S].

    Along one axis a level doubles the energy of s and, on input of gain g, halves that of d: 2g and g/2. Tokens that
    had no partner pass unscaled in hardware and are off by that factor here.
    """
    gains = [4.0**job.levels if job.grid else 2.0**job.levels]
    for level in range(job.levels, 0, -1):
        before = 4.0 ** (level - 1) if job.grid else 2.0 ** (level - 1)
        gains += [before, before, before / 4] if job.grid else [before / 2, 0.0, 0.0]
    shapes = band_shapes(job.levels, job.grid or (1, job.tokens))
    return np.repeat(gains, [rows * columns for rows, columns in shapes])
