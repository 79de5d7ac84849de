"""Registers and totals of events of `stamp_npu`, as those of the engine's AXI top. Tests of `tb.tb_dma`."""

from __future__ import annotations

from collections.abc import Sequence

from rtl_gen.axi.registers import events
from sim.engine.events import events as counts
from stamp_hw.engine import streams as engine_streams
from stamp_hw.engine.linear import run_linear
from stamp_hw.engine.wire_layer import arrange
from tb.axi.events import totals_are
from tb.axi.registers import masks, registers_hold, strangers_are_refused
from tb.dma.bench import NpuBench, npu_test
from tb.dma.cases import DrawnLayer, chain


@npu_test
async def every_register_has_its_reset_value_and_keeps_what_it_can_hold(bench: NpuBench) -> None:
    assert {"CHAIN_LOW", "CHAIN_HIGH", "TIMEOUT", "EVENT_SELECT"} <= set(masks(bench))
    for rng in (None, bench.rng):
        bench.pause(rng)
        await bench.reset()
        await registers_hold(bench)
    bench.pause(None)
    await bench.reset()


@npu_test
async def an_address_that_is_unknown_or_unaligned_is_refused_and_changes_nothing(bench: NpuBench) -> None:
    await strangers_are_refused(bench)


@npu_test
async def the_totals_of_events_equal_the_cycle_model(bench: NpuBench) -> None:
    """After chains, whatever the memory, and together with those before; cleared, they begin anew."""
    await bench.do(bench.calls.clear_events())
    total = dict.fromkeys(events(bench.params.engine), 0)
    for turn in range(6):
        bench.mood(turn)
        drawn, image = chain(bench.params, bench.rng, int(bench.rng.integers(1, 4)))
        await bench.run(image, drawn, f"turn {turn}")
        counted = of_layers(bench, drawn)
        total = {name: total[name] + counted[name] for name in total}
        await totals_are(bench, total, f"turn {turn}")
        if turn >= 2:
            await bench.do(bench.calls.clear_events())
            total = dict.fromkeys(total, 0)


def of_layers(bench: NpuBench, drawn: Sequence[DrawnLayer]) -> dict[str, int]:
    """What the layers of a chain count: event → its total. Filled places beside outliers count as any others."""
    jobs, saturated = [], dict.fromkeys(("rescale", "finish", "hadamard"), 0)
    for one in drawn:
        wire = arrange(one.layer, one.config)
        result = run_linear(wire, one.config)
        jobs.append(engine_streams.make_job(wire, one.config, result))
        for unit, words in (("rescale", result.z_saturated), ("finish", result.sent_saturated),
                            ("hadamard", result.h_saturated)):
            saturated[unit] += words
    return counts(bench.params.engine, jobs, saturated)
