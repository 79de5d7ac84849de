"""What a layer's values do to the wires of each block: bits that change from one beat to the next.

What gates take beyond their clocks goes with the bits that change at their registers (docs/asic.md, "What follows the
values"). They are counted here from the golden model's numbers, of a layer's first super-tile, as means a beat; where
a block's work is not one thing a beat, what it does beside is counted with them. The wires are those of
docs/contract.md §3 and §4; none of the figures depends on stalls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from stamp_hw import haar, haar_slots, rescale, scale
from stamp_hw.config import NpuConfig
from stamp_hw.engine import linear, streams, super_tile
from stamp_hw.engine.job import EngineJob
from stamp_hw.engine.linear import LinearResult
from stamp_hw.engine.params import EngineParams
from stamp_hw.engine.super_tile import SuperTile
from stamp_hw.engine.wire_layer import WireLayer, arrange
from stamp_hw.haar_params import HaarParams
from stamp_hw.layer import Layer
from stamp_hw.params import CODE_WIDTH, MacParams, RescaleParams, ScaleParams

COLUMNS = 16  # column tiles that are looked at, the first ones
_ROWS, _CHANNELS = 16, 8  # of a PE's steps: rows of each precision and output channels, evenly spread
_LOW_WIDTH, _PRODUCT_WIDTH, _NIBBLE = 12, 24, 5  # of the packed multiplier, and of a small one's operand


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """The first super-tile of a layer through the golden model: `layer` in the order of the wire, its `config`,
    `result`, registers `job` and division `part`; `tokens` in job order, outliers first."""

    layer: WireLayer
    config: NpuConfig
    result: LinearResult
    job: EngineJob
    part: SuperTile
    tokens: np.ndarray

    @classmethod
    def of(cls, layer: Layer, config: NpuConfig, result: LinearResult | None = None) -> Passage:
        """Of a layer, and what `run_linear` made of it. Raises ConfigError for a job beyond the engine."""
        wired = arrange(layer, config)
        result = linear.run_linear(wired, config) if result is None else result
        params = EngineParams.of(config.hw)
        job = streams.make_job(wired, config, result)
        parts = super_tile.divide(job.resolved, job.tile_width, job.tile_height, params.rows)
        return cls(layer=wired, config=config, result=result, job=job, part=parts[0],
                   tokens=streams.token_order(params, job)[0])

    @property
    def outliers(self) -> int:
        return self.job.n_sink

    @property
    def columns(self) -> list[int]:
        """First channel of each column tile that is looked at."""
        cols = self.config.hw.cols
        return list(range(0, min(self.job.columns, COLUMNS) * cols, cols))

    def of_column(self, values: np.ndarray, column: int) -> np.ndarray:
        """(…, C) of values of all output channels; zeros beyond N."""
        found = values[..., column : column + self.config.hw.cols]
        more = self.config.hw.cols - found.shape[-1]
        return np.pad(found, [(0, 0)] * (found.ndim - 1) + [(0, more)])

    @property
    def rectangle(self) -> tuple[int, int]:
        """(height, width) of the super-tile."""
        return self.part.height, self.part.width

    @property
    def grid(self) -> tuple[int, int] | None:
        return self.rectangle if self.job.two_d else None

    def codes(self) -> np.ndarray:
        """int32[W, K'] that the lifting takes."""
        hw, result = self.config.hw, self.result
        codes, _, _ = linear.quantize_input(self.layer.x, result.s_x, self.outliers, hw.in_width, result.rotation)
        return linear.mix(codes, result.rotation, hw.in_width)[0]

    def sent(self) -> np.ndarray:
        """Tokens in the order in which sums leave the array: that of the rows."""
        rows = self.part.rows.ravel()
        return rows[rows >= 0]

    def arrived(self) -> np.ndarray:
        """Coefficients of the super-tile in the order in which they reach the scale unit, without outliers."""
        return self.part.order[self.outliers :]

    def inverse_table(self) -> tuple[np.ndarray, np.ndarray, haar_slots.Timetable]:
        """Rows of `z` in the order in which the inverse lifting takes them, of `v` as it sends them, and its slots."""
        height, width = self.rectangle
        table = haar_slots.inverse(height * width, self.job.levels, self.grid)
        own = np.sort(self.arrived())  # coefficients of a super-tile, in the rectangle's own order
        raster = np.sort(self.tokens[self.outliers :])
        return own[table.coef[table.coef >= 0]], raster[table.token[table.token >= 0]], table

    def lifted_back(self) -> np.ndarray:
        """int[W, N] in front of the bias, outliers first."""
        outliers, job = self.outliers, self.job
        v = haar.inverse(self.result.z[outliers:], job.levels, job.grid)
        return np.concatenate([self.result.z[:outliers], v]) if outliers else v


def beats(values: np.ndarray, lanes: int) -> np.ndarray:
    """int64 (tokens, channels) → (beats, lanes), the last beat of a token padded with zeros."""
    padded: np.ndarray = np.pad(values, ((0, 0), (0, -values.shape[1] % lanes))).reshape(-1, lanes).astype(np.int64)
    return padded


def changed(values: np.ndarray, width: int, times: np.ndarray | None = None) -> float:
    """Mean over the steps, first axis, of the bits of `width` that differ from the step before, summed over the
    others; each step but the first counted so many `times`."""
    values = np.asarray(values, np.int64)
    if len(values) < 2:
        return 0.0
    differ = (values[1:] ^ values[:-1]) & ((1 << width) - 1 if width < 64 else -1)
    counts = np.bitwise_count(differ.view(np.uint64)).reshape(len(differ), -1).sum(axis=1, dtype=np.int64)
    return float(counts.sum() if times is None else counts @ times) / len(values)


def _lifting(run: Passage) -> dict[str, float]:
    """`in`, `out` beats; `cycles` in which the unit moves, with a beat or without, token `slots`, and butterflies,
    `paired` and `cross`, a beat."""
    hw, job = run.config.hw, run.job
    params = EngineParams.of(hw).haar
    fed = beats(run.codes()[run.tokens[run.outliers :]], hw.lanes)
    made = beats(run.result.coefficients[run.arrived()], hw.lanes)
    table = haar_slots.forward(job.width * job.height, job.levels, job.grid)
    return {"in": changed(fed, params.width), "out": changed(made, params.out_width),
            **_slots(params, table, len(fed) // run.part.tokens)}


def _inverse(run: Passage) -> dict[str, float]:
    """The same of a column tile's output coefficients and its tokens."""
    hw = run.config.hw
    params, lanes, back = EngineParams.of(hw).inverse, hw.drain_lanes, run.lifted_back()
    taken, left, table = run.inverse_table()
    return {"in": _of_columns(run, run.result.z[taken], lanes, params.width),
            "out": _of_columns(run, back[left], lanes, params.out_width), **_slots(params, table, hw.cols // lanes)}


def _slots(params: HaarParams, table: haar_slots.Timetable, of_token: int) -> dict[str, float]:
    busy, tokens = int(np.count_nonzero(table.busy)), int(np.count_nonzero(table.token >= 0))
    cycles = busy * max(of_token, params.min_slot_cycles) + len(table.busy) - busy
    return {"cycles": cycles / (tokens * of_token), "slots": len(table.busy) / (tokens * of_token),
            "paired": int(np.count_nonzero(table.paired)) / tokens,
            "cross": int(np.count_nonzero(table.cross)) / tokens}


def _of_columns(run: Passage, values: np.ndarray, lanes: int, width: int) -> float:
    """Of (tokens, N) values that travel a column tile after the other."""
    return changed(np.concatenate([beats(run.of_column(values, column), lanes) for column in run.columns]), width)


def _scale(run: Passage) -> dict[str, float]:
    """`in` coefficients, which the range tree compares, and `out` codes; `partial` products that change behind c − lo
    shifted to the left, a row of them a bit of the reciprocal that is set; `groups` that are divided, a beat."""
    hw, quantized = run.config.hw, run.result.quantized
    params, order = ScaleParams.of(hw), run.part.order
    values = run.result.coefficients[order].astype(np.int64)
    recip, lz = scale.reciprocal(quantized.span[order].astype(np.int64), quantized.qmax[order, None], params.width,
                                 params.recip_frac)
    shifted = beats(values - quantized.lo[order] << lz, hw.lanes)
    of_token = len(shifted) // len(order)
    rows = np.repeat(np.bitwise_count(recip[:, 0]), of_token)[1:]
    return {"in": changed(beats(values, hw.lanes), params.width),
            "out": changed(beats(quantized.codes[order], hw.lanes), CODE_WIDTH),
            "partial": changed(shifted, params.width, rows.astype(np.int64)), "groups": 1 / of_token}


def some_steps(run: Passage, bits: int) -> tuple[np.ndarray, np.ndarray] | None:
    """(codes int64[n, 2, K], weights int64[m, K]) of some row slots of a precision and some channels; None where no
    token has it."""
    quantized, rows = run.result.quantized, run.part.rows
    own = rows[quantized.bits[rows[:, 0]] == bits]
    if not len(own):
        return None
    own = own[np.unique(np.linspace(0, len(own) - 1, _ROWS).astype(int))]
    codes = np.where(own[..., None] >= 0, quantized.codes[own], 0).astype(np.int64)
    if bits == 8:
        codes[:, 1] = 0
    return codes, _some_weights(run)


def _some_weights(run: Passage) -> np.ndarray:
    """int64[m, K], of some channels."""
    weights = run.result.weights.codes
    found: np.ndarray = weights[np.unique(np.linspace(0, len(weights) - 1, _CHANNELS).astype(int))].astype(np.int64)
    return found


def of_steps(params: MacParams, bits: int, low: np.ndarray, high: np.ndarray, weights: np.ndarray) -> dict[str, float]:
    """What a PE sees a step: its `operand`, its `weight` and their `product`. Of codes (steps, …) of so many bits, one
    of 8 in `low` with `high` zero."""
    if params.split:
        parts = np.stack([low & 15, low >> 4] if bits == 8 else [low, high], axis=1)
        return {"operand": changed(parts, _NIBBLE), "weight": changed(weights, 8),
                "product": changed(parts * weights[:, None], _NIBBLE + 8)}
    packed = (high << _LOW_WIDTH) + low
    return {"operand": changed(packed, _LOW_WIDTH + _NIBBLE), "weight": changed(weights, 8),
            "product": changed(packed * weights, _PRODUCT_WIDTH)}


def _pe(run: Passage, bits: int) -> dict[str, float]:
    found = some_steps(run, bits)
    if found is None and (bits == 4 or not len(run.part.rows) % run.config.hw.rows):
        return {}
    # With no token of 8 bits empty rows alone step as they do.
    codes, weights = found or (np.zeros((1, 2, run.result.quantized.codes.shape[1]), np.int64), _some_weights(run))
    shape = (codes.shape[2], len(codes), len(weights))
    low, high = (np.broadcast_to(codes[:, slot].T[:, :, None], shape) for slot in (0, 1))
    each = np.broadcast_to(weights.T[:, None, :], shape)
    rows, columns = _filled(run, bits)
    filled = {"operand": rows, "weight": columns, "product": rows * columns}
    return {name: filled[name] * value / (shape[1] * shape[2]) for name, value in of_steps(
        MacParams.of(run.config.hw), bits, low, high, each).items()}


def _filled(run: Passage, bits: int) -> tuple[float, float]:
    """(Of the rows that step with a precision, columns) the part that holds a token, or a channel. Empty rows, which
    step as those of 8 bits do, and columns beyond the last channel see zeros."""
    hw, rows = run.config.hw, run.part.rows
    own = int(np.count_nonzero(run.result.quantized.bits[rows[:, 0]] == bits))
    empty = -len(rows) % hw.rows if bits == 8 else 0
    return own / (own + empty), len(run.result.weights.codes) / (run.job.columns * hw.cols)


def tiles(run: Passage) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Array tiles of the columns that are looked at, in order: codes int64[R, 2, K], whether a row holds a pair
    bool[R], weights int64[C, K]."""
    rows = run.config.hw.rows
    slots = np.pad(run.part.rows, ((0, -len(run.part.rows) % rows), (0, 0)), constant_values=-1)
    quantized = run.result.quantized
    codes = np.where(slots[..., None] >= 0, quantized.codes[slots], 0).astype(np.int64)
    pair = (slots[:, 0] >= 0) & (quantized.bits[slots[:, 0]] == 4)
    weights = run.result.weights.codes.astype(np.int64)
    return [(codes[first : first + rows], pair[first : first + rows], run.of_column(weights.T, column).T)
            for column in run.columns for first in range(0, len(slots), rows)]


def entry(codes: np.ndarray, pair: np.ndarray) -> np.ndarray:
    """int64[K, R], the byte of each row and step on the wire."""
    byte = np.where(pair[:, None], (codes[:, 1] & 15) << 4 | codes[:, 0] & 15, codes[:, 0] & 255)
    found: np.ndarray = byte.T
    return found


def _array(run: Passage) -> dict[str, float]:
    """`act` and `wgt` as they enter; `sums` that leave, and how many beats of them (`drained`), a step."""
    hw = run.config.hw
    found = tiles(run)
    act = np.concatenate([entry(codes, pair) for codes, pair, _ in found])
    sums = np.concatenate([(codes.reshape(2 * hw.rows, -1) @ weights.T).reshape(-1, hw.drain_lanes)
                           for codes, _, weights in found])
    return {"act": changed(act, 8), "wgt": changed(np.concatenate([weights.T for _, _, weights in found]), 8),
            "sums": changed(sums, hw.acc_width) * len(sums) / len(act), "drained": len(sums) / len(act)}


def _rescale(run: Passage) -> dict[str, float]:
    """`sum` acc + mid·wsum, `total` T' and `wsum`, an output's."""
    hw, result, quantized = run.config.hw, run.result, run.result.quantized
    params, tokens = RescaleParams.of(hw), run.sent()
    wsum = result.weights.sums(quantized.group)[0].astype(np.int64)
    acc, mid, qmax = result.acc[tokens].astype(np.int64), quantized.mid[tokens, None], quantized.qmax[tokens, None]
    total = acc + mid * wsum
    unit = quantized.span[tokens].astype(np.int64) * total + qmax * quantized.lo[tokens].astype(np.int64) * wsum
    if not run.config.job.symmetric:
        unit[quantized.bits[tokens] == 4] *= 17
    tiled = np.broadcast_to(wsum, acc.shape)
    return {name: _of_columns(run, values, hw.drain_lanes, width) / hw.drain_lanes for name, values, width in (
        ("sum", total, params.sum_width), ("total", unit, params.total_width), ("wsum", tiled, params.wsum_width))}


def _finish(run: Passage) -> dict[str, float]:
    """`in`, `bias` and `out`, an output's."""
    hw, result = run.config.hw, run.result
    back = run.lifted_back()
    _, left, _ = run.inverse_table()
    bias = rescale.integer_bias(run.layer.bias, result.s_y, back.shape[1])
    tiled = np.broadcast_to(bias, (len(left), len(bias)))
    return {name: _of_columns(run, values, hw.drain_lanes, width) / hw.drain_lanes for name, values, width in (
        ("in", back[left], 28), ("bias", tiled, 32), ("out", result.sent[left], 16))}


def _control(run: Passage) -> dict[str, float]:
    """What goes through the engine's buffers a step of the array: `act` and `wgt` out, `in` of the input and `codes`
    that come in, `out` beats."""
    hw, job = run.config.hw, run.job
    found = _array(run)
    steps = run.result.coefficients.shape[1] * job.columns * len(run.part.ready)
    fed = beats(run.codes()[run.tokens], hw.lanes)
    codes = beats(run.result.quantized.codes[run.part.order], hw.lanes)
    made = len(run.tokens) * job.columns * (hw.cols // hw.drain_lanes)
    return {"act": found["act"], "wgt": found["wgt"], "in": changed(fed, hw.in_width) * len(fed) / steps,
            "codes": changed(codes, 8) * len(codes) / steps, "out": made / steps}


_UNITS: Mapping[str, Callable[[Passage], dict[str, float]]] = {
    "lifting": _lifting, "scale": _scale, "pe8": lambda run: _pe(run, 8), "pe4": lambda run: _pe(run, 4),
    "array": _array, "rescale": _rescale, "inverse": _inverse, "finish": _finish, "control": _control,
}


def of_layer(run: Passage, unit: str) -> dict[str, float]:
    """Measure → bits, or events, a beat of a unit; of a PE a step of 8 bits (`pe8`) or of a pair (`pe4`). Empty where
    the layer does no such work, has a scale a block, or the unit is not followed; in hardware with blocks array and
    rescale, whose tiles are a block's."""
    if unit not in _UNITS or run.job.blocks or (run.config.hw.block and unit in ("array", "rescale")):
        return {}
    return _UNITS[unit](run)
