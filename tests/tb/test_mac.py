"""The MAC array: its cycle model against closed form and brute force, its RTL against golden model and cycle model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.sim import Simulator

from rtl_gen.mac.array import Mac, event_layout
from rtl_gen.verilog.emit import verilog
from sim import mac as mac_sim
from sim.pipeline import Pattern, always
from stamp_hw import mac
from stamp_hw.config import NpuConfig
from stamp_hw.errors import ConfigError
from stamp_hw.params import MacParams
from tb import tb_mac
from tb.bench.patterns import throttles
from tb.run.block import fresh_seed, run_block

SMALL = MacParams(rows=2, cols=3, lanes=1, acc_width=20, max_k=16, mul_stages=1)


@pytest.mark.parametrize("max_k", [1, 15, 16, 1024, 16384])
def test_accumulators_that_products_overflow_are_refused(max_k: int) -> None:
    largest = 2**14 * max_k
    params = replace(SMALL, max_k=max_k, acc_width=max(16, largest.bit_length() + 1))
    assert max_k * 8 * 128 < 2**(params.pair_width - 1) and params.pair_width < params.acc_width
    if params.acc_width > 16:
        with pytest.raises(ConfigError, match="acc_width"):
            replace(params, acc_width=params.acc_width - 1)



@pytest.mark.rtl
@pytest.mark.parametrize("name", tb_mac.PARAMETER_SETS)
def test_rtl_equals_the_golden_model_in_values_cycles_and_events(name: str) -> None:
    run_block("mac", name, fresh_seed())


def drain_cycles(params: MacParams, tile: tb_mac.Tile) -> list[int]:
    """Cycle in which the RTL sends each beat of one tile, in Amaranth's own simulator, without stalls."""
    m = Module()
    m.submodules.dut = dut = Mac(params)
    beats = tb_mac.stimulus([tile])
    taken: list[int] = []

    async def drive(ctx) -> None:  # type: ignore[no-untyped-def]
        ctx.set(dut.o.ready, 1)
        for cycle in range(mac_sim.cycles(params, [tile.steps]) + 3):
            ctx.set(dut.i.valid, cycle < tile.steps)
            if cycle < tile.steps:
                ctx.set(dut.i.payload, {name: values[cycle].tolist() for name, values in beats.items()})
            if ctx.get(dut.o.valid):
                taken.append(cycle)
            await ctx.tick()

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()
    return taken


def test_a_deeper_multiplier_moves_rtl_and_cycle_model_alike() -> None:
    tile = tb_mac.random_tile(SMALL, np.random.default_rng(fresh_seed()), 5)
    seen = []
    for mul_stages in (1, 2, 3, 4):
        params = replace(SMALL, mul_stages=mul_stages)
        cycles = drain_cycles(params, tile)
        assert cycles == mac_sim.timing(params, [5]).outputs.tolist()
        seen.append(cycles[0])
    assert seen == [11, 12, 13, 14]  # step 5 in cycle 4, PE (0, 0) 3 cycles later, PE (1, 2) 3 more, the queue 1


def slow_timing(params: MacParams, steps: Sequence[int], valid: Pattern, ready: Pattern) -> tuple[list[int], list[int]]:
    """Brute force: follow every finished tile through its cells, and every beat through a list that is the queue."""
    source = [k == count - 1 for count in steps for k in range(count)]
    inputs: list[int] = []
    outputs: list[int] = []
    wave: list[int] = []  # cycles of accepted last steps whose tile is not in the hold registers
    hold: list[int] = []
    queue: list[int] = []
    offered, cycle = False, 0
    while len(outputs) < params.drain_beats * len(steps):
        complete = params.latency + (params.rows - 1) + (params.cols - 1)
        if wave and cycle == wave[0] + complete:
            assert not hold, "a tile's sums reached hold registers in use"
            wave.pop(0)
            hold = [0] * params.drain_beats
        if not offered and source and valid(cycle):
            offered = True
        room = params.latency + 1 - len(queue)
        certain = not wave and len(hold) <= min(params.latency, room)
        sends, moves = bool(queue) and ready(cycle), bool(hold) and len(queue) <= params.latency
        if offered and (not source[0] or certain):
            if source.pop(0):
                wave.append(cycle)
            inputs.append(cycle)
            offered = False
        if sends:
            outputs.append(cycle)
            queue.pop()
        if moves:
            queue.append(hold.pop())
        cycle += 1
    return inputs, outputs


def drawn(rng: np.random.Generator) -> tuple[MacParams, list[int]]:
    """Any legal small array, and tiles with K about its own tile time."""
    cols = int(rng.integers(1, 9))
    lanes = int(rng.choice([lane for lane in range(1, cols + 1) if cols % lane == 0]))
    params = MacParams(rows=int(rng.integers(1, 6)), cols=cols, lanes=lanes, acc_width=32, max_k=400,
                       mul_stages=int(rng.integers(1, 5)))
    return params, [tb_mac.random_steps(params, rng) for _ in range(int(rng.integers(1, 8)))]


def test_the_cycle_model_is_what_brute_force_counts() -> None:
    rng = np.random.default_rng(fresh_seed())
    for _ in range(60):
        params, steps = drawn(rng)
        valid, ready = throttles(rng)
        timing = mac_sim.timing(params, steps, valid, ready)
        assert (timing.inputs.tolist(), timing.outputs.tolist()) == slow_timing(params, steps, valid, ready)


def test_without_stalls_the_closed_form_is_what_the_array_steps_to() -> None:
    rng = np.random.default_rng(fresh_seed())
    for _ in range(200):
        params, steps = drawn(rng)
        timing = mac_sim.timing(params, steps, always, always)
        assert timing.cycles == mac_sim.cycles(params, steps)
        ends = timing.inputs[np.cumsum(steps) - 1]
        assert np.diff(ends).tolist() == [mac_sim.tile_cycles(params, k) for k in steps[1:]]
    assert mac_sim.cycles(SMALL, []) == mac_sim.timing(SMALL, []).cycles == 0


@pytest.mark.parametrize("name", ["odd", "deep", "square", "wide"])
def test_tile_cycles_are_those_of_the_contract(name: str) -> None:
    """max(K, ceil(2RC / lanes) + R + C − 2), docs/contract.md §4: no cycle is added for credit or queue."""
    params = tb_mac.PARAMETER_SETS[name]
    drain = 2 * params.rows * params.cols // params.lanes + params.rows + params.cols - 2
    assert [mac_sim.tile_cycles(params, k) for k in (1, drain, drain + 1)] == [drain, drain, drain + 1]


def test_long_tiles_leave_no_bubble_between_them() -> None:
    params = tb_mac.PARAMETER_SETS["square"]
    steps = [params.min_tile_cycles + extra for extra in (0, 0, 3, 0, 1)]
    assert mac_sim.timing(params, steps).inputs.tolist() == list(range(sum(steps)))


def test_only_a_drain_shorter_than_a_product_takes_longer_than_the_contract() -> None:
    params = tb_mac.PARAMETER_SETS["flat"]
    assert (params.drain_beats, params.latency, params.min_tile_cycles) == (2, 6, 8)


def test_events_count_multiplications_by_the_mode_of_the_row() -> None:
    found = mac_sim.events(SMALL, [5, 7], [1, 2])
    assert found == mac_sim.MacEvents(multiplies8=5 * 3, multiplies4=5 * 3 + 7 * 6, steps=12, drained=24)
    assert set(mac_sim.MacEvents.__dataclass_fields__) == {name for name, _ in event_layout(SMALL)}


def test_unpacked_products_are_the_two_products() -> None:
    """Every a1, a0 and weight of the packed multiplication."""
    a1, a0, w = np.meshgrid(np.arange(-8, 8), np.arange(-8, 8), np.arange(-128, 128), indexing="ij")
    high, low = mac.packed_product(a1, a0, w)
    assert np.array_equal(high, a1 * w) and np.array_equal(low, a0 * w)


def test_the_pe_is_written_once() -> None:
    params = replace(MacParams.of(NpuConfig().hw), rows=16, cols=16, lanes=2)
    files = verilog(Mac(params), "stamp_mac")
    assert set(files) == {"stamp_mac.v", "stamp_mac_row.v", "stamp_pe.v"}
    assert len(re.findall(r"^  stamp_mac_row row\d+ \($", files["stamp_mac.v"], re.M)) == 16
    assert len(re.findall(r"^  stamp_pe pe\d+ \($", files["stamp_mac_row.v"], re.M)) == 16
    assert files["stamp_pe.v"].count(" * ") == 1


def test_random_tiles_reach_every_mode_and_both_sides_of_the_tile_time() -> None:
    rng = np.random.default_rng(fresh_seed())
    for params in tb_mac.PARAMETER_SETS.values():
        tiles = [tile for _ in range(60) for tile in tb_mac.random_tiles(params, rng)]
        assert {bool(mode) for tile in tiles for mode in tile.mode4} == {False, True}
        assert {1, params.max_k} <= {tile.steps for tile in tiles}
        if params.max_k > params.min_tile_cycles:
            assert {np.sign(tile.steps - params.min_tile_cycles) for tile in tiles} == {-1, 0, 1}
