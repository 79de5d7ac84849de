"""Bits that a word of a descriptor may have, and those that it may not. Tests of `tb.tb_dma`."""

from __future__ import annotations

import numpy as np

from rtl_gen.dma.layer import descriptor_words
from stamp_hw.dma.descriptor import BYTES, MAGIC, WORDS, Word
from tb.dma.bench import NpuBench, npu_test
from tb.dma.cases import chain
from tb.dma.halts import SMALL, stopped


@npu_test
async def a_descriptor_that_is_none_is_refused_and_nothing_of_it_is_read(bench: NpuBench) -> None:
    """A word after the other has a bit that it may not have, or none where it must have one."""
    table = descriptor_words(bench.params)
    drawn, image = chain(bench.params, bench.rng, 2, **SMALL)
    for index in range(WORDS):
        number = int(bench.rng.integers(2))
        bench.fill(image, drawn)
        place = BYTES * number + 4 * index
        words = bench.memory.data[place : place + 4].view("<u4")
        words[0] = spoiled(bench.rng, table[index], int(words[0]))
        where = f"descriptor {number}, word {index} ({table[index].name or 'reserved'}) {int(words[0]):#x}"
        await bench.launch(image.base)
        await stopped(bench, "descriptor", number, where)
        asked = sum(words for one, _, words in bench.memory.reads if one == 0)
        bench.check(f"words of descriptors, {where}", asked, (number + 1) * BYTES // bench.params.bus_bytes)
        if number == 0:
            bench.check(f"bursts beside them, {where}", sum(one != 0 for one, _, _ in bench.memory.reads), 0)
    for chain_at in (1, 128, 1 << bench.params.address_width, 1 << 63):
        await bench.launch(chain_at)
        await stopped(bench, "descriptor", 0, f"a chain at {chain_at:#x}")
    await bench.run(image, drawn, "after all of them")


def spoiled(rng: np.random.Generator, entry: Word, value: int) -> int:
    """A value that this word of a descriptor may not have."""
    free = [bit for bit in range(32) if not entry.mask >> bit & 1]
    if entry.name == "magic":
        return value ^ 1 << int(rng.integers(32))
    if entry.needed and (not free or rng.random() < 0.4):
        return 0
    return int(value | 1 << int(rng.choice([free[0], free[-1], int(rng.choice(free))])))


@npu_test
async def no_bit_that_a_descriptor_may_not_have_is_taken(bench: NpuBench) -> None:
    """Each alone, of all words that hold something."""
    drawn, image = chain(bench.params, bench.rng, 1, **SMALL)
    for index, word in enumerate(descriptor_words(bench.params)):
        for bit in range(32):
            if word.mask and not word.mask >> bit & 1:
                bench.fill(image, drawn)
                bench.memory.data[:BYTES].view("<u4")[index] |= 1 << bit
                await bench.launch(image.base)
                await stopped(bench, "descriptor", 0, f"bit {bit} of word {index}")
    await bench.run(image, drawn, "after all of them")


@npu_test
async def every_bit_that_a_descriptor_may_have_is_taken(bench: NpuBench) -> None:
    """All of them at once: its words are right, its job and its addresses are none."""
    words = np.array([MAGIC, *(word.mask for word in descriptor_words(bench.params)[1:])], "<u4")
    for case in range(3):
        bench.mood(case)
        bench.memory.load(words.view(np.uint8).copy(), 0)
        await bench.launch(0)
        await bench.ended()
        error = await bench.read("ERROR")
        wanted = bench.field("ERROR", "illegal_job") | bench.field("ERROR", "read")
        assert error and not error & ~wanted, f"case {case}: ERROR {error:#x}, expected bits of {wanted:#x}"
        await bench.write("ERROR", 0xFFFFFFFF)
        drawn, image = chain(bench.params, bench.rng, 1, **SMALL)
        await bench.run(image, drawn, f"after case {case}")
