"""What a layer of one super-tile drives through each block: the beats of its streams, in the order in which they come
in an engine.

Values are the golden model's, one scale a token; stalls are the engine's business.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rtl_gen.delivery.vectors import Vectors, in_a_row
from rtl_gen.scale.unit import job_layout
from stamp_hw import rescale as rescaling
from stamp_hw.engine import changes, streams
from stamp_hw.engine.changes import Passage, beats
from stamp_hw.params import ScaleParams


def _ends(tokens: int, of_token: int) -> np.ndarray:
    return np.tile(np.arange(of_token) == of_token - 1, tokens)


def scale(run: Passage) -> Vectors:
    """Coefficients as they arrive, and their codes."""
    hw, found, order = run.config.hw, run.result.quantized, run.part.order
    params = ScaleParams.of(hw)
    job = params.job(tokens=len(order), k=found.codes.shape[1], symmetric=run.config.job.symmetric)
    high = np.repeat(found.bits[order] == 8, job.beats)
    out = {"codes": beats(found.codes[order], hw.lanes), "hi": high, "lo": np.repeat(found.lo[order, 0], job.beats),
           "span": np.repeat(found.span[order, 0], job.beats), "last": _ends(len(order), job.beats)}
    if hw.block:  # codes on the wire are q
        zero = np.repeat(found.mid[order], job.beats)
        out |= {"codes": out["codes"] + zero[:, None], "zero": zero, "group_ends": out["last"]}
    return Vectors(
        inputs={"job": {name: [getattr(job, name)] for name in job_layout(params).members},
                "i": {"values": beats(run.result.coefficients[order], hw.lanes), "hi": high}},
        outputs={"o": out})


def array(run: Passage) -> Vectors:
    """Steps of the array tiles, and their sums."""
    hw, fed, wanted = run.config.hw, [], []
    chunks = hw.cols // hw.drain_lanes
    for codes, pair, weights in changes.tiles(run):
        act = changes.entry(codes, pair)
        fed.append({"act": act, "mode4": np.tile(pair, (len(act), 1)), "wgt": weights.T,
                    "last": np.arange(len(act)) == len(act) - 1})
        beat = np.arange(2 * hw.rows * chunks)
        token = beat // chunks
        wanted.append({"acc": (codes.reshape(2 * hw.rows, -1) @ weights.T).reshape(-1, hw.drain_lanes),
                       "row": token // 2, "slot": token % 2, "empty": (token % 2 == 1) & ~pair[token // 2],
                       "last": beat == len(beat) - 1})
    return Vectors(inputs={"i": in_a_row(fed)}, outputs={"o": in_a_row(wanted)})


def rescale(run: Passage) -> Vectors:
    """Sums of each column tile as they leave the array."""
    hw, result, quantized = run.config.hw, run.result, run.result.quantized
    mant, shift = rescaling.factors(result.step, result.weights.scale, result.s_y, run.config)
    tokens, chunks = run.sent(), hw.cols // hw.drain_lanes
    table = np.where(quantized.bits[tokens] == 8, 0, len(mant) - 1)
    words = {"acc": result.acc[tokens], "wsum": np.tile(result.weights.sums(quantized.group)[0], (len(tokens), 1)),
             "mant": mant[table], "shift": shift[table]}
    of_token = {"lo": quantized.lo[tokens, 0], "span": quantized.span[tokens, 0], "hi": quantized.bits[tokens] == 8,
                "sink_shift": quantized.sink_shift[tokens], "symmetric": np.full(len(tokens), quantized.symmetric)}
    fed, wanted = [], []
    for column in run.columns:
        fed.append({name: beats(run.of_column(values, column), hw.drain_lanes) for name, values in words.items()}
                   | {name: np.repeat(values, chunks) for name, values in of_token.items()}
                   | {"last": _ends(len(tokens), chunks)})
        wanted.append({"z": beats(run.of_column(result.z[tokens], column), hw.drain_lanes),
                       "last": _ends(len(tokens), chunks)})
    return Vectors(inputs={"i": in_a_row(fed)}, outputs={"o": in_a_row(wanted)})


def finish(run: Passage) -> Vectors:
    """The same tokens with their bias, and the results."""
    hw, back = run.config.hw, run.lifted_back()
    _, left, _ = run.inverse_table()
    bias = rescaling.integer_bias(run.layer.bias, run.result.s_y, back.shape[1])
    last = _ends(len(left), hw.cols // hw.drain_lanes)
    fed, wanted = [], []
    for column in run.columns:
        v = beats(run.of_column(back[left], column), hw.drain_lanes)
        each = beats(np.tile(run.of_column(bias, column), (len(left), 1)), hw.drain_lanes)
        y = beats(run.of_column(run.result.sent[left], column), hw.drain_lanes)
        fed.append({"v": v, "last": last, "bias": each})
        wanted.append({"y": y, "last": last})
    return Vectors(inputs={"i": in_a_row(fed)}, outputs={"o": in_a_row(wanted)})


def engine(run: Passage) -> Vectors:
    """Streams of the whole engine."""
    found = streams.streams(run.layer, run.config, run.result)
    return Vectors(inputs={name: found[name] for name in ("job", "i", "w", "p")}, outputs={"o": found["o"]})


#: Part → the beats that a layer drives through it, or through the engine that it runs in. The PE's table is made of its
#: operands.
OF_PART: dict[str, Callable[[Passage], Vectors]] = {
    "lifting": engine, "scale": scale, "array": array, "rescale": rescale, "inverse": engine, "finish": finish,
    "control": engine,
}


def count(run: Passage, unit: str) -> int:
    """Beats that a layer has in a unit, outputs of rescale and finish, steps of all PEs."""
    hw, job = run.config.hw, run.job
    tokens, steps = len(run.part.order), run.result.coefficients.shape[1]
    outputs = job.columns * hw.cols
    rows = run.part.rows
    fours = int(np.count_nonzero(run.result.quantized.bits[rows[:, 0]] == 4))
    slots = len(run.part.ready) * hw.rows
    found: dict[str, int] = {
        "lifting": run.part.tokens * -(-steps // hw.lanes), "scale": tokens * -(-steps // hw.lanes),
        "pe8": (slots - fours) * outputs * steps, "pe4": fours * outputs * steps,
        "array": len(run.part.ready) * job.columns * steps, "control": len(run.part.ready) * job.columns * steps,
        "rescale": tokens * outputs, "inverse": run.part.tokens * outputs // hw.drain_lanes,
        "finish": run.part.tokens * outputs}
    return found[unit]
