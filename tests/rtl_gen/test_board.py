"""What stands around `stamp_npu` on a board, part by part: line, digits, memory, program, clock, pins."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator

from rtl_gen.board import delivery, ulx3s
from rtl_gen.board.axi_ram import DECERR, AxiRam
from rtl_gen.board.decimal import Decimal
from rtl_gen.board.params import BAUD, BoardParams, divisor
from rtl_gen.board.program import CYCLES, Instruction, Op, Report, program, said
from rtl_gen.board.uart import BITS, Uart
from rtl_gen.dma.registers import npu_registers
from rtl_gen.flow import bitstream
from stamp_hw.config import NpuConfig
from stamp_hw.dma.params import DmaParams
from stamp_hw.errors import ConfigError, OutputError, ToolError
from tests.support.refusals import ROOT

CONFIG = NpuConfig.load(ROOT / "configs" / "ulx3s.yaml")
NPU = DmaParams.of(CONFIG.hw)
REPORT = Report(("first", "second line"), (5, 1536), 6144, 99, {"mac_steps": 138240, "haar_butterflies": 17}, 1 << 20)


def run(unit: Any, bench: Any) -> None:
    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize("cycles", [2, 5, 434])
def test_the_line_carries_bytes_bit_by_bit_and_rests_high(cycles: int, rng: np.random.Generator) -> None:
    unit, sent = Uart(cycles), [0, 255, *rng.integers(0, 256, 4).tolist()]

    async def bench(ctx: Any) -> None:
        line = []
        for byte in sent:
            assert ctx.get(unit.i.ready) and ctx.get(unit.tx)
            ctx.set(unit.i.payload, byte)
            ctx.set(unit.i.valid, 1)
            await ctx.tick()
            ctx.set(unit.i.valid, int(rng.integers(2)))  # what comes while it sends is not taken
            ctx.set(unit.i.payload, byte ^ 0xFF)
            for _ in range(BITS):
                level = ctx.get(unit.tx)
                for _ in range(cycles):
                    assert ctx.get(unit.tx) == level and not ctx.get(unit.i.ready)
                    line.append(level) if len(line) < BITS else None
                    await ctx.tick()
                got.append(level)
            ctx.set(unit.i.valid, 0)

    got: list[int] = []
    run(unit, bench)
    frames = np.array(got).reshape(-1, BITS)
    assert not frames[:, 0].any() and frames[:, -1].all()
    assert [int("".join(map(str, frame[8:0:-1])), 2) for frame in frames] == sent


def test_digits_are_those_of_the_number(rng: np.random.Generator) -> None:
    unit, numbers = Decimal(), [0, 1, 9, 10, 4_294_967_295, *rng.integers(0, 1 << 32, 20).tolist()]

    async def bench(ctx: Any) -> None:
        for number in numbers:
            ctx.set(unit.value, number)
            ctx.set(unit.start, 1)
            await ctx.tick()
            ctx.set(unit.start, 0)
            while ctx.get(unit.busy):
                await ctx.tick()
            assert f"{ctx.get(unit.digits):010x}" == f"{number:010}"

    run(unit, bench)


def test_the_memory_answers_bursts_under_stalls_and_refuses_what_is_beyond_it(rng: np.random.Generator) -> None:
    """Against a Python list: reads and writes side by side, the master stalling, an error beyond the last word."""
    width, beyond = 6, 1 << 6 + 3
    unit = AxiRam(NPU, width)
    held = [int(rng.integers(1 << 62)) for _ in range(1 << width)]
    wanted, bursts = list(held), []
    # Bursts of eight words: reads of the lower half, writes of the other.
    for place, bad in zip(rng.choice(1 << width - 3, 20).tolist(), rng.permutation(np.arange(20) < 4), strict=True):
        bursts.append((place * 8 % (1 << width - 1), bool(bad)))
    writes = [((1 << width - 1) + 8 * int(rng.integers(4)), bool(bad)) for bad in rng.permutation(np.arange(12) < 3)]

    async def ram(ctx: Any) -> None:
        while True:
            enabled, strobes, place = (ctx.get(getattr(unit, f"ram_{name}"))
                                       for name in ("read_en", "write_strb", "write_addr"))
            data, old = ctx.get(unit.ram_write_data), held[ctx.get(unit.ram_read_addr)]
            await ctx.tick()
            for lane in range(8):
                if strobes >> lane & 1:
                    mask = 0xFF << 8 * lane
                    held[place] = held[place] & ~mask | data & mask
            if enabled:
                ctx.set(unit.ram_read_data, old)

    async def reads(ctx: Any) -> None:
        for number, (place, bad) in enumerate(bursts):
            ctx.set(unit.s_axi_arvalid, 1)
            ctx.set(unit.s_axi_araddr, 8 * place + beyond * bad)
            ctx.set(unit.s_axi_arlen, 7)
            ctx.set(unit.s_axi_arid, number % 5)
            while not ctx.get(unit.s_axi_arready):
                await ctx.tick()
            await ctx.tick()
            ctx.set(unit.s_axi_arvalid, 0)
            for word in range(8):
                seen = None
                while True:
                    ready = int(rng.random() < 0.6)
                    ctx.set(unit.s_axi_rready, ready)
                    valid = ctx.get(unit.s_axi_rvalid)
                    now = (ctx.get(unit.s_axi_rid), ctx.get(unit.s_axi_rresp), ctx.get(unit.s_axi_rlast),
                           sum(ctx.get(unit.s_axi_rdata[lane]) << 8 * lane for lane in range(8)))
                    assert seen is None or valid and now == seen, "held while it waits"
                    seen = now if valid and not ready else None
                    await ctx.tick()
                    if valid and ready:
                        break
                assert now[:3] == (number % 5, DECERR if bad else 0, int(word == 7))
                assert bad or now[3] == wanted[place + word]
            ctx.set(unit.s_axi_rready, 0)

    async def written(ctx: Any) -> None:
        for number, (place, bad) in enumerate(writes):
            ctx.set(unit.s_axi_awvalid, 1)
            ctx.set(unit.s_axi_awaddr, 8 * place + beyond * bad)
            ctx.set(unit.s_axi_awid, number % 5)
            while not ctx.get(unit.s_axi_awready):
                await ctx.tick()
            await ctx.tick()
            ctx.set(unit.s_axi_awvalid, 0)
            for word in range(8):
                data, strobes = rng.integers(0, 256, 8).tolist(), int(rng.integers(256))
                ctx.set(unit.s_axi_wvalid, 1)
                for lane in range(8):
                    ctx.set(unit.s_axi_wdata[lane], data[lane])
                    ctx.set(unit.s_axi_wstrb[lane], strobes >> lane & 1)
                    if strobes >> lane & 1 and not bad:
                        mask = 0xFF << 8 * lane
                        wanted[place + word] = wanted[place + word] & ~mask | data[lane] << 8 * lane
                ctx.set(unit.s_axi_wlast, int(word == 7))
                while not ctx.get(unit.s_axi_wready):
                    await ctx.tick()
                await ctx.tick()
                ctx.set(unit.s_axi_wvalid, 0)
                for _ in range(int(rng.integers(2))):
                    await ctx.tick()
            while not ctx.get(unit.s_axi_bvalid):
                await ctx.tick()
            for _ in range(int(rng.integers(4))):
                assert ctx.get(unit.s_axi_bvalid) and not ctx.get(unit.s_axi_awready)
                await ctx.tick()
            ctx.set(unit.s_axi_bready, 1)
            assert (ctx.get(unit.s_axi_bid), ctx.get(unit.s_axi_bresp)) == (number % 5, DECERR if bad else 0)
            await ctx.tick()
            ctx.set(unit.s_axi_bready, 0)

    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(reads)
    simulator.add_testbench(written)
    simulator.add_testbench(ram, background=True)  # last: it sees what the others have set in a cycle
    simulator.run()
    assert held == wanted and any(bad for _, bad in bursts) and any(bad for _, bad in writes)


def interpreted(instructions: tuple[Instruction, ...], numbers: dict[int, int], cycles: int, wrong: int) -> str:
    """What a program sends where a register holds what `numbers` says: another reading of `Op` than the RTL's."""
    value, failed, sent, selected = 0, False, "", 0
    offsets = {register.name: register.offset for register in npu_registers(NPU)}
    for op, data, address in instructions:
        if op in (Op.SAY, Op.SAY_FAILED if failed else Op.SAY_PASSED):
            sent += chr(data)
        elif op == Op.WRITE and address == offsets["EVENT_SELECT"]:
            selected = data
        elif op == Op.READ:
            value = numbers[selected] if address == offsets["EVENT_LOW"] else 0
        elif op in (Op.CYCLES, Op.WRONG):
            value = cycles if op == Op.CYCLES else wrong
        elif op == Op.SHOW:
            sent += str(value)
        elif op == Op.EXPECT:
            failed |= value != data
    return sent


def test_a_program_says_what_is_promised_and_fails_for_every_number_that_is_wrong() -> None:
    made = program(NPU, 0, REPORT)
    right = {0: 17, 12: 138240}
    assert interpreted(made, right, 99, 0) == said(REPORT)
    assert said(REPORT).endswith("\r\nPASS\r\n") and f"\r\n{CYCLES} 99\r\n" in said(REPORT)
    other = {**right, 0: 18}, {**right, 12: 0}
    for numbers, cycles, wrong in ((other[0], 99, 0), (other[1], 99, 0), (right, 98, 0), (right, 99, 1)):
        assert interpreted(made, numbers, cycles, wrong).endswith("\r\nFAIL\r\n")
    assert made[-1].op == Op.END and all(one.word < 1 << 48 for one in made)


@pytest.mark.parametrize("mhz", ulx3s.MHZ)
def test_the_clock_is_what_the_dividers_make_and_the_line_is_near_enough(mhz: int) -> None:
    chosen = ulx3s.pll(mhz)
    assert 25 * chosen.clkfb == mhz * chosen.clki and 25 / chosen.clki >= 3.125
    assert 400 <= mhz * chosen.clkop <= 800 and chosen.clkop <= 128
    assert abs(mhz * 1e6 / divisor(mhz * 1e6) / BAUD - 1) < 0.005


def params() -> BoardParams:
    return BoardParams(npu=NPU, ram_words=100, want_words=10, program_words=20, divisor=217)


def test_every_port_of_the_top_has_a_pin_and_no_pin_is_left_over() -> None:
    text = ulx3s.top(params(), 25)["stamp_ulx3s.v"]
    head = text.partition(");")[0]
    ports = []
    for _, high, name in re.findall(r"^  (input|output) wire (?:\[(\d+):0\] )?(\w+)", head, re.MULTILINE):
        ports += [f"{name}[{bit}]" for bit in range(int(high) + 1)] if high else [name]
    located = re.findall(r'^LOCATE COMP "([^"]+)" SITE "([A-Z]+\d+)";$', ulx3s.constraints(), re.MULTILINE)
    assert sorted(ports) == sorted(name for name, _ in located) and len({site for _, site in located}) == len(located)
    assert re.findall(r'^IOBUF PORT "([^"]+)" ', ulx3s.constraints(), re.MULTILINE) == [name for name, _ in located]


@pytest.mark.parametrize("value", [0, 1, 1 << 16])
def test_a_memory_of_no_words_or_too_many_is_refused(value: int) -> None:
    with pytest.raises(ConfigError, match="BoardParams.ram_words"):
        BoardParams(npu=NPU, ram_words=value, want_words=10, program_words=20, divisor=217)


def test_a_report_of_two_clocks_is_an_error_of_one_line() -> None:
    clock = {"achieved": 61.5, "constraint": 60.0}
    use = {"DP16KD": {"used": 75, "available": 208}, "DCUA": {"used": 0, "available": 2}}
    found = bitstream.routed({"fmax": {"clk": clock}, "utilization": use}, 1.0)
    assert found.met and set(found.cells) == {"DP16KD"}
    assert not bitstream.routed({"fmax": {"clk": {**clock, "achieved": 59.9}}, "utilization": use}, 1.0).met
    with pytest.raises(ToolError, match="a report that cannot be read; got 2 clocks"):
        bitstream.routed({"fmax": {"a": clock, "b": clock}, "utilization": use}, 1.0)


def test_a_folder_of_ours_is_replaced_and_no_other(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"stamp_ulx3s.v": "a", delivery.BITSTREAM: b"\xff\x00", "models/EHXPLLL.v": "b"}
    delivery.write(tmp_path / "out", files, {"board": "ulx3s"})
    assert (tmp_path / "out" / delivery.BITSTREAM).read_bytes() == b"\xff\x00"
    delivery.write(tmp_path / "out", files, {"board": "ulx3s"})
    (tmp_path / "out" / "mine.txt").write_text("x")
    with pytest.raises(OutputError, match="something that was not generated; got mine.txt"):
        delivery.check_target(tmp_path / "out")
