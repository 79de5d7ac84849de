"""What ends a job before its time, behind AXI: a flush, a time-out, registers that are refused. After each of them the
next job must be right, wherever the beats of the last one were. Tests of `tb.tb_axi`."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from stamp_hw.engine.streams import Beats
from tb.axi.bench import AxiBench, axi_test
from tb.axi.cases import Drawn, draw
from tb.bench.harness import TOTALS

STREAMS = ("i", "w", "p")
LONGEST = 900  # cycles from START to a flush, at most; most jobs of these shapes are shorter
ZERO_IS_ILLEGAL = ("width", "beats", "columns", "tail", "out_beats")  # 0 in any of these registers


@axi_test(quota=0.3)
async def after_a_flush_at_any_moment_the_next_job_is_right(bench: AxiBench) -> None:
    """Jobs that lack beats, have too many, are illegal or run as they should are flushed in any cycle."""
    for case in bench.jobs():
        rng = bench.rng
        bench.pause(rng if case % 3 else None)
        layers = [small(bench) for _ in range(int(rng.integers(1, 4)))]
        bad = bool(rng.random() < 0.15)
        bench.feed({name: cut(rng, joined(layers, name)) for name in STREAMS})
        cycles = int(LONGEST ** rng.random())
        where = f"case {case}, flushed after {cycles} cycles{', illegal' if bad else ''}"
        for layer in layers[:2]:
            await bench.program(layer.beats["job"] | ({str(rng.choice(ZERO_IS_ILLEGAL)): 0} if bad else {}))
            await bench.write("START", 1)  # to no effect where two jobs are there already
        await bench.cycles(cycles)
        await flush(bench, [] if bad else layers[:2], where)
        await bench.play([small(bench)], f"after {where}")
        TOTALS.runs += 1


def small(bench: AxiBench) -> Drawn:
    """A layer of a few tokens and channels."""
    return draw(bench.params, bench.rng, most_tokens=12, most_k=9)


def joined(layers: Sequence[Drawn], name: str) -> Beats:
    """The beats of a stream, layer after layer."""
    return {field: np.concatenate([layer.beats[name][field] for layer in layers]) for field in layers[0].beats[name]}


def cut(rng: np.random.Generator, beats: Beats) -> Beats:
    """All beats of a stream, the first few, or more than there should be."""
    count = len(next(iter(beats.values())))
    kept = int(rng.choice([count, count, int(rng.integers(count + 1)), count + int(rng.integers(1, 9))]))
    return {name: np.resize(values, (kept, *np.shape(values)[1:])) for name, values in beats.items()}


async def flush(bench: AxiBench, layers: Sequence[Drawn], where: str) -> None:
    """Flush; all that is on its way to the engine is swallowed, all that came out is the beginning of the layers'
    results."""
    hasty = bool(bench.rng.random() < 0.5)  # what came out is taken when all else is over
    if hasty:
        bench.out.clear_pause_generator()
        bench.out.pause = True
    await bench.write("CTRL", bench.field("CTRL", "flush"))
    await swallowed(bench, results=not hasty)
    await bench.write("ERROR", 0xFFFFFFFF)
    if hasty:
        waits = bool(bench.dut.m_axis_out_tvalid.value)
    else:
        await bench.expect("STATUS", bench.at_rest(halted=True), where)
        waits = False
    await bench.write("CTRL", 0)
    await bench.cycles(3)
    bench.check(f"STATUS.halted {where}, results waiting: {waits}",
                int(bool(await bench.read("STATUS") & bench.field("STATUS", "halted"))), int(waits))
    bench.out.pause = False
    await bench.until("STATUS", "idle", 1)
    await bench.until("STATUS", "halted", 0)
    bench.beginning(where, [layer.beats["o"] for layer in layers])
    await bench.expect("ERROR", 0, where)


async def swallowed(bench: AxiBench, results: bool = True) -> None:
    """Wait until a halted engine has taken whatever the sources had, and its last `results` are out."""
    for source in (bench.act, bench.wgt, bench.par):
        await bench.within(source.wait())
    if results:
        await bench.until("STATUS", "idle", 1)


@axi_test
async def a_job_without_its_beats_ends_in_a_timeout_and_the_next_one_is_right(bench: AxiBench) -> None:
    """Each input ends too early, at any beat; then nobody takes the results."""
    for name in ("i", "w", "p", "o") * 4:
        limit = int(bench.rng.integers(30, 200))
        await bench.write("TIMEOUT", limit)
        await bench.write("CTRL", bench.field("CTRL", "ignore_framing"))  # the last token may be cut in two
        await bench.write("IRQ_ENABLE", bench.field("IRQ_ENABLE", "error"))
        layer = small(bench)
        beats = {stream: layer.beats[stream] for stream in STREAMS}
        if name != "o":
            count = int(bench.rng.integers(len(next(iter(beats[name].values())))))
            beats[name] = {field: values[:count] for field, values in beats[name].items()}
        bench.out.pause = name == "o"
        bench.feed(beats)
        await bench.launch(layer.beats["job"])
        quiet = await bench.within(cocotb.start_soon(silence(bench)))
        # a beat may pass the port behind the engine's last one; and while the engine works, no beat is waited for
        assert quiet >= limit - 2, f"{name}: interrupt after {quiet} quiet cycles, time-out {limit}"
        await bench.expect("ERROR", bench.field("ERROR", "starved"), f"{name} ended early")
        await bench.expect("TIMEOUT_LEFT", limit, "at rest")
        bench.out.pause = False
        await swallowed(bench)
        bench.beginning(f"time-out, {name} ended early", [layer.beats["o"]])
        await bench.expect("STATUS", bench.at_rest(halted=True))
        await bench.write("ERROR", bench.field("ERROR", "starved"))
        await bench.write("IRQ_ENABLE", 0)
        await bench.play([small(bench)], f"after a time-out, {name} ended early")
    await bench.write("TIMEOUT", 0)


async def silence(bench: AxiBench) -> int:
    """Wait for an interrupt; returns the most cycles in a row until then in which no beat moved at a port."""
    dut, quiet, most = bench.dut, 0, 0
    ports = [(getattr(dut, f"{port}_tvalid"), getattr(dut, f"{port}_tready"))
             for port in ("s_axis_act", "s_axis_wgt", "s_axis_par", "m_axis_out")]
    while not dut.irq.value:
        await RisingEdge(dut.aclk)
        quiet = 0 if any(valid.value and ready.value for valid, ready in ports) else quiet + 1
        most = max(most, quiet)
    return most


@axi_test
async def no_timeout_comes_where_it_is_off_or_the_beats_come_in_time(bench: AxiBench) -> None:
    layer = small(bench)
    await bench.launch(layer.beats["job"])
    await bench.cycles(2_000)
    await bench.expect("ERROR", 0, "a job without beats, no time-out set")
    await bench.expect("TIMEOUT_LEFT", 0)
    bench.feed(layer.beats)
    await bench.collect(layer.name, layer.beats["o"])
    await bench.write("TIMEOUT", 8)
    for turn in range(6):  # beats wait at the ports, so that the engine never waits for them, however long it works
        layers = [draw(bench.params, bench.rng) for _ in range(2)]
        for each in layers:
            bench.feed(each.beats)
        await bench.cycles(5)
        await bench.play(layers, f"turn {turn}", feed=False)
    await bench.write("TIMEOUT", 2 * bench.params.haar.min_slot_cycles + 10)  # the engine takes a token a slot
    for layer in filter(slow_enough, (small(bench) for _ in range(200))):
        # no parameters while the tokens come, slowly: the job waits all the time, and a beat moves in every sixth cycle
        bench.act.set_pause_generator(itertools.cycle([1] * 5 + [0]))
        bench.feed({name: layer.beats[name] for name in ("i", "w")})
        await bench.launch(layer.beats["job"])
        await bench.within(bench.act.wait())
        bench.pause(None)
        bench.feed({"p": layer.beats["p"]})
        await bench.collect(layer.name, layer.beats["o"])
        await bench.expect("ERROR", 0, f"{layer.name}, slow tokens")
        await bench.until("STATUS", "idle", 1)
        break
    await bench.write("TIMEOUT", 0)


def slow_enough(layer: Drawn) -> bool:
    """Whether all its tokens can come before a parameter, and take their time, a slot of the lifting unit each."""
    job = layer.registers
    return (job.levels == 0 and job.tile_width >= job.width and job.tile_height >= job.height
            and len(layer.beats["i"]["last"]) >= 12)


@axi_test
async def a_refused_job_leaves_nothing_behind(bench: AxiBench) -> None:
    """All its beats come before START or behind it; a job before it ends as it should, one behind it is dropped."""
    for turn, name in enumerate(ZERO_IS_ILLEGAL * 3):
        bench.pause(bench.rng if turn % 2 else None)
        before, bad, behind = (small(bench) for _ in range(3))
        wanted = [before] if turn % 3 else []
        for layer in (*wanted, bad):
            bench.feed(layer.beats)
        for layer in wanted:
            await bench.launch(layer.beats["job"])
        await bench.launch(bad.beats["job"] | {name: 0})
        await bench.program(behind.beats["job"])
        await bench.write("START", 1)  # waits behind the refused one, or comes too late
        bench.feed({stream: cut(bench.rng, behind.beats[stream]) for stream in STREAMS})
        for layer in wanted:
            await bench.collect(f"before {name} = 0 ({layer.name})", layer.beats["o"])
        await bench.until("STATUS", "halted", 1)
        await swallowed(bench)
        await bench.expect("STATUS", bench.at_rest(halted=True), f"after {name} = 0")
        await bench.write("ERROR", bench.field("ERROR", "start_busy"))
        await bench.expect("ERROR", bench.field("ERROR", "illegal_job"), f"{name} = 0")
        await bench.write("START", 1)
        await bench.expect("ERROR", bench.field("ERROR", "illegal_job") | bench.field("ERROR", "start_busy"),
                           "START while halted")
        await bench.write("ERROR", 0xFFFFFFFF)
        await bench.expect("STATUS", bench.at_rest(), "after it was cleared")
        await bench.play([small(bench)], f"after {name} = 0")


@axi_test
async def every_error_can_be_raised_on_purpose(bench: AxiBench) -> None:
    """As if the hardware had: ERROR, the interrupt, the halt of a time-out; and they go when they are cleared."""
    await bench.write("IRQ_ENABLE", bench.field("IRQ_ENABLE", "error"))
    for field in bench.table["ERROR"].fields:
        await bench.write("ERROR_TEST", field.mask)
        await bench.expect("ERROR", field.mask, f"after {field.name} was raised")
        await bench.cycles(2)
        assert bench.dut.irq.value, f"{field.name}: no interrupt"
        await bench.expect("STATUS", bench.at_rest(halted=field.name == "starved"))
        await bench.write("ERROR", 0xFFFFFFFF & ~field.mask)
        await bench.expect("ERROR", field.mask, "after the others were cleared")
        await bench.write("ERROR", field.mask)
        await bench.cycles(2)
        assert not bench.dut.irq.value, f"{field.name}: the interrupt stays"
        await bench.expect("ERROR", 0, f"after {field.name} was cleared")
        await bench.play([small(bench)], f"after {field.name} was raised")
    await bench.write("IRQ_ENABLE", 0)
