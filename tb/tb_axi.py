"""Testbench of the engine's AXI top: registers by an AXI4-Lite master, layers through AXI4-Stream sources and a sink.

Values come from the golden model by way of `stamp_hw.engine_streams`; cycles belong to the plain engine's own bench.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cocotb
import numpy as np

from rtl_gen.axi import EngineAxi
from rtl_gen.registers import EDGE_ERROR_BIT, JOB_BASE, WORD_BYTES
from stamp_hw.engine_params import EngineParams
from tb.axi_bench import HANG_CYCLES, OKAY, SLVERR, AxiBench, axi_test
from tb.axi_cases import Drawn, draw

PARAMETER_SETS = {
    "grid": EngineParams(rows=2, cols=4, lanes=3, axes=2, max_levels=4, max_k=24, max_tokens=64, act_slots=24,
                         rescale_lanes=2, in_width=16, acc_width=32, recip_frac=8, z_frac=4, mul_stages=2),
    "line": EngineParams(rows=3, cols=3, lanes=2, axes=1, max_levels=3, max_k=20, max_tokens=50, act_slots=20,
                         rescale_lanes=3, in_width=10, acc_width=24, recip_frac=8, z_frac=4, mul_stages=1),
}
build = EngineAxi
WORDS = 20_000  # output words of all parameter sets: Python drives and samples every byte

ILLEGAL, OVERFLOW, FRAMING, INTERNAL = (1 << bit for bit in range(4))
START_BUSY, RANGE = 1 << EDGE_ERROR_BIT, 2 << EDGE_ERROR_BIT
IRQ_DONE, IRQ_TAKEN, IRQ_ERROR = 1, 2, 4


async def run(bench: AxiBench, layers: Sequence[Drawn], where: str) -> None:
    """Layers back to back: all beats wait at the ports, each job is started as soon as START is free."""
    before = await bench.read("DONE")

    async def launch() -> AssertionError | None:
        try:
            for layer in layers:
                await bench.launch(layer.beats["job"])
        except AssertionError as error:  # a task that fails would end the test as if the bench had crashed
            return error
        return None

    starting = cocotb.start_soon(launch())
    for layer in layers:
        bench.feed(layer.beats)
    for index, layer in enumerate(layers):
        await bench.collect(f"{where}, layer {index} ({layer.name})", layer.beats["o"])
    failed = await bench.within(starting)
    if failed is not None:
        raise failed
    await bench.expect("ERROR", 0, where)
    await bench.expect("DONE", before + len(layers), where)
    await bench.until("STATUS", "idle", 1)


@axi_test
async def every_register_has_its_reset_value_and_keeps_what_it_can_hold(bench: AxiBench) -> None:
    for rng in (None, bench.rng):
        bench.pause(rng)
        await registers_hold(bench)
        await bench.reset()


async def registers_hold(bench: AxiBench) -> None:
    """Every register from its reset value on."""
    for name, register in bench.table.items():
        await bench.expect(name, register.reset, "after reset")
    jobs = [name for name in bench.table if name.startswith("JOB_")]
    assert jobs[0] == "JOB_WIDTH" and bench.table[jobs[0]].offset == JOB_BASE
    holds = {name: bench.table[name].fields[0].mask for name in jobs}
    written = {name: int(bench.rng.integers(1 << 32)) & mask for name, mask in holds.items()}
    for name, value in written.items():
        assert await bench.write(name, value) == OKAY
    for name, value in written.items():
        await bench.expect(name, value, "after a write")
    await bench.expect("ERROR", 0)
    for name in jobs:
        value = int(bench.rng.integers(1 << 32)) | 1 << 31
        assert await bench.write(name, value) == OKAY
        await bench.expect(name, value & holds[name], "after a value that it cannot hold")
        await bench.expect("ERROR", RANGE, f"after {value:#x} to {name}")
        assert await bench.write("ERROR", RANGE) == OKAY
    for name, register in bench.table.items():
        if not register.writable:
            before = await bench.read(name)
            assert await bench.write(name, 0xFFFFFFFF) == SLVERR, name
            await bench.expect(name, before, "after a write to what is read only")


@axi_test
async def a_byte_without_its_strobe_is_not_written(bench: AxiBench) -> None:
    width = bench.table["JOB_COLUMNS"]
    kept = 0
    for turn in range(60):
        if turn % 30 == 0:
            bench.pause(bench.rng if turn else None)
        strobes = int(bench.rng.integers(16))
        value = int(bench.rng.integers(1 << 16))
        await raw_write(bench, width.offset, value, strobes)
        mask = sum(0xFF << 8 * lane for lane in range(WORD_BYTES) if strobes >> lane & 1)
        kept = (kept & ~mask | value & mask) & width.fields[0].mask
        await bench.expect("JOB_COLUMNS", kept, f"strobes {strobes:04b}")
    await raw_write(bench, bench.table["START"].offset, 1, 0b1110)  # START without its byte is no START
    await bench.expect("STATUS", bench.field("STATUS", "idle"))
    await raw_write(bench, width.offset, 0xFFFF0000, 0b0011)
    await bench.expect("ERROR", 0, "the bytes that do not fit had no strobe")


async def raw_write(bench: AxiBench, address: int, value: int, strobes: int) -> int:
    """One write with any strobes; returns the response."""
    channels = bench.lite.write_if
    head, word = channels.aw_channel._transaction_obj(awaddr=address), channels.w_channel._transaction_obj()
    word.wdata, word.wstrb = value, strobes
    await channels.aw_channel.send(head)
    await channels.w_channel.send(word)
    return int((await bench.within(channels.b_channel.recv())).bresp)


@axi_test
async def an_address_that_is_unknown_or_unaligned_is_refused_and_changes_nothing(bench: AxiBench) -> None:
    known = {register.offset for register in bench.table.values()}
    addresses = [offset + odd for offset in sorted(known) for odd in (1, 2, 3)]
    addresses += [4 * int(word) for word in bench.rng.permutation(1024) if 4 * word not in known][:60]
    before = {name: await bench.read(name) for name in bench.table}
    for turn, address in enumerate(bench.rng.permutation(addresses).tolist()):
        if turn % 50 == 0:
            bench.pause(bench.rng if turn % 100 else None)
        assert await bench.write_bytes(address, b"\xff") == SLVERR, hex(address)
        assert await bench.read_word(address) == (0, SLVERR), hex(address)
    for name, value in before.items():
        await bench.expect(name, value, "after writes to no register")


@axi_test
async def a_write_takes_its_address_and_data_in_either_order(bench: AxiBench) -> None:
    write = bench.lite.write_if
    for late in (write.aw_channel, write.w_channel, None):
        for value in bench.rng.integers(1 << 16, size=5).tolist():
            if late is not None:
                late.pause = True
            task = cocotb.start_soon(bench.write("JOB_COLUMNS", value))
            await bench.cycles(int(bench.rng.integers(5, 20)))
            if late is not None:
                assert not task.done() and not bench.dut.s_axil_bvalid.value
                late.pause = False
            assert await bench.within(task) == OKAY
            await bench.expect("JOB_COLUMNS", value)


@axi_test
async def answers_come_in_order_and_none_is_lost(bench: AxiBench) -> None:
    """Many accesses on their way at once, some refused: while no answer is taken, without stalls, under any stalls."""
    answers = (bench.lite.write_if.b_channel, bench.lite.read_if.r_channel)
    for channel in answers:
        channel.pause = True
    waiting = accesses(bench, 8)
    await bench.cycles(60)
    for channel in answers:
        channel.pause = False
    await answered(bench, waiting)
    for rng in (None, bench.rng):
        bench.pause(rng)
        await answered(bench, accesses(bench, 40))


def accesses(bench: AxiBench, turns: int) -> list[tuple[Any, Any, tuple[int, int, int]]]:
    """A write and a read in each turn, all under way: both, and (response to the write, value read, response)."""
    found = []
    for turn in range(turns):
        value = int(bench.rng.integers(1 << 16))
        good = bool(bench.rng.integers(2))
        address = bench.table["JOB_COLUMNS"].offset + (0 if good else 1 << 11)
        write = cocotb.start_soon(bench.lite.write(address, value.to_bytes(WORD_BYTES, "little")))
        register = list(bench.table.values())[turn % len(bench.table)]
        fixed = register.fields[0].access == "const"
        read = cocotb.start_soon(bench.lite.read(register.offset if fixed else 1 << 11, WORD_BYTES))
        found.append((write, read, (OKAY if good else SLVERR, register.reset if fixed else 0,
                                    OKAY if fixed else SLVERR)))
    return found


async def answered(bench: AxiBench, under_way: Sequence[tuple[Any, Any, tuple[int, int, int]]]) -> None:
    """Wait for the answers and compare them."""
    for write, read, (response, value, answer) in under_way:
        bench.check("response to a write", int((await bench.within(write)).resp), response)
        found = await bench.within(read)
        bench.check("response to a read", int(found.resp), answer)
        bench.check("answer to a read", int.from_bytes(found.data, "little"), value)


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


@axi_test(quota=0.8)
async def layers_of_random_shapes_are_right_under_pauses_on_every_channel(bench: AxiBench) -> None:
    for job in bench.jobs():
        bench.pause(bench.rng if job % 4 else None)
        await run(bench, [draw(bench.params, bench.rng) for _ in range(int(bench.rng.integers(1, 5)))], f"job {job}")


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
    for name in ("width", "beats", "columns", "tail", "out_beats"):
        layer = draw(bench.params, bench.rng)
        before = await bench.read("DONE")
        await bench.launch({**layer.beats["job"], name: 0})
        await bench.until("STATUS", "idle", 1)
        await bench.expect("ERROR", ILLEGAL, f"{name} = 0")
        await bench.expect("DONE", before, "an illegal job is never done")
        bench.feed(layer.beats)
        await bench.launch(layer.beats["job"])
        await bench.collect(f"after {name} = 0 ({layer.name})", layer.beats["o"])
        await bench.expect("ERROR", ILLEGAL, "which stays")
        assert await bench.write("ERROR", FRAMING | RANGE) == OKAY
        await bench.expect("ERROR", ILLEGAL, "after others were cleared")
        assert await bench.write("ERROR", ILLEGAL) == OKAY
        await bench.expect("ERROR", 0, "after it was cleared")


@axi_test
async def a_super_tile_beyond_the_buffers_sets_overflow_and_the_next_job_is_right(bench: AxiBench) -> None:
    """In one super-tile a token more than fits even where two share each row; where no job has so many, all fit."""
    params = bench.params
    tokens = 2 * params.act_tiles * params.rows + 1
    if tokens > params.max_tokens:
        return
    layer = draw(params, bench.rng, tokens=tokens)
    job = {name: int(np.asarray(value).item()) for name, value in layer.beats["job"].items()}
    side, columns = 1 << job["levels"], job["columns"]
    passed = {"w": ((job["beats"] - 1) * params.lanes + job["tail"]) * columns, "p": params.cols * columns}
    before = await bench.read("DONE")
    bench.feed({name: {field: values[: passed.get(name)] for field, values in stream.items()}
                for name, stream in layer.beats.items()})
    await bench.launch({**job, "tile_width": -(-job["width"] // side) * side})
    fill = job["width"] * max(job["beats"], params.haar.min_slot_cycles)  # before the first result
    for _ in range((job["width"] + job["n_sink"]) * columns):
        await bench.within(bench.out.recv(), HANG_CYCLES + fill)
    await bench.until("STATUS", "idle", 1)
    await bench.expect("ERROR", OVERFLOW, layer.name)
    await bench.expect("DONE", before + 1, "the job ended in time")
    await reasons_hold(bench, "after an overflow")
    assert await bench.write("ERROR", OVERFLOW) == OKAY
    await run(bench, [draw(params, bench.rng)], "after an overflow")


@axi_test
async def a_token_without_its_tlast_sets_framing(bench: AxiBench) -> None:
    layer = draw(bench.params, bench.rng, tokens=9)
    last = layer.beats["i"]["last"].copy()
    last[np.flatnonzero(last)[3]] = 0
    bench.feed({**layer.beats, "i": {**layer.beats["i"], "last": last}})
    await bench.launch(layer.beats["job"])
    await bench.collect(layer.name, layer.beats["o"])  # counted in beats, so that the values stay right
    await bench.expect("ERROR", FRAMING)
    await reasons_hold(bench, "after a token without its TLAST")


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
        await bench.until("STATUS", "idle", 1)
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
        await run(bench, layers[1:], f"after reset {round_}")
