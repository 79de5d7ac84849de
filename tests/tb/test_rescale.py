"""The rescale unit: its cycle model against counting by hand, its RTL against the golden model and the cycle model."""

from __future__ import annotations

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.sim import Simulator

from rtl_gen.rescale import Rescale, RescaleLane, event_layout
from sim import rescale as rescale_sim
from sim.pipeline import always
from stamp_hw.config import NpuConfig
from stamp_hw.errors import ConfigError
from stamp_hw.params import RescaleParams
from tb import tb_rescale
from tb.bench.patterns import listed
from tb.run.block import fresh_seed, run_block

SMALL = {"lanes": 1, "acc_width": 24, "width": 17, "max_k": 64}


@pytest.mark.rtl
@pytest.mark.parametrize("name", tb_rescale.PARAMETER_SETS)
def test_rtl_equals_the_golden_model_in_values_cycles_and_events(name: str) -> None:
    run_block("rescale", name, fresh_seed())


def first_output_cycle(params: RescaleParams, beats: int) -> list[int]:
    """Cycle in which the RTL delivers each of `beats` beats, in Amaranth's own simulator, without stalls."""
    dut = Rescale(params)
    m = Module()
    m.submodules.dut = dut
    taken: list[int] = []

    async def drive(ctx) -> None:  # type: ignore[no-untyped-def]
        ctx.set(dut.i.valid, 1)
        ctx.set(dut.o.ready, 1)
        for cycle in range(beats + params.latency + 2):
            if cycle == beats:
                ctx.set(dut.i.valid, 0)
            if ctx.get(dut.o.valid):
                taken.append(cycle)
            await ctx.tick()

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()
    return taken


def test_a_deeper_multiplier_moves_rtl_and_cycle_model_alike() -> None:
    seen = []
    for mul_stages in (1, 2, 3, 4):
        params = RescaleParams(**SMALL, mul_stages=mul_stages)
        cycles = first_output_cycle(params, 3)
        assert cycles == rescale_sim.timing(params, 3).outputs.tolist()
        seen.append(cycles[0])
    assert seen == [12, 14, 16, 18]


@pytest.mark.parametrize("mul_stages", [1, 4])
@pytest.mark.parametrize("beats", [0, 1, 2, 57])
def test_without_stalls_the_closed_form_is_what_the_pipeline_steps_to(mul_stages: int, beats: int) -> None:
    params = RescaleParams(**SMALL, mul_stages=mul_stages)
    timing = rescale_sim.timing(params, beats)
    assert timing.cycles == rescale_sim.cycles(params, beats)
    assert timing.inputs.tolist() == list(range(beats))
    assert timing.outputs.tolist() == [params.latency + beat for beat in range(beats)]


def test_a_waiting_output_holds_every_stage() -> None:
    """Ready in cycles 3, 7, 11, …: the first beat arrives in cycle 12 and leaves in 15, the others every fourth."""
    params = RescaleParams(**SMALL, mul_stages=1)
    timing = rescale_sim.timing(params, 20, always, listed([0, 0, 0, 1]))
    assert timing.outputs.tolist() == [15 + 4 * beat for beat in range(20)]
    assert timing.inputs.tolist()[:14] == [*range(12), 15, 19]


def test_events_count_three_products_a_word() -> None:
    params = RescaleParams(lanes=5, acc_width=24, width=17, max_k=64, mul_stages=1)
    assert rescale_sim.events(params, 7, 2) == rescale_sim.RescaleEvents(multiplies=105, outputs=35, saturated=2)
    assert set(rescale_sim.RescaleEvents.__dataclass_fields__) == {name for name, _ in event_layout(params)}


@pytest.mark.parametrize(("width", "channels"), [(18, 16384), (17, 32768)])
def test_the_inner_widths_hold_the_largest_sums_and_stay_within_the_contract(width: int, channels: int) -> None:
    params = RescaleParams(lanes=1, acc_width=32, width=width, max_k=channels, mul_stages=2)
    largest = 255 * 2 ** (width - 1) * 128 * channels
    assert -(1 << (params.total_width - 1)) <= -largest and largest < 1 << (params.total_width - 1)
    assert params.total_width == 47 and params.product_width == 63
    assert largest * (2**16 - 1) < 1 << (params.product_width - 1)


def test_a_t_beyond_48_bits_is_refused() -> None:
    assert RescaleParams(lanes=1, acc_width=32, width=17, max_k=32768, mul_stages=2, blocks=True).total_width == 48
    with pytest.raises(ConfigError, match="max_k: T does not fit; got 32768; expected at most 16384 with"):
        RescaleParams(lanes=1, acc_width=32, width=18, max_k=32768, mul_stages=2)


@pytest.mark.rtl
def test_rtl_of_32768_channels_equals_the_golden_model() -> None:
    run_block("rescale", "long", fresh_seed(), words=4000, params=RescaleParams(
        lanes=2, acc_width=32, width=17, max_k=32768, mul_stages=2))


def test_parameters_come_from_the_one_configuration() -> None:
    params = RescaleParams.of(NpuConfig().hw)
    assert (params.lanes, params.width, params.max_k) == (1, 18, 4096)
    with pytest.raises(ConfigError, match="RescaleParams.width"):
        RescaleParams(lanes=1, acc_width=32, width=19, max_k=64, mul_stages=1)


def test_lanes_share_one_module() -> None:
    from rtl_gen.verilog.emit import verilog
    files = verilog(Rescale(tb_rescale.PARAMETER_SETS["eleven"]), "stamp_rescale")
    assert list(files) == ["stamp_rescale.v", "stamp_rescale_lane.v"]
    assert files["stamp_rescale.v"].count("stamp_rescale_lane lane") == 11
    alone = RescaleLane(tb_rescale.PARAMETER_SETS["eleven"])
    assert verilog(alone, "stamp_rescale_lane")["stamp_rescale_lane.v"].count(" <= ") > 20


def test_drawn_jobs_are_legal_and_reach_saturation_on_both_sides() -> None:
    rng = np.random.default_rng(fresh_seed())
    for params in tb_rescale.PARAMETER_SETS.values():
        jobs = [tb_rescale.draw(params, rng, 50, 5, symmetric) for symmetric in (False, True) for _ in range(4)]
        z = np.concatenate([job.expected().ravel() for job in jobs])
        assert {-(1 << 23), (1 << 23) - 1} <= set(z.tolist())
        assert 0.05 < np.mean((z != 0) & (np.abs(z) < (1 << 23) - 1)) < 0.95
        assert max(np.abs(job.totals()).max() for job in jobs).item().bit_length() < params.total_width
