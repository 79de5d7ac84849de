"""Testbench of the engine's AXI top: registers by an AXI4-Lite master, layers through AXI4-Stream sources and a sink.

Values come from the golden model by way of `stamp_hw.engine.streams`; cycles belong to the plain engine's own bench.
"""

from __future__ import annotations

import cocotb
import numpy as np

from rtl_gen.axi.registers import EDGE_ERROR_BIT, WORD_BYTES
from rtl_gen.axi.top import EngineAxi
from stamp_hw.engine.params import EngineParams
from stamp_hw.engine.wire import result_beat_bytes
from stamp_hw.weight_groups import SIZES
from tb.axi.bench import BEAT_CYCLES, HANG_CYCLES, OKAY, AxiBench, axi_test
from tb.axi.cases import draw
from tb.axi.events import (  # noqa: F401  tests of this bench
    a_total_that_was_cleared_shows_nothing_of_before,
    the_totals_of_events_equal_the_cycle_model,
)
from tb.axi.halts import (  # noqa: F401  tests of this bench
    ZERO_IS_ILLEGAL,
    a_job_without_its_beats_ends_in_a_timeout_and_the_next_one_is_right,
    a_refused_job_leaves_nothing_behind,
    after_a_flush_at_any_moment_the_next_job_is_right,
    every_error_can_be_raised_on_purpose,
    no_timeout_comes_where_it_is_off_or_the_beats_come_in_time,
    swallowed,
)
from tb.axi.registers import (  # noqa: F401  tests of this bench
    a_byte_without_its_strobe_is_not_written,
    a_write_takes_its_address_and_data_in_either_order,
    an_address_that_is_unknown_or_unaligned_is_refused_and_changes_nothing,
    an_interrupt_has_its_own_reasons_whatever_other_registers_hold,
    answers_come_in_order_and_none_is_lost,
    every_register_has_its_reset_value_and_keeps_what_it_can_hold,
)
from tb.engine.illegal_pairs import illegal_pairs

PARAMETER_SETS = {
    "grid": EngineParams(rows=2, cols=4, lanes=3, axes=2, max_levels=4, max_k=24, max_tokens=64, act_slots=24,
                         rescale_lanes=2, in_width=16, acc_width=32, recip_frac=8, z_frac=4, mul_stages=2,
                         packed_weights=True),
    "line": EngineParams(rows=3, cols=3, lanes=2, axes=1, max_levels=3, max_k=32, max_tokens=50, act_slots=20,
                         rescale_lanes=3, in_width=10, acc_width=24, recip_frac=8, z_frac=4, mul_stages=1, hadamard=16,
                         block=16),
}
build = EngineAxi
WORDS = 14_000  # output words of all parameter sets: Python drives and samples every byte

ILLEGAL, OVERFLOW, FRAMING, INTERNAL = (1 << bit for bit in range(4))
START_BUSY, RANGE = 1 << EDGE_ERROR_BIT, 2 << EDGE_ERROR_BIT
IRQ_DONE, IRQ_TAKEN, IRQ_ERROR = 1, 2, 4


@axi_test
async def valid_rises_without_waiting_for_ready(bench: AxiBench) -> None:
    channels = (bench.lite.write_if.b_channel, bench.lite.read_if.r_channel, bench.out)
    for channel in channels:
        channel.pause = True
    writing = cocotb.start_soon(bench.write("IRQ_ENABLE", 5))
    reading = cocotb.start_soon(bench.read("ID"))
    await bench.cycles(30)
    assert bench.dut.s_axil_bvalid.value and bench.dut.s_axil_rvalid.value and not (writing.done() or reading.done())
    for channel in channels[:2]:
        channel.pause = False
    assert await bench.within(writing) == OKAY and await bench.within(reading) == bench.table["ID"].reset
    layer = draw(bench.params, bench.rng)
    bench.feed(layer.beats)
    await bench.launch(layer.beats["job"])
    waited = 0
    while not bench.dut.m_axis_out_tvalid.value:
        waited += 1
        assert waited < HANG_CYCLES, f"hang: no result in {HANG_CYCLES} cycles"
        await bench.cycles(1)
    await bench.cycles(50)
    bench.out.pause = False
    await bench.collect(layer.name, layer.beats["o"])


@axi_test(quota=0.5)
async def layers_of_random_shapes_are_right_under_pauses_on_every_channel(bench: AxiBench) -> None:
    for job in bench.jobs():
        bench.pause(bench.rng if job % 4 else None)
        await bench.play([draw(bench.params, bench.rng) for _ in range(int(bench.rng.integers(1, 5)))], f"job {job}")


@axi_test(quota=0.2)
async def the_next_job_is_written_while_one_runs_and_another_waits(bench: AxiBench) -> None:
    """One job runs, one waits, the third's registers are written; START is refused until the second was taken."""
    for job in bench.jobs():
        bench.pause(bench.rng if job % 2 else None)
        first, second, third = (draw(bench.params, bench.rng) for _ in range(3))
        await bench.launch(first.beats["job"])
        await bench.until("STATUS", "busy", 0)
        await bench.launch(second.beats["job"])
        await bench.program(third.beats["job"])
        await bench.cycles(100)
        await bench.expect("STATUS", bench.field("STATUS", "busy"), "without tokens the first job holds the second")
        assert await bench.write("START", 1) == OKAY
        await bench.expect("ERROR", START_BUSY, "after START while one waits")
        assert await bench.write("ERROR", START_BUSY) == OKAY
        await bench.expect("ERROR", 0, "after it was cleared")
        for layer in (first, second, third):
            bench.feed(layer.beats)
        await bench.collect(f"job {job}, first ({first.name})", first.beats["o"])
        await bench.collect(f"job {job}, second ({second.name})", second.beats["o"])
        await bench.until("STATUS", "busy", 0)
        await bench.write("START", 1)
        await bench.collect(f"job {job}, third ({third.name})", third.beats["o"])
        await bench.expect("ERROR", 0, f"job {job}")


@axi_test
async def an_illegal_job_is_dropped_with_its_error_and_the_next_one_is_right(bench: AxiBench) -> None:
    for name in ZERO_IS_ILLEGAL:
        layer = draw(bench.params, bench.rng)
        before = await bench.read("DONE")
        await bench.launch({**layer.beats["job"], name: 0})
        await bench.until("STATUS", "halted", 1)
        await bench.expect("ERROR", ILLEGAL, f"{name} = 0")
        await bench.expect("DONE", before, "an illegal job is never done")
        assert await bench.write("ERROR", FRAMING | RANGE) == OKAY
        await bench.expect("ERROR", ILLEGAL, "after others were cleared")
        assert await bench.write("ERROR", ILLEGAL) == OKAY
        await bench.play([layer], f"after {name} = 0")


@axi_test
async def a_super_tile_beyond_the_buffers_sets_overflow_and_the_next_job_is_right(bench: AxiBench) -> None:
    """In one super-tile a token more than fits even where two share each row; where no job has so many, all fit."""
    params = bench.params
    tokens = 2 * params.act_tiles * params.rows + 1
    if tokens > params.max_tokens:
        bench.nothing(f"no job has the {tokens} tokens that it takes")
        return
    layer = draw(params, bench.rng, tokens=tokens)
    job = {name: int(np.asarray(value).item()) for name, value in layer.beats["job"].items()}
    side = 1 << job["levels"]
    before = await bench.read("DONE")
    bench.feed(layer.beats)  # weights and parameters of several super-tiles: all but the first's are too many
    await bench.launch({**job, "tile_width": -(-job["width"] // side) * side})
    fill = job["width"] * max(job["beats"], params.haar.min_slot_cycles)  # before the first result
    beats = len(layer.beats["o"]["last"])
    frame = await bench.within(bench.out.recv(compact=False), HANG_CYCLES + fill + BEAT_CYCLES * beats)
    bench.check("bytes of results", len(frame.tdata), result_beat_bytes(params) * beats)
    await swallowed(bench)
    await bench.expect("STATUS", bench.at_rest(halted=True), layer.name)
    await bench.expect("ERROR", OVERFLOW, layer.name)
    await bench.expect("DONE", before + 1, "the job ended in time")
    await reasons_hold(bench, "after an overflow")
    assert await bench.write("ERROR", OVERFLOW) == OKAY
    await bench.play([draw(params, bench.rng)], "after an overflow")


@axi_test
async def a_token_without_its_tlast_sets_framing(bench: AxiBench) -> None:
    drawn = (draw(bench.params, bench.rng) for _ in range(20))
    layer = next((layer for layer in drawn if np.count_nonzero(layer.beats["i"]["last"]) > 1), None)
    if layer is None:
        bench.nothing("a job has one token, whose last beat ends the packet in any case")
        return
    last = layer.beats["i"]["last"].copy()
    last[bench.rng.choice(np.flatnonzero(last)[:-1])] = 0
    bench.feed({**layer.beats, "i": {**layer.beats["i"], "last": last}})
    await bench.launch(layer.beats["job"])
    await bench.collect(layer.name, layer.beats["o"])  # counted in beats, so that the values stay right
    await bench.expect("ERROR", FRAMING)
    await reasons_hold(bench, "after a token without its TLAST")
    await bench.write("ERROR", FRAMING)


@axi_test
async def weights_that_leave_int8_saturate_and_set_their_error(bench: AxiBench) -> None:
    if not bench.params.packed_weights:
        bench.nothing("weights are bytes here")
        return
    for turn in range(8):
        layer, errors = illegal_pairs(bench.rng, bench.params, SIZES[0], turn % 4)
        bench.feed(layer.beats)
        await bench.launch(layer.beats["job"])
        await bench.collect(layer.name, layer.beats["o"])
        await bench.expect("ERROR", bench.field("ERROR", "weights") if errors else 0, layer.name)
        await bench.write("ERROR", bench.field("ERROR", "weights"))


@axi_test
async def all_tokens_may_be_one_packet_where_framing_is_ignored(bench: AxiBench) -> None:
    for ignored in (True, False):
        await bench.write("CTRL", bench.field("CTRL", "ignore_framing") if ignored else 0)
        for one_packet in (True, False):
            layer = draw(bench.params, bench.rng)
            bench.feed(layer.beats, one_packet)
            await bench.launch(layer.beats["job"])
            await bench.collect(layer.name, layer.beats["o"])
            several = one_packet and np.count_nonzero(layer.beats["i"]["last"]) > 1
            await bench.expect("ERROR", FRAMING if several and not ignored else 0, layer.name)
            await bench.write("ERROR", FRAMING)


@axi_test
async def tlast_ends_a_job_or_each_token_of_a_column_tile(bench: AxiBench) -> None:
    for turn in range(4):
        bench.pause(bench.rng if turn >= 2 else None)
        bench.per_token = turn % 2 == 0
        await bench.write("CTRL", bench.field("CTRL", "token_tlast") if bench.per_token else 0)
        await bench.play([draw(bench.params, bench.rng) for _ in range(3)], f"turn {turn}")


async def reasons_hold(bench: AxiBench, where: str) -> None:
    """Of a job that ended with an error, every cycle: the reasons for an interrupt stay until each is cleared."""
    for cleared, left in ((0, IRQ_DONE | IRQ_TAKEN | IRQ_ERROR), (IRQ_DONE, IRQ_TAKEN | IRQ_ERROR),
                          (IRQ_TAKEN, IRQ_ERROR)):
        await bench.write("IRQ_STATUS", cleared)
        for enabled in (IRQ_DONE, IRQ_TAKEN):
            await bench.write("IRQ_ENABLE", enabled)
            for _ in range(6):
                await bench.cycles(1)
                assert bool(bench.dut.irq.value) == bool(enabled & left), f"irq {where}, enabled {enabled}"
        await bench.expect("IRQ_STATUS", left, where)
    await bench.write("IRQ_ENABLE", 0)


@axi_test
async def interrupts_come_where_they_are_enabled_and_go_when_they_are_cleared(bench: AxiBench) -> None:
    irq = bench.dut.irq
    for enabled in range(8):
        await bench.write("IRQ_ENABLE", enabled)
        layer = draw(bench.params, bench.rng)
        await bench.launch(layer.beats["job"])
        await bench.until("STATUS", "busy", 0)
        await bench.expect("IRQ_STATUS", IRQ_TAKEN, "once the job was taken")
        assert bool(irq.value) == bool(enabled & IRQ_TAKEN)
        await bench.write("IRQ_STATUS", IRQ_TAKEN)
        await bench.expect("IRQ_STATUS", 0, "after it was cleared")
        bench.feed(layer.beats)
        await bench.collect(layer.name, layer.beats["o"])
        await bench.expect("IRQ_STATUS", IRQ_DONE, "after the last result")
        assert bool(irq.value) == bool(enabled & IRQ_DONE)
        await bench.write("IRQ_STATUS", IRQ_DONE)
        await bench.launch({**layer.beats["job"], "beats": 0})
        await bench.until("STATUS", "halted", 1)
        await bench.write("IRQ_STATUS", IRQ_TAKEN)
        await bench.expect("IRQ_STATUS", IRQ_ERROR, "after an illegal job")
        assert bool(irq.value) == bool(enabled & IRQ_ERROR)
        await bench.write("IRQ_STATUS", IRQ_ERROR)
        await bench.expect("IRQ_STATUS", IRQ_ERROR, "which goes with ERROR only")
        await bench.write("ERROR", ILLEGAL)
        await bench.expect("IRQ_STATUS", 0)
        assert not irq.value


@axi_test
async def a_reset_in_the_middle_forgets_the_job_and_the_registers(bench: AxiBench) -> None:
    for round_ in range(8):
        bench.pause(bench.rng if round_ % 2 else None)
        layers = [draw(bench.params, bench.rng) for _ in range(2)]
        if round_ < 4:
            for layer in layers:
                bench.feed(layer.beats)
        await bench.launch(layers[0].beats["job"])
        if round_ >= 4:  # without tokens it runs for ever and the second one waits
            await bench.launch(layers[1].beats["job"])
        await bench.cycles(int(bench.rng.integers(1, 400)))
        bench.pause(None)
        bench.lite.write_if.b_channel.pause = bench.lite.read_if.r_channel.pause = True
        bench.lite.init_write(bench.table["JOB_WIDTH"].offset, b"\1\0\0\0")
        bench.lite.init_read(bench.table["ID"].offset, WORD_BYTES)
        await bench.cycles(10)
        assert bench.dut.s_axil_bvalid.value and bench.dut.s_axil_rvalid.value, "no answers wait for the reset to come"
        bench.pause(None)
        await bench.reset(int(bench.rng.integers(1, 4)))
        for name, register in bench.table.items():
            await bench.expect(name, register.reset, "after a reset in the middle")
        await bench.play(layers[1:], f"after reset {round_}")
