"""Testbench of the combine unit: array tiles of any number of blocks in, every T, cycle and event compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rtl_gen.combine_stream import CombineStream
from sim import combine as combine_sim
from stamp_hw import combine
from stamp_hw.params import CombineParams
from tb.batch.bench import BatchBench, batch_test
from tb.bench.harness import Expect, Feed, Run
from tb.bench.patterns import ALWAYS, Pattern, listed, periodic, sides, throttles

#: `pair` has so few tokens that blocks of one tile must wait for each other; `widest` has T of 48 bits, the largest
#: operands and as many lanes as columns, so that a token is a beat.
PARAMETER_SETS = {
    "four": CombineParams(cols=4, lanes=2, tokens=8, acc_width=20, width=18, total_width=40, mul_stages=2),
    "pair": CombineParams(cols=3, lanes=1, tokens=2, acc_width=16, width=17, total_width=36, mul_stages=1),
    "widest": CombineParams(cols=5, lanes=5, tokens=6, acc_width=26, width=18, total_width=48, mul_stages=4),
    "column": CombineParams(cols=1, lanes=1, tokens=4, acc_width=21, width=18, total_width=41, mul_stages=1),
    "square": CombineParams(cols=8, lanes=1, tokens=16, acc_width=23, width=18, total_width=47, mul_stages=3),
}
build = CombineStream
WORDS = 150_000  # output words in all sets together: where there is one lane each of them takes many cycles


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tile:
    """An array tile: `acc` int64[tokens, blocks, cols], `span` int64[tokens, blocks]."""

    acc: np.ndarray
    span: np.ndarray

    @property
    def blocks(self) -> int:
        return int(self.span.shape[1])


def stimulus(tiles: Sequence[Tile]) -> dict[str, np.ndarray]:
    """Tokens of the tiles, block by block: field of the input stream → integers (tokens, …)."""
    last = [np.arange(tile.span.size) == tile.span.size - 1 for tile in tiles]
    return {"acc": np.concatenate([tile.acc.swapaxes(0, 1).reshape(-1, tile.acc.shape[2]) for tile in tiles]),
            "span": np.concatenate([tile.span.T.ravel() for tile in tiles]), "last": np.concatenate(last)}


def expected(params: CombineParams, tiles: Sequence[Tile]) -> dict[str, np.ndarray]:
    """Beats of the output stream, by the golden model."""
    totals = [combine.combine(tile.acc, tile.span, params.total_width).reshape(-1, params.lanes) for tile in tiles]
    last = np.arange(params.tokens * params.chunks) == params.tokens * params.chunks - 1
    return {"total": np.concatenate(totals), "last": np.tile(last, len(tiles))}


async def check(bench: BatchBench, tiles: Sequence[Tile], valid: Pattern = ALWAYS, ready: Pattern = ALWAYS, *,
                job: object, abort_at: int | None = None) -> Run:
    """Run tiles one behind the other; values against the golden model, cycles and events against `sim.combine`."""
    blocks = [tile.blocks for tile in tiles]
    timing = combine_sim.timing(bench.params, blocks, valid, ready)
    return await bench.run(
        {"i": Feed(stimulus(tiles), valid)}, {"o": Expect(expected(bench.params, tiles), ready)},
        job=f"{job} (blocks {blocks}, valid {valid}, ready {ready})", abort_at=abort_at,
        timing={"i": timing.inputs, "o": timing.outputs}, events=combine_sim.events(bench.params, blocks))


def random_tile(params: CombineParams, rng: np.random.Generator, blocks: int) -> Tile:
    """Operands anywhere or at their ends, as small as so many blocks of them fit T."""
    room = params.total_width - params.acc_width - params.width  # bits of the number of blocks that always fit
    down = max(0, (blocks - 1).bit_length() - room)
    top = 1 << (params.acc_width - 1)
    shape = (params.tokens, blocks, params.cols)
    most = (1 << params.width) - 1
    acc, span = rng.integers(-top, top, shape), rng.integers(0, most + 1, shape[:2])
    ends = rng.choice([-top, -1, 0, 1, top - 1], shape), rng.choice([0, 1, most >> 1, (most >> 1) + 1, most], shape[:2])
    acc, span = (np.where(rng.random(one.shape) < 0.3, end, one) for one, end in zip((acc, span), ends, strict=True))
    return Tile(acc=acc >> down, span=span)


def random_tiles(params: CombineParams, rng: np.random.Generator) -> list[Tile]:
    """Tiles of one block, two, and any number."""
    counts = rng.choice([1, 1, 2, 3, int(rng.integers(1, 40))], int(rng.integers(1, 12)))
    return [random_tile(params, rng, int(count)) for count in counts]


def reaching(params: CombineParams, target: int) -> Tile:
    """A tile each of whose T is `target`, made of as large operands as possible; tokens take them in other orders."""
    bound = (1 << (params.acc_width - 1)) - (target > 0)
    most, left, parts = (1 << params.width) - 1, target, []
    while left:
        span = min(abs(left) // bound, most) or 1
        acc = max(-bound, min(bound, left)) if span > 1 or abs(left) >= bound else left
        parts.append((acc, span))
        left -= acc * span
    orders = np.array([np.roll(np.array(parts), token, axis=0) for token in range(params.tokens)])
    return Tile(acc=np.repeat(orders[:, :, :1], params.cols, axis=2), span=orders[:, :, 1])


@batch_test(quota=0.75)
async def random_tiles_under_stalls(bench: BatchBench) -> None:
    for job in bench.jobs():
        valid, ready = throttles(bench.rng)
        await check(bench, random_tiles(bench.params, bench.rng), valid, ready, job=job)


@batch_test(quota=0.25)
async def tiles_follow_each_other_as_fast_as_the_closed_form_says(bench: BatchBench) -> None:
    for job in bench.jobs():
        tiles = random_tiles(bench.params, bench.rng)
        run = await check(bench, tiles, job=job)
        assert run.cycles == combine_sim.cycles(bench.params, [tile.blocks for tile in tiles])


@batch_test
async def corners_of_the_operands_and_of_t(bench: BatchBench) -> None:
    """Every pair of operands at the ends of their ranges, and T at both ends of its own, in sums of many blocks."""
    params = bench.params
    top, most = 1 << (params.acc_width - 1), (1 << params.width) - 1
    ends = [(acc, span) for acc in (-top, top - 1, -1, 0, 1) for span in (0, 1, most >> 1, (most >> 1) + 1, most)]
    single = [Tile(acc=np.full((params.tokens, 1, params.cols), acc), span=np.full((params.tokens, 1), span))
              for acc, span in ends]
    limit = 1 << (params.total_width - 1)
    whole = [reaching(params, target) for target in (-limit, limit - 1, -limit + 1, 1 - (limit >> 1), limit >> 1)]
    totals = expected(params, whole)["total"]
    assert totals.min() == -limit and totals.max() == limit - 1
    for valid, ready in sides(bench.rng).values():
        await check(bench, single + whole, valid, ready, job="corners")


@batch_test
async def each_bank_is_read_at_any_rate_while_the_other_one_is_written(bench: BatchBench) -> None:
    """Tiles as long as the read of one, shorter and longer; the output blocked for long, or open for a beat now and
    then; the input in bursts, with gaps about a block long."""
    params, rng = bench.params, bench.rng
    size = params.tokens * params.chunks
    patterns = [listed([0] * (2 * params.tokens) + [1], "one in a while"), periodic(1, 1), periodic(1, 9, True),
                listed([0] * (4 * size) + [1] * (3 * size), "long block"), periodic(size, 3)]
    gaps = [ALWAYS, periodic(1, 2), periodic(params.tokens, params.tokens), periodic(1, params.latency),
            periodic(params.tokens, params.cols + params.latency)]
    for ready in (ALWAYS, *patterns):
        for valid in gaps:
            counts = [1, 1, params.chunks, 2, params.chunks + 1, 1, 1]
            await check(bench, [random_tile(params, rng, count) for count in counts], valid, ready, job="banks")


@batch_test
async def a_reset_in_the_middle_leaves_nothing_behind(bench: BatchBench) -> None:
    for job in range(12):
        tiles = random_tiles(bench.params, bench.rng)
        valid, ready = throttles(bench.rng)
        timing = combine_sim.timing(bench.params, [tile.blocks for tile in tiles], valid, ready)
        end = timing.cycles if job % 2 else int(timing.inputs[-1]) + 1  # while T are read, or sums are on their way
        await check(bench, tiles, valid, ready, job=f"cut {job}", abort_at=int(bench.rng.integers(1, end + 1)))
        await bench.reset(int(bench.rng.integers(1, 4)))
        await check(bench, random_tiles(bench.params, bench.rng), job=f"after cut {job}")
