"""The lifting units: RTL against golden model and cycle model, the timetable against itself, and the closed forms."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from sim import haar as haar_sim
from stamp_hw import haar, haar_slots
from stamp_hw.haar_slots import HaarJob, Timetable
from stamp_hw.params import HaarParams
from tb import tb_haar
from tb.run.block import fresh_seed, run_block

PARAMS = HaarParams(lanes=4, width=16, axes=2, max_levels=8, max_beats=9, max_tokens=65536)
UNITS = {"forward": PARAMS, "inverse": replace(PARAMS, direction="inverse")}


def shapes() -> list[tuple[int, int, tuple[int, int] | None]]:
    """(tokens, levels, grid): lengths and grids around the edges of tiles, odd and prime ones."""
    lines = [(tokens, levels, None) for tokens in (1, 2, 3, 5, 8, 13, 31, 64, 65) for levels in range(6)]
    grids = ((1, 1), (1, 7), (5, 1), (3, 5), (8, 8), (7, 9), (16, 4), (13, 11), (2, 33))
    return [*lines, *((h * w, levels, (h, w)) for h, w in grids for levels in range(4))]


def draw(rng: np.random.Generator, limit: int = 900) -> HaarJob:
    """Any job of up to `limit` tokens."""
    tokens, beats = int(rng.integers(1, limit + 1)), int(rng.integers(1, 10))
    if rng.integers(2):
        return HaarJob(tokens=tokens, levels=int(rng.integers(9)), beats=beats)
    height = int(rng.integers(1, tokens + 1)) if rng.integers(2) else max(1, int(tokens**0.5))
    grid = (height, tokens // height)
    return HaarJob(tokens=grid[0] * grid[1], levels=int(rng.integers(5)), beats=beats, grid=grid)


# --- the timetable, played with dictionaries for line memories: an operand that was not there yet raises KeyError


def ctz(value: int) -> int:
    return (value & -value).bit_length() - 1


def play_forward(table: Timetable, x: list[int], chain: int, two_d: bool) -> dict[int, int]:
    """Coefficient index → value. Lines: (which, level) → value."""
    lines: dict[tuple[str, int], int] = {}
    found: dict[int, int] = {}
    for slot, (token, coef, level) in enumerate(zip(table.token, table.coef, table.level, strict=True)):
        value, out = (x[token] if token >= 0 else None), None
        ruled = 1 + ctz(slot + 2)
        if chain == 0:
            out = value
        elif ruled > chain:
            out = lines.pop(("low", 0), None)
        elif level:
            assert level == ruled
            node = (slot - haar_slots.fire_offset(level)) >> level
            a, d = lines.pop(("a", level)), None
            s = a
            if table.paired[slot]:
                b = value if level == 1 else lines.pop(("b", level))
                assert b is not None
                d = b - a
                s = a + (d >> 1)
            lines[("low", 0) if level == chain else ("ab"[node % 2], level + 1)] = s
            out = d
        if two_d and ruled <= chain and ruled % 2:
            node = (slot - haar_slots.fire_offset(ruled)) >> ruled
            kept = lines.pop(("cross", ruled), None)
            if node % 2 and table.cross[slot]:
                assert out is not None and kept is not None
                lines["cross", ruled] = out - kept
                out = kept + ((out - kept) >> 1)
            else:
                if not node % 2 and out is not None:
                    lines["cross", ruled] = out
                out = kept
        if chain and slot % 2 == 0 and value is not None:
            lines["a", 1] = value
        assert (coef >= 0) == (out is not None)
        if out is not None:
            assert coef not in found
            found[int(coef)] = out
    assert not lines, "something was never used"
    return found


def play_inverse(table: Timetable, c: list[int], chain: int, two_d: bool) -> dict[int, int]:
    """Raster index → value; the mirror of `play_forward`."""
    lines: dict[tuple[str, int], int] = {}
    found: dict[int, int] = {}
    size = 1 << chain
    for slot, (token, coef, level) in enumerate(zip(table.token, table.coef, table.level, strict=True)):
        value, out = (c[coef] if coef >= 0 else None), None
        if chain and slot % 2 == 0:
            out = lines.pop(("wait", 0), None)
        ruled = 1 + ctz(slot) if slot % size else chain + 1
        node = (slot - size + (1 << ruled - 1)) >> ruled
        if ruled > chain:
            if chain == 0:
                out = value
            elif value is not None:
                lines["a", chain] = value
            value = None
        elif two_d and ruled % 2:
            kept = lines.pop(("cross", ruled), None)
            if node % 2:
                if value is not None:
                    lines["cross", ruled] = value
                value = kept
            elif table.cross[slot]:
                assert value is not None and kept is not None
                value -= kept >> 1
                lines["cross", ruled] = value + kept
        if level:
            assert level == ruled
            s = lines.pop(("a" if level == chain else "ab"[node % 2], level))
            assert (value is not None) == table.paired[slot]
            a = s if value is None else s - (value >> 1)
            if level == 1:
                out = a
            else:
                lines["a", level - 1] = a
            if value is not None:
                lines[("wait", 0) if level == 1 else ("b", level - 1)] = a + value
        else:
            assert value is None
        assert (token >= 0) == (out is not None)
        if out is not None:
            assert token not in found
            found[int(token)] = out
    assert not lines, "something was never used"
    return found


@pytest.mark.parametrize(("tokens", "levels", "grid"), shapes())
def test_the_timetables_played_slot_by_slot_are_the_golden_lifting(tokens: int, levels: int,
                                                                   grid: tuple[int, int] | None,
                                                                   rng: np.random.Generator) -> None:
    x = rng.integers(-32768, 32768, (tokens, 1))
    c = haar.forward(x, levels, grid)
    chain = haar_slots.chain_levels(levels, grid)
    forth = play_forward(haar_slots.forward(tokens, levels, grid), x[:, 0].tolist(), chain, grid is not None)
    back = play_inverse(haar_slots.inverse(tokens, levels, grid), c[:, 0].tolist(), chain, grid is not None)
    assert forth == dict(enumerate(c[:, 0].tolist()))
    assert back == dict(enumerate(x[:, 0].tolist()))


def test_a_slot_is_busy_exactly_when_something_exists_in_it() -> None:
    table = haar_slots.forward(5, 2)
    assert table.token.tolist() == [0, 1, 2, 3, 4, -1, -1, -1, -1, -1, -1]
    assert np.flatnonzero(~table.busy).tolist() == [7, 9]


# --- closed forms against steps


@pytest.mark.parametrize("params", UNITS.values(), ids=UNITS)
def test_closed_form_cycles_and_arrivals_equal_the_steps(params: HaarParams, rng: np.random.Generator) -> None:
    for _ in range(40):
        jobs = [draw(rng) for _ in range(int(rng.integers(1, 4)))]
        timing = haar_sim.timing(params, jobs)
        assert haar_sim.cycles(params, jobs) == timing.cycles, jobs
        assert np.diff(timing.jobs).tolist() == [haar_sim.period(params, job) for job in jobs[:-1]], jobs
        table = haar_sim.timetable(params, jobs[0])
        leaves = table.coef if params.direction == "forward" else table.token
        last_beats = timing.outputs[:jobs[0].tokens * jobs[0].beats].reshape(-1, jobs[0].beats)[:, -1]
        assert (haar_sim.arrival(params, jobs[0])[leaves[leaves >= 0]] == last_beats).all(), jobs[0]


@pytest.mark.parametrize("params", UNITS.values(), ids=UNITS)
def test_slots_counted_by_tiles_equal_the_slots_of_the_timetable(params: HaarParams, rng: np.random.Generator) -> None:
    for limit in (200, 6000):
        for _ in range(60):
            job = draw(rng, limit)
            table = haar_sim.timetable(params, job)
            expected = np.where(table.busy, haar_sim.slot_cycles(params, job), 1).sum() + params.job_cycles
            assert haar_sim.period(params, job) == expected, job


@pytest.mark.parametrize("params", UNITS.values(), ids=UNITS)
def test_closed_form_events_equal_those_of_the_timetable(params: HaarParams, rng: np.random.Generator) -> None:
    for _ in range(60):
        job = draw(rng)
        table = haar_sim.timetable(params, job)
        pairs, crosses = np.count_nonzero(table.paired), np.count_nonzero(table.cross)
        events = haar_sim.events(params, [job])
        assert (events.butterflies, events.cross_butterflies) == (pairs * job.beats, crosses * job.beats), job
        # Every word that is written is read once, and once only: nothing stays behind in a line.
        assert events.line_reads == events.line_writes, job


@pytest.mark.parametrize("params", UNITS.values(), ids=UNITS)
def test_the_longest_jobs_are_counted_in_milliseconds(params: HaarParams) -> None:
    for job in (HaarJob(tokens=65536, levels=8, beats=9), HaarJob(tokens=65521, levels=5, beats=9),
                HaarJob(tokens=65025, levels=4, beats=9, grid=(255, 255)),
                HaarJob(tokens=65536, levels=4, beats=9, grid=(1, 65536))):
        haar_sim._slots.cache_clear()
        times = []
        for _ in range(3):
            start = time.perf_counter()
            haar_sim.cycles(params, [job])
            haar_sim.events(params, [job])
            times.append(time.perf_counter() - start)
            haar_sim._slots.cache_clear()
        assert min(times) < 0.005, (job, times)


# --- RTL


@pytest.mark.rtl
@pytest.mark.parametrize("name", tb_haar.PARAMETER_SETS)
def test_rtl_equals_the_golden_model_in_values_cycles_and_events(name: str) -> None:
    result = run_block("haar", name, fresh_seed())
    assert result.words and not result.mismatches
    assert result.timed_beats and not result.cycle_differences and not result.event_differences
    if name in ("forward", "inverse"):
        assert result.words >= 1_000_000


@pytest.mark.rtl
def test_a_deeper_line_memory_moves_rtl_and_cycle_model_alike() -> None:
    """The same jobs on both builds: the measured cycles differ, and each equals its prediction."""
    only = ["every_small_shape_is_exact"]
    shallow, deep = (run_block("haar", name, 1, tests=only) for name in ("forward_tiny", "forward_tiny_deep"))
    assert shallow.timed_beats == deep.timed_beats > 0
    assert deep.cycles > shallow.cycles
