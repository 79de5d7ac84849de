"""The engine followed beat by beat (sim/engine/timing.py and its stages), against steppers of single cycles and against
what must hold of any stall. The RTL's own cycles are compared in tests/sim/test_engine.py's bench, tb/tb_engine.py."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from sim import haar, hadamard, scale
from sim.dram import Rate
from sim.engine.array import Registers, issue
from sim.engine.back import Back
from sim.engine.front import CODED, Front, Scales, Source
from sim.engine.rotated import Rotated
from sim.engine.timing import EngineTiming, timing
from sim.engine.weight_loads import rated, take_packed
from sim.pipeline import always
from stamp_hw.config import HwConfig, ResolvedJob
from stamp_hw.engine import super_tile
from stamp_hw.engine.job import EngineJob
from stamp_hw.engine.params import EngineParams
from stamp_hw.engine.wire import WeightFormat
from stamp_hw.haar_slots import HaarJob
from stamp_hw.hadamard_params import HadamardParams
from stamp_hw.params import ScaleParams
from stamp_hw.weight_groups import SIZES
from tests.support.rotated_cases import perhaps_in_blocks, perhaps_rotated, registers_of, task_of

Pattern = Callable[[int], bool]


def pattern(rng: np.random.Generator, density: float | None = None) -> Pattern:
    """Seeded bits that repeat; at least one of them is 1."""
    bits = rng.random(101) < (rng.choice([0.2, 0.5, 0.9]) if density is None else density)
    bits[-1] = True
    values = bits.tolist()
    return lambda cycle: bool(values[cycle % 101])


def draw_params(rng: np.random.Generator) -> EngineParams:
    cols = int(rng.choice([1, 2, 6]))
    return EngineParams.of(perhaps_in_blocks(rng, perhaps_rotated(rng, HwConfig(
        rows=int(rng.choice([1, 2, 3])), cols=cols, lanes=int(rng.choice([1, 3, 4])), axes=int(rng.choice([1, 2])),
        max_levels=4, max_k=100, max_tokens=64, act_slots=40, mul_stages=int(rng.integers(1, 5)),
        packed_weights=bool(rng.integers(2)),
        rescale_lanes=int(rng.choice([lanes for lanes in range(1, cols + 1) if cols % lanes == 0]))))))


def draw_job(rng: np.random.Generator, params: EngineParams) -> EngineJob:
    grid, n_sink, tokens = None, int(rng.choice([0, 0, 1, 3])), int(rng.integers(1, 50))
    if params.axes == 2 and rng.random() < 0.5:
        grid, n_sink = (int(rng.integers(1, 8)), int(rng.integers(1, 8))), 0
        tokens = grid[0] * grid[1]
    job = ResolvedJob(tokens=tokens, grid=grid, levels=int(rng.integers(0, 3 if grid else 5)),
                      n_hi=int(rng.integers(0, tokens + 1)), n_sink=n_sink)
    hw, k = params.hw, int(rng.choice([rng.integers(1, 21), rng.integers(1, params.max_k + 1)]))
    return registers_of(rng, hw, task_of(rng, hw, job, k, int(rng.integers(1, 14))), int(rng.choice([4, 16, 100])))


def weight_beats(job: EngineJob, params: EngineParams) -> int:
    """Beats of a pass, counted one by one."""
    k, size = job.channels(params)[0], {0: None, 1: 32, 2: 64, 3: 128}[job.weight_group]
    if not job.packed:
        return k
    return sum(1 for step in range(k) if step % 2 == 0) + sum(1 for step in range(k) if size and step % size == 0)


def draw_jobs(rng: np.random.Generator) -> tuple[EngineParams, list[EngineJob]]:
    params = draw_params(rng)
    return params, [draw_job(rng, params) for _ in range(int(rng.integers(1, 4)))]


def beats_of(params: EngineParams, jobs: list[EngineJob]) -> dict[str, int]:
    """Beats of every stream, from the shapes."""
    counts = dict.fromkeys(("job", "i", "w", "p", "o"), 0)
    for job in jobs:
        tokens = job.width * job.height + job.n_sink
        passes = -(-job.width // job.tile_width) * -(-job.height // job.tile_height) * job.columns
        beats = {"job": 1, "i": tokens * job.in_beats, "w": passes * weight_beats(job, params),
                 "p": passes * params.cols,
                 "o": tokens * ((job.columns - 1) * params.chunks + job.out_beats)}
        counts = {name: counts[name] + beats[name] for name in counts}
    return counts


def test_every_beat_has_a_cycle_of_its_own_in_order(rng: np.random.Generator) -> None:
    for _ in range(40):
        params, jobs = draw_jobs(rng)
        for stalls in ({}, {name: pattern(rng) for name in ("job", "i", "w", "p")}):
            found = timing(params, jobs, stalls, pattern(rng) if stalls else always).streams
            assert {name: len(cycles) for name, cycles in found.items()} == beats_of(params, jobs)
            for name, cycles in found.items():
                assert cycles[0] >= 0 and (np.diff(cycles) > 0).all()
                if stalls and name != "o":  # offered in a cycle whose bit is 1, at the earliest behind the one before
                    assert all(any(map(stalls[name], range(before + 1, cycle + 1)))
                               for before, cycle in pairwise([-1, *cycles.tolist()]))


def later(one: EngineTiming, other: EngineTiming) -> bool:
    """No beat of any stream is earlier in `other`."""
    return all((other.streams[name] >= cycles).all() for name, cycles in one.streams.items())


def test_a_stall_of_any_stream_never_makes_a_beat_earlier(rng: np.random.Generator) -> None:
    for _ in range(30):
        params, jobs = draw_jobs(rng)
        free = timing(params, jobs)
        for name in ("job", "i", "w", "p"):
            assert later(free, timing(params, jobs, {name: pattern(rng)}))
        assert later(free, timing(params, jobs, {}, pattern(rng)))


def test_a_pattern_without_zeros_is_no_stall(rng: np.random.Generator) -> None:
    # The same cycles through the loops over beats as through their shortcuts.
    ones = dict.fromkeys(("job", "i", "w", "p"), lambda _cycle: True)
    for _ in range(30):
        params, jobs = draw_jobs(rng)
        free, looped = timing(params, jobs), timing(params, jobs, ones, lambda _cycle: True)
        assert later(free, looped) and later(looped, free)


def test_a_job_that_comes_when_the_engine_is_at_rest_takes_as_long_as_alone(rng: np.random.Generator) -> None:
    for _ in range(20):
        params, (job, *_) = draw_jobs(rng)
        alone = timing(params, [job])
        late = alone.cycles + 2000
        twice = timing(params, [job, job], {"job": lambda cycle, late=late: cycle < 1 or cycle >= late})
        for name, cycles in alone.streams.items():
            second = twice.streams[name][len(cycles) :]
            if name in ("job", "o"):
                assert (second - late == cycles).all()
            else:  # its first beats may have waited at the port
                assert (second - late <= cycles).all()


def stepped_back(params: EngineParams, passes: list[tuple[int, int, list[HaarJob]]], ready: Pattern
                 ) -> tuple[list[int], list[int]]:
    """(cycle of every output beat, cycle in which each pass's last beat leaves the inverse unit), a cycle at a time."""
    lifting, finish = deque([0] * params.inverse.latency), deque([0] * params.finish.latency)
    spare = 0  # a beat that left the lifting and was not taken: the lifting holds while it waits
    jobs = deque((complete, job, number) for number, (complete, _, jobs) in enumerate(passes) for job in jobs)
    items: deque[int] = deque()  # what the running job issues: 1 a beat, 0 nothing
    outputs, left, counts = [], [0] * len(passes), []
    total = sum(job.tokens * job.beats for _, job, _ in jobs)
    cycle = 0
    while len(outputs) < total:
        moves_on = not finish[-1] or ready(cycle)
        if finish[-1] and moves_on:
            outputs.append(cycle)
        offered, lifts = spare or lifting[-1], not spare
        if offered and moves_on:
            left[counts.pop(0)] = cycle
        if moves_on:
            finish.pop()
            finish.appendleft(offered)
        spare = int(offered and not moves_on)
        if lifts:
            lifting.pop()
            issued = 0
            if items:
                issued = items.popleft()
            elif jobs and jobs[0][0] <= cycle:
                _, job, number = jobs.popleft()
                emits = haar.items(params.inverse, job)[1].astype(int).tolist()
                items.extend(emits[1:])  # its first cycle takes the registers
                counts.extend([number] * sum(emits))
            lifting.appendleft(issued)
        cycle += 1
    return outputs, left


def test_the_back_is_two_pipelines_that_are_stepped_cycle_by_cycle(rng: np.random.Generator) -> None:
    for _ in range(60):
        params = draw_params(rng)
        ready = pattern(rng) if rng.random() < 0.8 else always
        passes, complete = [], 0
        for _ in range(int(rng.integers(1, 5))):
            complete += int(rng.integers(0, 120))
            beats = int(rng.integers(1, params.chunks + 1))
            sizes = [(int(rng.integers(1, 4)), 0), (int(rng.integers(1, 20)), int(rng.integers(0, 4)))]
            jobs = [HaarJob(tokens=tokens, levels=levels, beats=beats) for tokens, levels in sizes]
            passes.append((complete, beats, jobs[int(rng.integers(2)) :]))
        back = Back(params, ready)
        back.start(-10)
        free = []
        for complete, beats, jobs in passes:
            free.append(back.free())
            back.lift(complete, beats, [(job.tokens, job.levels, None) for job in jobs])
        outputs, left = stepped_back(params, passes, ready)
        assert back.outputs == outputs
        assert free[2:] == [cycle + 1 for cycle in left[: len(free) - 2]]


def test_a_pass_is_taken_while_a_beat_moves_into_the_spare_register_and_not_while_it_waits_there() -> None:
    params = EngineParams.of(HwConfig(rows=1, cols=2, lanes=1, axes=1, max_k=8, act_slots=40, max_tokens=64))
    first, second = HaarJob(tokens=4, levels=0, beats=1), HaarJob(tokens=1, levels=0, beats=1)
    *_, stops, last = stepped_back(params, [(0, 1, [first])], always)[0]

    def ready(cycle: int) -> bool:  # the last beat but one stops at `o`, the last one at the inverse unit's output
        return not stops <= cycle < stops + 30

    sent = []
    waits = last - params.finish.latency  # the last beat is offered and not taken
    for complete in range(waits, stops + 31):
        back = Back(params, ready)
        back.start(-10)
        back.lift(0, 1, [(first.tokens, 0, None)])
        back.lift(complete, 1, [(second.tokens, 0, None)])
        assert back.outputs == stepped_back(params, [(0, 1, [first]), (complete, 1, [second])], ready)[0]
        sent.append(back.outputs[-1])
    assert [cycle - sent[0] for cycle in sent] == [0, *[1] * (len(sent) - 1)]


@pytest.mark.parametrize("axes", [1, 2])
def test_the_front_is_its_two_units_with_a_gate_in_front(axes: int, rng: np.random.Generator) -> None:
    for _ in range(20):
        params = draw_params(rng)
        while params.axes != axes:
            params = draw_params(rng)
        job, valid = draw_job(rng, params), pattern(rng)
        while job.hadamard:  # a third unit, which is followed below
            job = draw_job(rng, params)
        parts = super_tile.divide(job.resolved, job.tile_width, job.tile_height, params.rows)
        front = Front(params, always, Source(valid), lambda _number: 0)
        began = front.accept(job, 0) + 1
        ready = np.zeros(job.n_sink + job.width * job.height, np.int64)
        front.lift(job, parts, ready)
        jobs = [HaarJob(tokens=job.n_sink, levels=0, beats=job.beats)] if job.n_sink else []
        jobs.append(HaarJob(tokens=job.width * job.height, levels=job.levels, beats=job.beats, grid=job.grid))
        # What was offered before the unit has its registers waits for them.
        run = haar.timing(params.haar, jobs, lambda cycle, valid=valid, began=began: (
            any(map(valid, range(began + 1))) if cycle == 0 else valid(cycle + began)))
        assert [cycle - began for cycle in front.tokens.taken] == run.inputs.tolist()
        offered = set(run.outputs.tolist())
        k, _ = job.channels(params)
        group = params.block if job.blocks else None
        codes = scale.timing(params.scale, [params.scale.job(tokens=len(ready), k=k, group=group)],
                             valid=lambda cycle, offered=offered: cycle in offered)
        assert codes.inputs.tolist() == run.outputs.tolist()
        assert (np.sort(ready) - began).tolist() == (codes.outputs[job.beats - 1 :: job.beats] + CODED).tolist()


def test_a_super_tile_whose_half_is_taken_waits_and_shifts_all_that_follows() -> None:
    params = EngineParams.of(HwConfig(rows=2, lanes=4, axes=1, act_slots=40, max_k=8))
    job = EngineJob.of(ResolvedJob(tokens=40, grid=None, levels=1, n_hi=0, n_sink=0), k=8, n=8, params=params, limit=10)
    parts = super_tile.divide(job.resolved, job.tile_width, 1, params.rows)
    runs = []
    for wait in (0, 1000):
        front = Front(params, always, Source(always), lambda number, wait=wait: wait if number == 2 else 0)
        front.accept(job, 0)
        ready = np.zeros(40, np.int64)
        front.lift(job, parts, ready)
        runs.append((np.array(front.tokens.taken), ready))
    (taken, _), (held, _) = runs
    first = 20 * job.beats  # token 20 opens super-tile 2
    assert (held[:first] == taken[:first]).all() and held[first] == 1000
    assert (held[first:] - taken[first:] == 1000 - taken[first]).all()
    # The low pass of the tile before comes behind it: it waits as well.
    moved = runs[1][1] - runs[0][1]
    assert set(moved.tolist()) == {0, 1000 - taken[first]} and moved[9] == moved[10] != 0 == moved[8]


def test_tokens_go_through_the_scale_unit_as_its_stepper_says(rng: np.random.Generator) -> None:
    for _ in range(30):
        params = draw_params(rng).scale
        beats = int(rng.integers(1, min(params.max_beats, 20) + 1))
        steps = rng.integers(max(beats, params.recip_width), 60, 30)
        lasts = np.cumsum(steps)
        unit = Scales(params)
        codes = [unit.token(range(last - beats + 1, last + 1), beats) for last in lasts.tolist()]
        offered = {int(last) - back for last in lasts for back in range(beats)}
        run = scale.timing(params, [params.job(tokens=30, k=beats * params.lanes)],
                           valid=lambda cycle, offered=offered: cycle in offered)
        assert run.inputs[beats - 1 :: beats].tolist() == lasts.tolist()
        assert run.outputs[beats - 1 :: beats].tolist() == codes


def test_tokens_of_blocks_go_through_the_scale_unit_at_the_pace_of_the_lifting_unit(rng: np.random.Generator) -> None:
    """Beats with gaps, tokens as close as they may be: the unit takes each beat when it comes, and no group waits."""
    for attempt in range(120):
        block = (1, 2, 3, 4, 16, 17, int(rng.integers(5, 40)))[attempt % 7]
        params = ScaleParams(lanes=2, width=17, recip_frac=int(rng.integers(0, 9)), max_beats=block + 20,
                             mul_stages=int(rng.integers(1, 5)), block_beats=block)
        beats = int(rng.integers(block + 1, params.max_beats + 1)) if attempt % 3 else block + 1
        idle, gaps = max(beats, params.recip_width) - beats, attempt % 2
        tokens = 6 + 200 // beats
        steps = 1 + gaps * rng.integers(0, 4, (tokens, beats)) * (rng.random((tokens, beats)) < 0.2)
        steps[:, 0] += idle
        cycles = np.cumsum(steps).reshape(tokens, beats)
        unit = Scales(params)
        codes = [unit.token(token, block) for token in cycles.tolist()]
        offered = set(cycles.ravel().tolist())
        run = scale.timing(params, [params.job(tokens=tokens, k=beats * 2, group=block * 2)],
                           valid=lambda cycle, offered=offered: cycle in offered)
        assert run.inputs.tolist() == cycles.ravel().tolist()
        assert run.outputs[beats - 1 :: beats].tolist() == codes


def test_tokens_go_through_the_hadamard_unit_as_its_stepper_says(rng: np.random.Generator) -> None:
    """Taken one token after the other, each not before any cycle; and each on from a state that is restored."""
    for _ in range(150):
        block, lanes = int(rng.choice([16, 64])), int(rng.choice([1, 2, 4, 16, 32]))
        unit = HadamardParams(lanes=lanes, width=8, block=block, max_beats=128)
        tokens = int(rng.integers(1, 9))
        job = unit.job(tokens=tokens, k=int(rng.integers(1, 97)), shift=1)
        valid = pattern(rng)
        wanted = np.cumsum(rng.integers(1, int(rng.choice([3, 60])), tokens)) + np.arange(tokens) * job.beats
        earliest = [int(first) for first in wanted for _ in range(job.beats)]
        taken: list[int] = []

        def ready(cycle: int, earliest: list[int] = earliest, taken: list[int] = taken) -> bool:
            """Asked while a beat waits."""
            if cycle >= earliest[len(taken)]:
                taken.append(cycle)
            return bool(taken) and taken[-1] == cycle

        run = hadamard.timing(unit, [job], valid, ready)
        source = Source(valid)
        rotated = Rotated(unit, source)
        rotated.start(1, job.in_beats, job.beats)
        again = Rotated(unit, source_again := Source(valid))
        again.start(1, job.in_beats, job.beats)
        lasts = []
        for first in wanted.tolist():
            state = rotated.state(first)
            again.restore(first, state)
            lasts.append(rotated.take(first, job.beats))
            assert again.take(first, job.beats) == lasts[-1] and again.state(first) == rotated.state(first)
        assert source_again.last == source.last
        assert source.taken == run.inputs.tolist()
        assert lasts == run.outputs[job.beats - 1 :: job.beats].tolist()


def test_a_source_offers_as_a_testbench_does(rng: np.random.Generator) -> None:
    for _ in range(50):
        valid = pattern(rng)
        source, wanted, cycle, offered = Source(valid), [], 0, False
        earliest = np.cumsum(rng.integers(1, 9, 20)).tolist()
        for least in earliest:
            while True:
                offered = offered or valid(cycle)
                cycle += 1
                if offered and cycle > least:
                    wanted.append(cycle - 1)
                    offered = False
                    break
        assert [source.take(least, 1) for least in earliest] == wanted == source.taken


def test_tiles_are_issued_as_their_gates_say_step_by_step(rng: np.random.Generator) -> None:
    for _ in range(100):
        k, least = int(rng.integers(1, 12)), int(rng.integers(1, 20))
        ready = np.sort(rng.integers(0, 80, int(rng.integers(1, 8)))).tolist()
        out_free, before = int(rng.integers(0, 60)), int(rng.integers(-30, 30))
        cycle, last = before + 1, before
        for tile, complete in enumerate(ready):
            step = 0
            while step < k:
                waits = (step == 0 and cycle < complete) or (
                    step == k - 1 and (cycle < last + least or (tile == 0 and cycle < out_free)))
                step += not waits
                cycle += 1
            last = cycle - 1
        assert issue(before, ready, k, least, out_free) == last


def test_a_stage_takes_its_next_registers_when_it_is_through_with_a_job() -> None:
    registers = Registers()
    assert registers.start(10) == 12 and registers.room == 12
    registers.end = 50
    assert registers.start(20) == 51 and registers.room == 51


def test_packed_weights_at_a_memorys_rate_come_as_a_source_under_its_pattern_gives_them(rng: np.random.Generator
                                                                                       ) -> None:
    for _ in range(300):
        rate = Rate.of(Fraction(int(rng.integers(1, 14)), 13))
        weights = WeightFormat(True, (None, *SIZES)[int(rng.integers(4))])
        source, last, begin = Source(rate), -1, 0
        for _ in range(4):
            k, begin = int(rng.integers(1, 200)), begin + int(rng.integers(1, 9))
            before = len(source.taken)
            written = take_packed(lambda cycle, source=source: source.take(cycle, 1), begin, k, weights.group)
            assert rated(rate, weights, k, last, begin) == (source.taken[-1], written)
            assert len(source.taken) - before == weights.beats(k)
            last, begin = source.taken[-1], written
