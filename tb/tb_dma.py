"""Testbench of the engine with a DMA: chains of layers through a memory, compared byte by byte with the golden model,
and burst by burst with `stamp_hw.dma.walk`."""

from __future__ import annotations

import cocotb
from cocotb.utils import get_sim_time

from rtl_gen.dma.registers import HARMLESS
from rtl_gen.dma.top import Npu
from sim.engine.timing import timing
from stamp_hw.dma import walk
from stamp_hw.dma.descriptor import BYTES
from stamp_hw.dma.params import DmaParams
from stamp_hw.engine import streams as engine_streams
from stamp_hw.engine.params import EngineParams
from tb.axi.bench import PERIOD_NS
from tb.dma.bench import NpuBench, npu_test
from tb.dma.cases import chain
from tb.dma.cycles import a_chain_takes_the_cycles_of_the_model  # noqa: F401  tests of this bench
from tb.dma.descriptors import (  # noqa: F401
    a_descriptor_that_is_none_is_refused_and_nothing_of_it_is_read,
    every_bit_that_a_descriptor_may_have_is_taken,
    no_bit_that_a_descriptor_may_not_have_is_taken,
)
from tb.dma.halts import (  # noqa: F401
    a_flush_while_the_job_is_handed_over_leaves_nothing_behind,
    a_job_that_the_engine_refuses_ends_the_chain,
    a_length_of_any_bits_leaves_the_other_words_alone,
    a_reset_in_the_middle_forgets_the_chain,
    after_a_flush_at_any_moment_the_next_chain_is_right,
    an_error_of_the_bus_ends_the_chain_and_names_the_descriptor,
    lengths_that_do_not_fit_the_job_end_the_chain,
)
from tb.dma.registers import (  # noqa: F401
    an_address_that_is_unknown_or_unaligned_is_refused_and_changes_nothing,
    every_register_has_its_reset_value_and_keeps_what_it_can_hold,
    the_totals_of_events_equal_the_cycle_model,
)
from tb.dma.room import (  # noqa: F401
    an_order_table_may_be_longer_than_the_places_that_are_kept,
    so_many_bursts_go_out_unanswered_as_there_are_places,
    words_that_come_behind_the_last_result_are_left_over,
)
from tb.dma.software import (  # noqa: F401
    chains_are_right_on_a_memory_of_others,
    the_calls_of_the_driver_do_what_they_say,
)
from tb.dma.turns import (  # noqa: F401
    an_order_table_is_read_on_where_nothing_else_asks,
    an_order_table_that_is_too_long_ends_the_chain,
    layers_of_many_bursts_of_every_stream_are_right,
)
from tb.dma.writes import a_memory_may_take_data_or_its_address_first  # noqa: F401

PARAMETER_SETS = {
    "grid64": DmaParams(bus_width=64, burst_words=4, fifo_words=16, address_width=36, engine=EngineParams(
        rows=2, cols=8, lanes=3, axes=2, max_levels=4, max_k=24, max_tokens=300, act_slots=24, rescale_lanes=2,
        in_width=16, acc_width=32, recip_frac=8, z_frac=4, mul_stages=2, packed_weights=True)),
    "line128": DmaParams(bus_width=128, burst_words=16, fifo_words=32, address_width=56, engine=EngineParams(
        rows=3, cols=6, lanes=4, axes=1, max_levels=3, max_k=32, max_tokens=150, act_slots=20, rescale_lanes=6,
        in_width=16, acc_width=24, recip_frac=8, z_frac=4, mul_stages=1, hadamard=16, block=16)),
    "wide512": DmaParams(bus_width=512, burst_words=2, fifo_words=8, address_width=40, engine=EngineParams(
        rows=2, cols=8, lanes=8, axes=2, max_levels=4, max_k=64, max_tokens=64, act_slots=24, rescale_lanes=4,
        in_width=8, acc_width=24, recip_frac=8, z_frac=4, mul_stages=1)),
}
build = Npu
OVERHEAD = 300  # cycles of a layer: registers, a descriptor word by word, the first words and the last responses
WORDS = 12_000  # results of all parameter sets


@npu_test(quota=0.5)
async def chains_of_random_layers_leave_the_memory_of_the_golden_model(bench: NpuBench) -> None:
    for job in bench.jobs():
        bench.mood(job)
        layers = int(bench.rng.integers(1, 5))
        drawn, image = chain(bench.params, bench.rng, layers)
        await bench.run(image, drawn, f"job {job}")


@npu_test
async def a_layer_is_done_when_its_last_write_was_answered(bench: NpuBench) -> None:
    """Its data is all on its way; until then the next descriptor is not read."""
    for _ in range(200):
        drawn, image = chain(bench.params, bench.rng, 2, most_tokens=1, most_k=8)
        places = walk.writes(image.layers[0], drawn[0].chained.table, bench.params)
        if len(walk.bursts([place[:2] for place in places if place.kept], bench.params)) <= 2:
            break
    else:
        raise AssertionError("no layer whose results are two bursts")
    wanted = bench.fill(image, drawn)
    before = await bench.read("DONE")
    bench.memory.slave.b_channel.pause = True
    await bench.launch(image.base)
    await bench.cycles(2_000)
    assert bench.memory.writes, "nothing was written"
    await bench.expect("DONE", before, "without a response")
    await bench.expect("IRQ_STATUS", 0, "without a response")
    bench.check("descriptors that were read", sum(number == 0 for number, _, _ in bench.memory.reads),
                len(walk.bursts([(image.base, BYTES)], bench.params)))
    bench.pause(None)
    await bench.ended()
    await bench.expect("DONE", before + 2)
    bench.same("once it was answered", wanted, drawn)


@npu_test
async def on_a_wide_bus_the_engine_never_waits_for_it(bench: NpuBench) -> None:
    """From the descriptor to the last response a layer takes the engine's own cycles, a bus that moves all that the
    engine could take in one, and what a layer costs by itself."""
    bench.memory.mixed = False
    for _ in range(3):
        bench.mood(0)
        drawn, image = chain(bench.params, bench.rng, 1, most_tokens=40, most_k=bench.params.engine.max_k)
        wanted = bench.fill(image, drawn)
        begin = int(get_sim_time("ns"))
        await bench.write("IRQ_ENABLE", 1)
        await bench.launch(image.base)
        while not bench.dut.irq.value:
            await bench.cycles(1)
        taken = (int(get_sim_time("ns")) - begin) // PERIOD_NS
        job = engine_streams.make_job(drawn[0].layer, drawn[0].config, drawn[0].result)
        alone = timing(bench.params.engine, [job]).cycles
        moved = sum(words for _, _, words in (*bench.memory.reads, *bench.memory.writes))
        cocotb.log.info("%s: %d cycles, the engine alone %d, %d words", drawn[0].name, taken, alone, moved)
        limit = alone + moved if bench.params.bus_bytes < sum(bench.params.beat_bytes.values()) else alone
        assert taken <= limit + OVERHEAD, f"{drawn[0].name}: {taken} cycles, the engine alone {alone}, {moved} words"
        bench.same(drawn[0].name, wanted, drawn)
        await bench.ended()
        await bench.write("IRQ_STATUS", 3)


@npu_test
async def interrupts_come_where_they_are_enabled_and_go_when_they_are_cleared(bench: NpuBench) -> None:
    irq = bench.dut.irq
    for enabled in range(8):
        await bench.write("IRQ_ENABLE", enabled)
        drawn, image = chain(bench.params, bench.rng, 2, most_tokens=6, most_k=8)
        await bench.run(image, drawn, f"enabled {enabled}")
        status = bench.field("IRQ_STATUS", "done") | bench.field("IRQ_STATUS", "layer")
        await bench.expect("IRQ_STATUS", status, "after a chain, whose last layer asks for an interrupt")
        assert bool(irq.value) == bool(enabled & 3)
        for name, bit in (("done", 1), ("layer", 2)):
            await bench.write("IRQ_STATUS", bench.field("IRQ_STATUS", name))
            status &= ~bit
            await bench.expect("IRQ_STATUS", status, f"{name} was cleared")
            assert bool(irq.value) == bool(enabled & status)
        await bench.write("ERROR_TEST", bench.field("ERROR_TEST", "range"))
        await bench.expect("IRQ_STATUS", bench.field("IRQ_STATUS", "error"), "an error")
        assert bool(irq.value) == bool(enabled & 4)
        await bench.write("ERROR", 0xFFFFFFFF)
        await bench.expect("IRQ_STATUS", 0, "which goes with ERROR only")


@npu_test
async def every_error_can_be_raised_on_purpose_and_halts_where_it_should(bench: NpuBench) -> None:
    for field in bench.table["ERROR"].fields:
        await bench.write("ERROR_TEST", field.mask)
        await bench.expect("ERROR", field.mask, f"after {field.name} was raised")
        await bench.expect("STATUS", bench.at_rest(halted=field.name not in HARMLESS), field.name)
        await bench.write("ERROR", 0xFFFFFFFF & ~field.mask)
        await bench.expect("ERROR", field.mask, "after the others were cleared")
        await bench.write("ERROR", field.mask)
        await bench.expect("STATUS", bench.at_rest(), f"after {field.name} was cleared")
    drawn, image = chain(bench.params, bench.rng, 1, most_tokens=6, most_k=8)
    await bench.run(image, drawn, "after all of them")


@npu_test
async def start_is_refused_while_there_is_a_chain(bench: NpuBench) -> None:
    drawn, image = chain(bench.params, bench.rng, 3)
    bench.memory.latency = 100
    wanted = bench.fill(image, drawn)
    await bench.launch(image.base)
    await bench.write("START", 1)
    await bench.expect("ERROR", bench.field("ERROR", "start_busy"), "START while there is a chain")
    await bench.write("ERROR", 0xFFFFFFFF)
    await bench.ended()
    await bench.expect("ERROR", 0, "which went on")
    bench.same("which went on", wanted, drawn)
