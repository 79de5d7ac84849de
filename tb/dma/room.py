"""Where room ends: words on their way, writes without a response, places of the order table. Tests of `tb.tb_dma`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rtl_gen.dma.layer import descriptor_words
from stamp_hw.dma import walk
from stamp_hw.dma.descriptor import BYTES
from stamp_hw.dma.params import READS
from tb.dma.bench import NpuBench, npu_test
from tb.dma.cases import chain, draw, image_of
from tb.dma.halts import LONGEST, SMALL, stopped, whole

LAYERS = 8  # a stream that is read once too often has words left over in about every third
LONG = 2_000  # tens of cycles in which a layer sends its first results


@npu_test
async def words_that_come_behind_the_last_result_are_left_over(bench: NpuBench) -> None:
    """Weights and parameters are read once too often: the layer is not done while those are on their way, though its
    results are written and nothing of them has come."""
    for _ in range(LAYERS):
        bench.mood(1)
        drawn, image = chain(bench.params, bench.rng, 1, **SMALL)
        layer = image.layers[0]
        bench.fill(image, drawn)
        changed = replace(layer, repeats=layer.repeats + 1).encode(descriptor_words(bench.params))
        bench.memory.data[:BYTES] = np.frombuffer(changed, np.uint8)
        own = walk.reads(layer, drawn[0].chained.table)
        bench.memory.held = {READS.index(name): len(walk.bursts(own[name], bench.params)) for name in ("wgt", "par")}
        await bench.launch(image.base)
        for _ in range(LONGEST):
            if await bench.read("ERROR"):
                break
        halted = bench.field("STATUS", "busy") | bench.field("STATUS", "halted")
        await bench.expect("STATUS", halted, "words are missing")
        whole(bench, "words are missing", image, drawn, 0)
        bench.memory.held = {}
        await stopped(bench, "mismatch", 0, "words are missing")
        again, other = chain(bench.params, bench.rng, 1, **SMALL)
        await bench.run(other, again, "after words that came late")


@npu_test
async def so_many_bursts_go_out_unanswered_as_there_are_places(bench: NpuBench) -> None:
    """And no more: the engine waits then, and nothing is lost."""
    places, bursts = bench.params.fifo_words, 0
    while bursts <= places:
        drawn, image = chain(bench.params, bench.rng, 1)
        kept = [write[:2] for write in walk.writes(image.layers[0], drawn[0].chained.table, bench.params) if write.kept]
        bursts = len(walk.bursts(kept, bench.params))
    wanted = bench.fill(image, drawn)
    responses = bench.memory.slave.b_channel
    responses.pause, responses.queue_occupancy_limit = True, 2 * places
    await bench.launch(image.base)
    for _ in range(LONG):
        if len(bench.memory.writes) >= places:
            break
        await bench.cycles(10)
    await bench.cycles(10 * places)
    bench.check("bursts without a response", len(bench.memory.writes), places)
    bench.pause(None)
    await bench.ended()
    bench.same("once they were answered", wanted, drawn)
    bench.bursts("of which some waited", image, drawn)


@npu_test
async def an_order_table_may_be_longer_than_the_places_that_are_kept(bench: NpuBench) -> None:
    most = bench.params.engine.max_tokens
    if most <= bench.params.ring_places:
        bench.nothing(f"no layer has more than {most} tokens, {bench.params.ring_places} places are kept")
        return
    bench.mood(0)
    one = draw(bench.params, bench.rng, most, 6, least_tokens=bench.params.ring_places + 1)
    await bench.run(image_of(bench.params, [one], 4096), [one], "a long table")
