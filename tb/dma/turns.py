"""Streams that want the bus at the same time. Tests of `tb.tb_dma`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from rtl_gen.dma.layer import descriptor_words
from stamp_hw.dma import walk
from stamp_hw.dma.descriptor import BYTES
from stamp_hw.dma.image import ALIGNMENT, Image
from stamp_hw.dma.order import ENTRY_BYTES
from stamp_hw.dma.params import READS, DmaParams
from tb.dma.bench import NpuBench, npu_test
from tb.dma.cases import DrawnLayer, chain, draw, image_of
from tb.dma.halts import SMALL, stopped, whole

MOST_K, MOST_TOKENS = 64, 32


@npu_test
async def layers_of_many_bursts_of_every_stream_are_right(bench: NpuBench) -> None:
    """Beside an order table of three bursts: much or little of the weights and of the parameters, on a memory of any
    kind."""
    params = bench.params
    least = (1 + params.burst_words) * params.bus_bytes // ENTRY_BYTES + 1
    for case in range(24):
        bench.mood(case // 4)
        one = sized(bench, case, 2 * least, least)
        image = table_across_a_burst(image_of(params, [one], a_page(bench)), one.chained.table, params)
        await bench.run(image, [one], f"case {case}, {one.name}")


@npu_test
async def an_order_table_that_is_too_long_ends_the_chain(bench: NpuBench) -> None:
    """It goes on behind the job's last token: more of it is asked for whenever there is room, the layer's results are
    whole, and then places are left over."""
    for case in range(24):
        bench.mood(case // 4)
        one = sized(bench, case, MOST_TOKENS, 1)
        image = image_of(bench.params, [one], a_page(bench))
        bench.fill(table_across_a_burst(image, too_long(bench, one), bench.params), [one])
        await bench.launch(image.base)
        await stopped(bench, "mismatch", 0, f"case {case}, {one.name}")
        whole(bench, f"case {case}", image, [one], 0)
        again, other = chain(bench.params, bench.rng, 1, **SMALL)
        await bench.run(other, again, f"after case {case}")


@npu_test
async def an_order_table_is_read_on_where_nothing_else_asks(bench: NpuBench) -> None:
    """Weights and parameters are a beat each, which is less than the job needs: the table's bursts follow each other,
    until the time-out."""
    await bench.write("TIMEOUT", 400)
    beats = bench.params.beat_bytes
    for case in range(6):
        bench.mood(case)
        one = sized(bench, 3, 8, 1)
        image = table_across_a_burst(image_of(bench.params, [one], a_page(bench)), too_long(bench, one), bench.params,
                                     wgt_bytes=beats["wgt"], par_bytes=beats["par"])
        bench.fill(image, [one])
        await bench.launch(image.base)
        await stopped(bench, "starved", 0, f"case {case}, {one.name}")
        layer = image.layers[0]
        wanted = walk.bursts([(layer.order, ENTRY_BYTES * layer.places)], bench.params)
        came = [burst[1:] for burst in bench.memory.reads if READS[burst[0]] == "order"]
        assert len(came) > bench.params.fifo_words // bench.params.burst_words, f"case {case}: {len(came)} bursts"
        bench.listed(f"case {case}, bursts of the table", came, wanted[: len(came)])
        again, other = chain(bench.params, bench.rng, 1, **SMALL)
        await bench.run(other, again, f"after case {case}")
    await bench.write("TIMEOUT", 0)


def too_long(bench: NpuBench, one: DrawnLayer) -> np.ndarray:
    """uint32[places]: a layer's order table over and over, more than twice what may wait of it."""
    words = 2 + 2 * bench.params.fifo_words
    return np.resize(one.chained.table, words * bench.params.bus_bytes // ENTRY_BYTES)


def sized(bench: NpuBench, case: int, most_tokens: int, least_tokens: int) -> DrawnLayer:
    """A layer whose weights of a super-tile are one burst or more, and whose parameters are, by turns."""
    params, cols = bench.params, bench.params.engine.cols
    many = params.burst_words * params.bus_bytes // params.beat_bytes["par"] + cols
    most_k, n = ((1, 1), (1, many), (MOST_K, 2 * cols), (MOST_K, many))[case % 4]
    return draw(params, bench.rng, most_tokens, most_k, least_tokens=least_tokens, n=n)


def a_page(bench: NpuBench) -> int:
    """An address."""
    return int(bench.rng.integers(1 << 12)) << 12


def table_across_a_burst(image: Image, entries: np.ndarray, params: DmaParams, **changes: Any) -> Image:
    """The image of one layer with its order table, which may be another one, behind all else and from the last word of
    a burst on; `changes` of its descriptor."""
    table = entries.astype("<u4").tobytes()
    start = len(image.data) + (params.burst_words - 1) * params.bus_bytes
    data = np.zeros(-(-(start + len(table)) // ALIGNMENT) * ALIGNMENT, np.uint8)
    data[: len(image.data)] = np.frombuffer(image.data, np.uint8)
    data[start : start + len(table)] = np.frombuffer(table, np.uint8)
    layer = replace(image.layers[0], order=image.base + start, places=len(entries), **changes)
    data[:BYTES] = np.frombuffer(layer.encode(descriptor_words(params)), np.uint8)
    return replace(image, data=data.tobytes(), layers=(layer,))
