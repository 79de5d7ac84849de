"""The engine's queues are as deep as they get: their closed forms against what the cycle models let through."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from rtl_gen.engine.back import liftings_under_way
from rtl_gen.engine.block_drain import blocks_in_array, tiles_in_combine, written_cycles
from rtl_gen.engine.drain import tiles_in_array
from rtl_gen.engine.front import SINKS_IN_LIFTING, sinks_inside, tokens_in_scale
from sim import haar
from sim.engine.front import Front, Scales, Source
from sim.pipeline import always
from stamp_hw.config import HwConfig, ResolvedJob
from stamp_hw.engine.job import EngineJob
from stamp_hw.engine.params import EngineParams
from stamp_hw.engine.super_tile import divide
from stamp_hw.haar_slots import HaarJob
from tb import tb_engine


def fullest(pushed: Sequence[int], popped: Sequence[int]) -> int:
    """Entries at most; one that leaves in the cycle in which another comes makes room for it."""
    return max(1 + sum(last > now for last in popped[:index]) for index, now in enumerate(pushed))


def drawn(seed: int) -> EngineParams:
    """Hardware of any small size."""
    rng = np.random.default_rng(seed)
    cols = int(rng.integers(1, 9))
    lanes = int(rng.integers(1, 33))
    return EngineParams.of(HwConfig(
        rows=int(rng.integers(1, 9)), cols=cols, lanes=lanes, axes=int(rng.integers(1, 3)), max_levels=4,
        max_k=lanes * int(rng.integers(1, 30)), max_tokens=64, act_slots=64, recip_frac=int(rng.integers(0, 9)),
        rescale_lanes=int(rng.choice([n for n in range(1, cols + 1) if cols % n == 0])),
        mul_stages=int(rng.integers(1, 5))))


PARAMS = {**tb_engine.PARAMETER_SETS, **{f"drawn{seed}": drawn(seed) for seed in range(40)}}


@pytest.mark.parametrize("name", PARAMS)
def test_queues_are_as_deep_as_they_get(name: str) -> None:
    params = PARAMS[name]
    most = 0
    for beats in range(1, params.max_beats + 1):
        for group in {beats, params.block_beats or beats}:
            scales, pace = Scales(params.scale), max(beats, params.haar.min_slot_cycles)
            lasts = [pace * token for token in range(12)]
            codes = [scales.token(range(last - beats + 1, last + 1), group) for last in lasts]
            most = max(most, fullest(lasts, codes))
    assert tokens_in_scale(params) == most
    slots = [params.haar.min_slot_cycles * token for token in range(12)]
    assert fullest(slots, [slot + params.haar.latency for slot in slots]) == SINKS_IN_LIFTING
    ends = [params.mac.min_tile_cycles * tile for tile in range(12)]
    if not params.block:
        assert tiles_in_array(params) == fullest(ends, [end + params.drain_cycles for end in ends])
        return
    drained = params.feed_cycles + params.mac.drain_latency + params.mac.drain_beats - 1
    assert blocks_in_array(params) == fullest(ends, [end + drained for end in ends])
    ends = [params.min_read_cycles * tile for tile in range(12)]
    read = written_cycles(params) + params.read_beats
    assert tiles_in_combine(params) == fullest(ends, [end + read for end in ends])


@pytest.mark.parametrize("name", PARAMS)
def test_inverse_jobs_under_way_are_as_many_as_the_queue_holds(name: str) -> None:
    params, most = PARAMS[name], 0
    for beats in {1, params.inverse.max_beats}:
        for levels, tokens in ((0, 1), (0, 2), (1, 1), (1, 2), (2, 4), (3, 5)):
            jobs = [HaarJob(tokens=tokens, levels=levels, beats=beats)] * 5
            timing = haar.timing(params.inverse, jobs)
            # a beat that is not taken waits in the spare register while the unit moves once more
            sent = timing.outputs[tokens * beats - 1:: tokens * beats] + params.inverse.has_spare
            most = max(most, fullest(timing.jobs.tolist(), sent.tolist()))
    assert liftings_under_way(params) == most


@pytest.mark.parametrize("block", [16, 64, 256])
def test_exponents_of_sinks_around_the_hadamard_unit_find_room(block: int, rng: np.random.Generator) -> None:
    """Most of them wait where the first sink, which opens a super-tile, waits for its half of the buffer."""
    spare = []
    for _ in range(40):
        lanes = int(rng.choice([1, 2, 8, 16, 64, 256]))
        params = EngineParams.of(HwConfig(lanes=lanes, axes=1, max_levels=2, max_k=2 * max(lanes, block),
                                          max_tokens=64, act_slots=64, hadamard=block,
                                          recip_frac=int(rng.integers(0, 9))))
        resolved = ResolvedJob(tokens=1, grid=None, levels=0, n_hi=1, n_sink=40)
        job = EngineJob.of(resolved, k=int(rng.integers(1, params.max_k + 1)), n=1, params=params, shift=1)
        bits = rng.random(97) < rng.choice([0.3, 0.8, 1.0])
        bits[0] = True
        gate = int(rng.choice([0, 3000]))
        tokens = Source(lambda cycle, bits=bits: bool(bits[cycle % 97]))
        front = Front(params, always, tokens, lambda _, gate=gate: gate)
        front.accept(job, 0)
        parts, popped = divide(job.resolved, job.tile_width, 1, params.rows), []
        token = front._scales.token
        front._scales.token = lambda cycles, group, popped=popped, token=token: (  # type: ignore[method-assign]
            popped.append(cycles[-1]), token(cycles, group))[1]
        front.lift(job, parts, np.zeros(41, np.int64))
        pushed = front.tokens.taken[job.in_beats - 1 :: job.in_beats][:40]
        most = fullest(pushed, popped[:40])
        assert most <= sinks_inside(params)
        if job.beats * lanes == max(lanes, block) and gate:
            spare.append(sinks_inside(params) - most)
    assert spare and min(spare) <= 2
