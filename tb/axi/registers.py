"""The register map behind AXI4-Lite: what a register holds, which accesses are refused, what is answered when. Tests of
`tb.tb_axi`; what holds for any map is for other benches, too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cocotb

from rtl_gen.axi.registers import JOB_BASE, WORD_BYTES
from tb.axi.bench import OKAY, SLVERR, AxiBench, axi_test


@axi_test
async def every_register_has_its_reset_value_and_keeps_what_it_can_hold(bench: AxiBench) -> None:
    assert bench.table["JOB_WIDTH"].offset == JOB_BASE
    assert {"JOB_WIDTH", "TIMEOUT", "EVENT_SELECT"} <= set(masks(bench))
    for rng in (None, bench.rng):
        bench.pause(rng)
        await registers_hold(bench)
        await bench.reset()


async def registers_hold(bench: AxiBench) -> None:
    """Every register from its reset value on."""
    for name, register in bench.table.items():
        await bench.expect(name, register.reset, "after reset")
    holds = masks(bench)
    written = {name: int(bench.rng.integers(1 << 32)) & mask for name, mask in holds.items()}
    for name, value in written.items():
        assert await bench.write(name, value) == OKAY
    for name, value in written.items():
        await bench.expect(name, value, "after a write")
    await bench.expect("ERROR", 0)
    error = bench.field("ERROR", "range")
    for name in (name for name, mask in holds.items() if mask != 0xFFFFFFFF):
        value = int(bench.rng.integers(1 << 32)) | 1 << 31
        assert await bench.write(name, value) == OKAY
        await bench.expect(name, value & holds[name], "after a value that it cannot hold")
        await bench.expect("ERROR", error, f"after {value:#x} to {name}")
        assert await bench.write("ERROR", error) == OKAY
    for name, register in bench.table.items():
        if not register.writable:
            before = await bench.read(name)
            assert await bench.write(name, 0xFFFFFFFF) == SLVERR, name
            await bench.expect(name, before, "after a write to what is read only")


def masks(bench: AxiBench) -> dict[str, int]:
    """Register that keeps what is written → the bits that it can hold."""
    return {name: register.fields[0].mask for name, register in bench.table.items()
            if register.whole and register.fields[0].access == "rw"}


@axi_test
async def an_interrupt_has_its_own_reasons_whatever_other_registers_hold(bench: AxiBench) -> None:
    """Any words in all of them, then those words with every bit turned: nothing is wrong, and each error alone is the
    reason for an interrupt until it is cleared."""
    error, others = bench.field("IRQ_STATUS", "error"), bench.field("IRQ_ENABLE", "done") | bench.field(
        "IRQ_ENABLE", "taken")
    holds, ctrl = masks(bench), bench.field("CTRL", "token_tlast") | bench.field("CTRL", "ignore_framing")
    words = {name: int(bench.rng.integers(1 << 32)) for name in (*holds, "CTRL")}
    for turned in (0, 0xFFFFFFFF):
        for name, mask in (*holds.items(), ("CTRL", ctrl)):
            assert await bench.write(name, (words[name] ^ turned) & mask) == OKAY
        for number, field in enumerate(bench.table["ERROR"].fields):
            await bench.write("IRQ_ENABLE", error if number % 2 else others)
            for name, wanted in (("ERROR", 0), ("IRQ_STATUS", 0), ("STATUS", bench.at_rest())):
                await bench.expect(name, wanted, f"before {field.name}")
            assert not bench.dut.irq.value, f"an interrupt before {field.name}"
            await bench.write("ERROR_TEST", field.mask)
            await bench.expect("ERROR", field.mask, f"after {field.name} was raised")
            await bench.expect("IRQ_STATUS", error, f"after {field.name} was raised")
            assert bool(bench.dut.irq.value) == bool(number % 2), f"{field.name}: the interrupt that is not asked for"
            await bench.write("ERROR", field.mask)
    await bench.write("IRQ_ENABLE", 0)
    await bench.write("CTRL", 0)
    await bench.write("TIMEOUT", 0)


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
    for name, register in bench.table.items():  # no byte of any other register either
        if register.whole and register.writable:
            for value in (register.fields[0].mask, 0):
                await bench.write(name, value)
                await raw_write(bench, register.offset, ~value & 0xFFFFFFFF, 0)
                await bench.expect(name, value, "after a write without strobes")
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
    await strangers_are_refused(bench)


async def strangers_are_refused(bench: AxiBench) -> None:
    """Bytes within every register's word, and words that are no register."""
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
