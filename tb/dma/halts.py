"""What ends a chain before its time: errors of the bus, descriptors and lengths that are wrong, a flush. The descriptor
is named, the layers before it are whole, and the next chain is right. Tests of `tb.tb_dma`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rtl_gen.dma.layer import descriptor_words
from stamp_hw.dma import walk
from stamp_hw.dma.descriptor import BYTES
from stamp_hw.dma.image import Image
from stamp_hw.dma.params import READS
from tb.axi.bench import OKAY
from tb.bench.harness import TOTALS
from tb.dma.bench import NpuBench, npu_test
from tb.dma.cases import DrawnLayer, chain

LONGEST = 3_000  # cycles from START to a flush, at most
HAND_OVER = 30  # that a write of CTRL and the way of a burst's address take, at most
SMALL = {"most_tokens": 8, "most_k": 10}


@npu_test(quota=0.3)
async def after_a_flush_at_any_moment_the_next_chain_is_right(bench: NpuBench) -> None:
    for case in bench.jobs():
        bench.mood(case)
        drawn, image = chain(bench.params, bench.rng, 2, **SMALL)
        wanted = bench.fill(image, drawn)
        before = bench.memory.data.copy()
        await bench.launch(image.base)
        cycles = await a_moment(bench)
        hasty = bool(bench.rng.random() < 0.5)  # the halt has to last by itself until the bus is quiet
        await bench.do(bench.calls.flush())
        if hasty:
            await bench.write("CTRL", 0)
        where = f"case {case}, flushed after {cycles} cycles{', hastily' if hasty else ''}"
        await bench.ended()
        await bench.expect("STATUS", bench.at_rest(halted=not hasty), where)
        await bench.expect("ERROR", 0, where)
        partly(bench, where, before, wanted)
        count = len(bench.memory.reads) + len(bench.memory.writes)
        await bench.cycles(30)
        bench.check(f"bursts behind the end, {where}", len(bench.memory.reads) + len(bench.memory.writes), count)
        assert await bench.do(bench.calls.recover()) == (), where
        await bench.expect("STATUS", bench.at_rest(), where)
        again, other = chain(bench.params, bench.rng, 1, **SMALL)
        await bench.run(other, again, f"after {where}")


@npu_test
async def a_flush_while_the_job_is_handed_over_leaves_nothing_behind(bench: NpuBench) -> None:
    """In every cycle around the one in which a descriptor has come and its job goes to the engine."""
    bench.mood(0)
    drawn, image = chain(bench.params, bench.rng, 1, **SMALL)
    bench.fill(image, drawn)
    await bench.launch(image.base)
    cycles = 0
    while all(number == READS.index("chain") for number, *_ in bench.memory.reads):  # what the job reads comes next
        await bench.cycles(1)
        cycles += 1
    await bench.ended()
    for wait in range(max(cycles - HAND_OVER, 0), cycles + 1):
        wanted = bench.fill(image, drawn)
        before = bench.memory.data.copy()
        await bench.launch(image.base)
        await bench.cycles(wait)
        assert await bench.do(bench.calls.abort()) == ()
        partly(bench, f"flushed after {wait} cycles", before, wanted)
        TOTALS.runs += 1
    await bench.run(image, drawn, "after all of them")


async def a_moment(bench: NpuBench) -> int:
    """Wait: any while, short ones as often as long ones, or until results are written, as often. Returns cycles."""
    cycles = 0
    if bench.rng.random() < 0.5:
        bursts = int(bench.rng.integers(1, 4))
        while len(bench.memory.writes) < bursts and cycles < LONGEST:
            await bench.cycles(1)
            cycles += 1
        more = int(bench.rng.integers(20))
    else:
        more = int(LONGEST ** bench.rng.random())
    await bench.cycles(more)
    return cycles + more


def partly(bench: NpuBench, where: str, before: np.ndarray, wanted: np.ndarray) -> None:
    """Every byte is as it was or as it should become."""
    wrong = np.flatnonzero((bench.memory.data != before) & (bench.memory.data != wanted))
    assert not len(wrong), f"{where}: byte {bench.memory.base + int(wrong[0]):#x} is neither old nor new"


async def stopped(bench: NpuBench, error: str, number: int, where: str) -> None:
    """The chain ended at a descriptor, with this error alone, and every word on the bus has come."""
    await bench.ended()
    await bench.expect("STATUS", bench.at_rest(halted=True), where)
    await bench.expect("ERROR", bench.field("ERROR", error), where)
    assert await bench.do(bench.calls.error()) == ((error,), number), where
    assert not await bench.do(bench.calls.start(0)), f"{where}: a halted engine starts"
    assert await bench.write("START", 1) == OKAY
    await bench.expect("ERROR", bench.field("ERROR", error) | bench.field("ERROR", "start_busy"), f"{where}, START")
    assert set(await bench.do(bench.calls.recover())) == {error, "start_busy"}, where
    await bench.expect("STATUS", bench.at_rest(), f"{where}, cleared")
    TOTALS.runs += 1


@npu_test
async def an_error_of_the_bus_ends_the_chain_and_names_the_descriptor(bench: NpuBench) -> None:
    for case in range(24):
        bench.mood(case)
        drawn, image = chain(bench.params, bench.rng, 3, **SMALL)
        number = int(bench.rng.integers(3))
        layer, one = image.layers[number], drawn[number]
        written = [write[:2] for write in walk.writes(layer, one.chained.table, bench.params) if write.kept]
        wanted = bench.fill(image, drawn)
        before = bench.memory.data.copy()
        if case % 4 == 3 and written:
            bench.memory.bad_writes, error = {word(bench, written)}, "write"
        else:
            reads = {**walk.reads(layer, one.chained.table), "chain": [(image.base + BYTES * number, BYTES)]}
            if one.chained.source is not None:
                del reads["act"]  # those words are somebody's results
            name = sorted(reads)[case % len(reads)]
            bench.memory.bad_reads, error = {word(bench, reads[name])}, "read"
        where = f"case {case}, {error} error in layer {number} of {image.base:#x}"
        done = await bench.read("DONE")
        await bench.launch(image.base)
        await stopped(bench, error, number, where)
        await bench.expect("DONE", done + number, where)
        partly(bench, where, before, wanted)
        for index in range(number):
            whole(bench, where, image, drawn, index)
        again, other = chain(bench.params, bench.rng, 1, **SMALL)
        await bench.run(other, again, f"after {where}")


def word(bench: NpuBench, segments: Sequence[tuple[int, int]]) -> int:
    """Address of any word of some segments."""
    bursts = walk.bursts(segments, bench.params)
    address, words = bursts[int(bench.rng.integers(len(bursts)))]
    return address + int(bench.params.bus_bytes) * int(bench.rng.integers(words))


def whole(bench: NpuBench, where: str, image: Image, drawn: Sequence[DrawnLayer], number: int) -> None:
    """A layer's results are there."""
    got = image.results(bench.memory.data.tobytes(), number)
    bench.check(f"{where}, results of layer {number} that differ",
                int(np.count_nonzero(got != drawn[number].result.y)), 0)


@npu_test
async def lengths_that_do_not_fit_the_job_end_the_chain(bench: NpuBench) -> None:
    """Too long: something is left over. Too short: the engine waits, until the time-out. A token that is cut sets the
    framing error."""
    await bench.write("TIMEOUT", 400)
    for case in range(12):
        bench.mood(case)
        drawn, image = chain(bench.params, bench.rng, 2, **SMALL)
        number, engine = int(bench.rng.integers(2)), bench.params.engine
        layer, beats = image.layers[number], bench.params.beat_bytes
        change = (
            {"wgt_bytes": layer.wgt_bytes + beats["wgt"]}, {"par_bytes": layer.par_bytes + beats["par"]},
            {"repeats": layer.repeats + 1}, {"wgt_bytes": layer.wgt_bytes - beats["wgt"]},
            {"par_bytes": layer.par_bytes - beats["par"]}, {"act_bytes": layer.act_bytes + beats["act"]})[case % 6]
        if 0 in change.values():
            continue
        error = ("mismatch", "mismatch", "mismatch", "starved", "starved", "framing")[case % 6]
        bench.fill(image, drawn)
        changed = replace(layer, **change).encode(descriptor_words(bench.params))
        bench.memory.data[BYTES * number : BYTES * (number + 1)] = np.frombuffer(changed, np.uint8)
        where = f"case {case}, layer {number} with {change}, rows {engine.rows}"
        await bench.launch(image.base)
        await stopped(bench, error, number, where)
        again, other = chain(bench.params, bench.rng, 1, **SMALL)
        await bench.run(other, again, f"after {where}")
    await bench.write("TIMEOUT", 0)


@npu_test
async def a_length_of_any_bits_leaves_the_other_words_alone(bench: NpuBench) -> None:
    """With all upper bits of a length the streams beside it are read where the layer says, until the chain ends."""
    for case, name in enumerate(("act_bytes", "wgt_bytes", "par_bytes", "repeats")):
        bench.mood(case)
        drawn, image = chain(bench.params, bench.rng, 1, **SMALL)
        layer = image.layers[0]
        bench.fill(image, drawn)
        changed = replace(layer, **{name: getattr(layer, name) | 0x7FFF << 16}).encode(descriptor_words(bench.params))
        bench.memory.data[:BYTES] = np.frombuffer(changed, np.uint8)
        await bench.launch(image.base)
        await bench.ended()
        assert await bench.do(bench.calls.recover()), f"{name} with all of its upper bits is no error"
        for stream, segments in walk.reads(layer, drawn[0].chained.table).items():
            if stream != name.removesuffix("_bytes") and not (name == "repeats" and stream in ("wgt", "par")):
                came = [burst[1:] for burst in bench.memory.reads if READS[burst[0]] == stream]
                bench.listed(f"{name} with all of its upper bits, bursts of {stream}", came,
                             walk.bursts(segments, bench.params)[: len(came)])
        again, other = chain(bench.params, bench.rng, 1, **SMALL)
        await bench.run(other, again, f"after {name} with all of its upper bits")


@npu_test
async def a_job_that_the_engine_refuses_ends_the_chain(bench: NpuBench) -> None:
    for case, name in enumerate(("width", "beats", "columns", "tail", "out_beats")):
        bench.mood(case)
        drawn, image = chain(bench.params, bench.rng, 3, **SMALL)
        layer = image.layers[1]
        bench.fill(image, drawn)
        changed = replace(layer, registers={**layer.registers, name: 0}).encode(descriptor_words(bench.params))
        bench.memory.data[BYTES : 2 * BYTES] = np.frombuffer(changed, np.uint8)
        await bench.launch(image.base)
        await stopped(bench, "illegal_job", 1, f"{name} = 0")
        whole(bench, f"before {name} = 0", image, drawn, 0)
        again, other = chain(bench.params, bench.rng, 1, **SMALL)
        await bench.run(other, again, f"after {name} = 0")


@npu_test
async def a_reset_in_the_middle_forgets_the_chain(bench: NpuBench) -> None:
    for case in range(6):
        bench.mood(case)
        drawn, image = chain(bench.params, bench.rng, 2, **SMALL)
        bench.fill(image, drawn)
        await bench.write("IRQ_ENABLE", 7)
        await bench.launch(image.base)
        await bench.cycles(int(LONGEST ** bench.rng.random()))
        bench.pause(None)
        await bench.reset()
        await bench.expect("STATUS", bench.at_rest(), "after a reset")
        await bench.expect("IRQ_ENABLE", 0, "after a reset")
        await bench.expect("DONE", 0, "after a reset")
        again, other = chain(bench.params, bench.rng, 1, **SMALL)
        await bench.run(other, again, f"after a reset, case {case}")

