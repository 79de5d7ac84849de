"""Events of the engine's units over jobs, by the fields of its RTL's `events` port (`rtl_gen.engine.layouts`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from sim import haar, mac, rescale, scale
from stamp_hw.engine import super_tile
from stamp_hw.engine.job import EngineJob
from stamp_hw.engine.params import EngineParams
from stamp_hw.haar_slots import HaarJob


def events(params: EngineParams, jobs: Sequence[EngineJob], saturated: Mapping[str, int]) -> dict[str, int]:
    """Totals of `jobs`, whatever the stalls.

    Parameters
    ----------
    saturated : what the data decide, words that saturate in "rescale", in "finish" and in "hadamard", which does not
        count where there is no such unit
    """
    total: Counter[str] = Counter()
    for job in jobs:
        for unit, counted in _units(params, job).items():
            total.update({f"{unit}_{name}": count for name, count in counted.items()})
    return dict(total) | {f"{unit}_saturated": count for unit, count in saturated.items()
                          if unit != "hadamard" or params.rotation is not None}


def _units(params: EngineParams, job: EngineJob) -> dict[str, dict[str, int]]:
    """Unit → event → count of one job. A lifting of 0 levels, as that of the sinks, has no events."""
    k, _ = job.channels(params)
    blocks = -(-k // params.block) if params.block else 1
    parts = super_tile.divide(job.resolved, job.tile_width, job.tile_height, params.rows)
    tokens = job.width * job.height + job.n_sink
    multiplied: Counter[str] = Counter()
    for part in parts:
        # Sums over rows: it does not matter which array tile has the 4-bit ones. Rows without a token count as 8-bit.
        rows4 = [-(-part.n4 // 2)] + [0] * (part.array_tiles - 1)
        counted = asdict(mac.events(params.mac, [k] * part.array_tiles, rows4))
        if params.block:  # each block of a tile drains
            counted["drained"] *= blocks
            counted["sums"] = counted["drained"]
        multiplied.update({name: count * job.columns for name, count in counted.items()})
    backward: Counter[str] = Counter()
    for part in parts:
        grid = (part.height, part.width) if job.two_d else None
        for beats, times in ((params.chunks, job.columns - 1), (job.out_beats, 1)):
            lifting = HaarJob(tokens=part.tokens, levels=job.levels, beats=beats, grid=grid)
            counted = asdict(haar.events(params.inverse, [lifting]))
            backward.update({name: count * times for name, count in counted.items()})
    out_beats = tokens * ((job.columns - 1) * params.chunks + job.out_beats)
    combined = {"combine": {"sums": multiplied.pop("sums")}} if params.block else {}
    forward = HaarJob(tokens=job.width * job.height, levels=job.levels, beats=job.beats, grid=job.grid)
    rotated: dict[str, dict[str, int]] = {}
    if params.rotation is not None:
        rotated["hadamard"] = {"beats": tokens * job.beats if job.hadamard else 0}
    return rotated | {
        "haar": asdict(haar.events(params.haar, [forward])),
        "scale": asdict(scale.events(params.scale, params.scale.job(
            tokens=tokens, k=k, group=params.block if job.blocks else None))),
        "mac": dict(multiplied),
        "rescale": asdict(rescale.events(params.rescale, tokens * job.columns * params.chunks)),
        "inverse": dict(backward),
        "finish": {"outputs": out_beats * params.rescale_lanes},
        **combined,
    }
