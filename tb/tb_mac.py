"""Testbench of the MAC array: tiles of codes in, every sum, cycle and event compared. With blocks the codes are
unsigned and have a zero, and a tile is a block's steps; all else is the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from amaranth.lib import wiring

from rtl_gen.mac.array import Mac
from rtl_gen.mac.block_stream import BlockMacStream
from sim import mac as mac_sim
from stamp_hw import mac
from stamp_hw.config import NpuConfig, least_acc_width
from stamp_hw.engine.linear import run_linear
from stamp_hw.formats.trace import Trace
from stamp_hw.hw_config import PACKED, SPLIT
from stamp_hw.params import MacParams, block_acc_width
from tb.batch.bench import BatchBench, batch_test
from tb.bench.harness import TRACE, Expect, Feed, Run
from tb.bench.patterns import ALWAYS, Pattern, listed, periodic, sides, throttles

#: Cycles spent on single products: all of them where that takes no longer (`odd`, `wide`), else a random part.
ALL_PRODUCTS_CYCLES, SOME_PRODUCTS_CYCLES = 110_000, 30_000
ALL_BLOCK_PRODUCTS_CYCLES = 200_000


def _params(rows: int, cols: int, lanes: int, mul_stages: int, max_k: int, multiplier: str = PACKED) -> MacParams:
    """Accumulators exactly as wide as `max_k` products of −128 and −128 need."""
    return MacParams(rows=rows, cols=cols, lanes=lanes, mul_stages=mul_stages, max_k=max_k,
                     acc_width=least_acc_width(max_k), multiplier=multiplier)


def _blocks(rows: int, cols: int, mul_stages: int, max_k: int, multiplier: str = PACKED) -> MacParams:
    """An array of hardware with blocks of `max_k` channels."""
    return MacParams(rows=rows, cols=cols, lanes=cols, mul_stages=mul_stages, max_k=max_k, blocks=True,
                     acc_width=block_acc_width(max_k), multiplier=multiplier)


#: `flat` drains faster than a product goes through a PE, which is where `min_tile_cycles` has its other branch.
PARAMETER_SETS = {
    "odd": _params(3, 5, 5, 2, 31),
    "small": _params(2, 2, 1, 1, 15),
    "flat": _params(1, 3, 3, 4, 7),
    "deep": _params(4, 4, 2, 3, 63),
    "square": _params(8, 8, 1, 2, 1023),
    "wide": _params(8, 8, 8, 2, 63),
    "blocks": _blocks(4, 4, 2, 32),
    "blocks_flat": _blocks(1, 3, 4, 64),
    "blocks_odd": _blocks(3, 5, 1, 128),
    "split_odd": _params(3, 5, 5, 2, 31, SPLIT),
    "split_small": _params(2, 2, 1, 1, 15, SPLIT),
    "split_flat": _params(1, 3, 3, 4, 7, SPLIT),
    "split_wide": _params(8, 8, 8, 2, 63, SPLIT),
    "split_blocks": _blocks(4, 4, 2, 32, SPLIT),
    "split_blocks_odd": _blocks(3, 5, 1, 128, SPLIT),
}


def build(params: MacParams) -> wiring.Component:
    return BlockMacStream(params) if params.blocks else Mac(params)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tile:
    """One tile: `codes` a, int16[2·rows, K], token slots 0 and 1 of each row in turn (slot 1 of an 8-bit row is
    ignored); `mode4` bool[rows]; `weights` int8[cols, K]; with blocks `zero` z, int16[2·rows], else 0."""

    codes: np.ndarray
    mode4: np.ndarray
    weights: np.ndarray
    zero: np.ndarray | None = None

    @property
    def steps(self) -> int:
        return int(self.codes.shape[1])


def two_in_a_byte(mode4: np.ndarray, slots: np.ndarray) -> np.ndarray:
    """A byte a row and step of the two token slots' values, int64[…, rows] of integers[2·rows, …]."""
    low, high = slots[0::2].astype(np.int64).T, slots[1::2].astype(np.int64).T
    return np.where(mode4, (high & 15) << 4 | low & 15, low & 255)


def stimulus(tiles: Sequence[Tile]) -> dict[str, np.ndarray]:
    """Steps of the tiles, one after the other: field of the input stream → integers (steps, …)."""
    act, mode4, last, zero = [], [], [], []
    for tile in tiles:
        shift = 0 if tile.zero is None else tile.zero[:, None]
        act.append(two_in_a_byte(tile.mode4, tile.codes + shift))
        if tile.zero is not None:
            zero.append(np.broadcast_to(two_in_a_byte(tile.mode4, tile.zero), act[-1].shape))
        mode4.append(np.broadcast_to(tile.mode4, act[-1].shape).astype(np.int64))
        last.append(np.arange(tile.steps) == tile.steps - 1)
    fields = {"act": act, "mode4": mode4, "last": last, "wgt": [tile.weights.T for tile in tiles]}
    return {name: np.concatenate(parts) for name, parts in (fields | ({"zero": zero} if zero else {})).items()}


def expected(params: MacParams, tiles: Sequence[Tile]) -> dict[str, np.ndarray]:
    """Beats of the drain, by the golden model: field of the output stream → integers (beats, …)."""
    acc, empty = [], []
    beats_per_token = params.cols // params.lanes
    for tile in tiles:
        absent = np.zeros(2 * params.rows, bool)
        absent[1::2] = ~tile.mode4
        sums = np.where(absent[:, None], 0, mac.matmul(tile.codes.astype(np.int16), tile.weights))
        acc.append(sums.reshape(-1, params.lanes))
        empty.append(np.repeat(absent, beats_per_token))
    beat = np.arange(params.drain_beats * len(tiles)) % params.drain_beats
    token = beat // beats_per_token
    return {"acc": np.concatenate(acc), "empty": np.concatenate(empty), "row": token // 2, "slot": token % 2,
            "last": beat == params.drain_beats - 1}


async def check(bench: BatchBench, tiles: Sequence[Tile], valid: Pattern = ALWAYS, ready: Pattern = ALWAYS, *,
                job: object, abort_at: int | None = None) -> Run:
    """Run tiles back to back; values against the golden model, every beat's cycle and the events against `sim.mac`."""
    params, steps = bench.params, [tile.steps for tile in tiles]
    timing = mac_sim.timing(params, steps, valid, ready)
    return await bench.run(
        {"i": Feed(stimulus(tiles), valid)}, {"o": Expect(expected(params, tiles), ready)},
        job=f"{job} ({len(tiles)} tiles, valid {valid}, ready {ready})", abort_at=abort_at,
        timing={"i": timing.inputs, "o": timing.outputs},
        events=mac_sim.events(params, steps, [int(tile.mode4.sum()) for tile in tiles]))


def random_tile(params: MacParams, rng: np.random.Generator, steps: int, mode4: np.ndarray | None = None) -> Tile:
    """Random codes, weights and, unless given, modes; each tile draws its chance of a 4-bit row, often 0 or 1."""
    if mode4 is None:
        mode4 = rng.random(params.rows) < rng.choice([0.0, 0.5, 1.0])
    reach = np.repeat(np.where(mode4, 8, 128), 2)[:, None]
    codes = rng.integers(-reach, reach, (2 * params.rows, steps)).astype(np.int16)
    zero = None
    if params.blocks:
        ends = rng.choice([0, 1], len(reach)) * (2 * reach[:, 0] - 1)
        zero = np.where(rng.random(len(reach)) < 0.3, ends, rng.integers(0, 2 * reach[:, 0])).astype(np.int16)
        codes += (reach - zero[:, None]).astype(np.int16)
    extreme = rng.integers(-128, 128, (params.cols, steps))
    if rng.integers(4) == 0:  # INT4 weights
        extreme >>= 4
    return Tile(codes=codes, mode4=mode4, weights=extreme.astype(np.int8), zero=zero)


def random_steps(params: MacParams, rng: np.random.Generator) -> int:
    """K of a tile: 1, about the array's own tile time, max_k, or anything between."""
    near = params.min_tile_cycles + int(rng.integers(-2, 3))
    anything = int(rng.integers(1, params.max_k + 1))
    return int(np.clip(rng.choice([1, 2, near, params.max_k, anything]), 1, params.max_k))


def random_tiles(params: MacParams, rng: np.random.Generator) -> list[Tile]:
    return [random_tile(params, rng, random_steps(params, rng)) for _ in range(int(rng.integers(1, 12)))]


@batch_test(quota=0.7)
async def random_tiles_under_stalls(bench: BatchBench) -> None:
    for job in bench.jobs():
        valid, ready = throttles(bench.rng)
        await check(bench, random_tiles(bench.params, bench.rng), valid, ready, job=job)


@batch_test(quota=0.2)
async def tiles_follow_each_other_as_fast_as_the_closed_form_says(bench: BatchBench) -> None:
    for job in bench.jobs():
        tiles = random_tiles(bench.params, bench.rng)
        run = await check(bench, tiles, job=job)
        assert run.cycles == mac_sim.cycles(bench.params, [tile.steps for tile in tiles])


@batch_test
async def products_of_both_modes_are_exact(bench: BatchBench) -> None:
    """All 256 · 256 operands of an 8-bit product and all 16 · 16 · 256 of a pair, each the only step of a tile; with
    blocks all 511 · 256 and 31 · 31 · 256, or as many as time allows."""
    drawn = block_product_tiles if bench.params.blocks else product_tiles
    for part, tiles in enumerate(drawn(bench.params, bench.rng)):
        await check(bench, tiles, job=f"products, part {part}")


def product_tiles(params: MacParams, rng: np.random.Generator) -> Iterator[list[Tile]]:
    """Tiles of one step; together every row operand of both modes meets every weight, or as many as time allows."""
    byte = np.tile(np.arange(256), 2)
    pair = np.repeat([True, False], 256)
    low = np.where(pair, ((byte & 15) ^ 8) - 8, (byte ^ 128) - 128)
    high = np.where(pair, ((byte >> 4) ^ 8) - 8, 0)
    rows = np.resize(rng.permutation(512), -(-512 // params.rows) * params.rows).reshape(-1, params.rows)
    columns = np.resize(rng.permutation(256) - 128, -(-256 // params.cols) * params.cols).reshape(-1, params.cols)
    order = rng.permutation(len(rows) * len(columns))
    if len(order) * params.min_tile_cycles > ALL_PRODUCTS_CYCLES:
        order = order[:SOME_PRODUCTS_CYCLES // params.min_tile_cycles]
    for part in np.array_split(order, -(-len(order) // 4096)):
        yield [Tile(codes=np.stack([low[mine], high[mine]], axis=1).reshape(-1, 1).astype(np.int8), mode4=pair[mine],
                    weights=columns[number % len(columns)][:, None].astype(np.int8))
               for number in part for mine in (rows[number // len(columns)],)]


def block_product_tiles(params: MacParams, rng: np.random.Generator) -> Iterator[list[Tile]]:
    """Tiles of one step whose rows have a code a each, 8-bit ones −255…255, pairs −15…15 twice, and every weight meets
    each of them, or as many of them as time allows."""
    pair = [(1, low, high) for low in range(-15, 16) for high in range(-15, 16)]
    mode, low, high = np.array([(0, whole, 0) for whole in range(-255, 256)] + pair).T
    rows = np.resize(rng.permutation(len(mode)), -(-len(mode) // params.rows) * params.rows).reshape(-1, params.rows)
    columns = np.resize(rng.permutation(256) - 128, -(-256 // params.cols) * params.cols).reshape(-1, params.cols)
    order = rng.permutation(len(rows) * len(columns))
    if len(order) * params.min_tile_cycles > ALL_BLOCK_PRODUCTS_CYCLES:
        order = order[:SOME_PRODUCTS_CYCLES // params.min_tile_cycles]
    for part in np.array_split(order, -(-len(order) // 4096)):
        tiles = []
        for number in part:
            mine = rows[number // len(columns)]
            codes = np.stack([low[mine], high[mine]], axis=1).reshape(-1)
            top = np.repeat(np.where(mode[mine] == 1, 15, 255), 2)
            least, most = np.maximum(0, -codes), np.minimum(top, top - codes)  # z for which q = a + z is a code
            tiles.append(Tile(codes=codes[:, None].astype(np.int16), mode4=mode[mine] == 1,
                              weights=columns[number % len(columns)][:, None].astype(np.int8),
                              zero=rng.integers(least, most + 1).astype(np.int16)))
        yield tiles


@batch_test
async def the_largest_and_smallest_sums_fit_the_accumulators(bench: BatchBench) -> None:
    """K = max_k with every operand at an end of its range: the accumulators are exactly wide enough for it."""
    params = bench.params
    tiles = []
    whole, half = (255, 15) if params.blocks else (128, 8)
    off = 0 if params.blocks else 1
    for mode4, ends in ((False, (-whole, whole - off, -1, 0)), (True, (-half, half - off, -1, 0))):
        for a0 in ends:
            for a1 in ends if mode4 else (0,):
                for weight in (-128, 127, -1, 0):
                    codes = np.tile(np.array([[a0], [a1]], np.int16), (params.rows, params.max_k))
                    tiles.append(Tile(codes=codes, mode4=np.full(params.rows, mode4),
                                      weights=np.full((params.cols, params.max_k), weight, np.int8),
                                      zero=np.maximum(0, -codes[:, 0]) if params.blocks else None))
    for valid, ready in sides(bench.rng).values():
        await check(bench, tiles, valid, ready, job="ends of the ranges")


@batch_test
async def nothing_is_lost_or_late_at_the_ends_of_back_pressure(bench: BatchBench) -> None:
    """The output blocked for long, opened for one beat now and then, or blocked at every phase of a tile's end."""
    params, rng = bench.params, bench.rng
    around = params.min_tile_cycles
    patterns = [listed([0] * (4 * around) + [1], "one in a while"), periodic(1, 1), periodic(1, 9, True),
                listed([0] * (3 * around) + [1] * (2 * around), "long block"), periodic(around, 3)]
    patterns += [listed([1] * phase + [0] * params.latency + [1] * around, f"phase {phase}")
                 for phase in rng.integers(0, 2 * around, 6)]
    for ready in patterns:
        for valid in (ALWAYS, periodic(1, 2)):
            steps = [1, 1, min(around, params.max_k), 2, params.max_k, 1]
            await check(bench, [random_tile(params, rng, k) for k in steps], valid, ready, job="back-pressure")


@batch_test
async def a_reset_in_the_middle_leaves_nothing_behind(bench: BatchBench) -> None:
    for job in range(12):
        tiles = random_tiles(bench.params, bench.rng)
        valid, ready = throttles(bench.rng)
        timing = mac_sim.timing(bench.params, [tile.steps for tile in tiles], valid, ready)
        end = timing.cycles if job % 2 else int(timing.inputs[-1]) + 1  # while tiles drain, or steps are on their way
        await check(bench, tiles, valid, ready, job=f"cut {job}", abort_at=int(bench.rng.integers(1, end + 1)))
        await bench.reset(int(bench.rng.integers(1, 4)))
        await check(bench, random_tiles(bench.params, bench.rng), job=f"after cut {job}")


@batch_test(trace=True)
async def tensors_of_the_shipped_trace_match(bench: BatchBench) -> None:
    """8- and 4-bit tokens of real layers, as quantized by the golden model, against their real INT4 weights, whoever
    stalls."""
    if not TRACE.is_file():
        bench.nothing(f"{TRACE}: no such file")
    elif bench.params.blocks:
        bench.nothing("the codes of hardware with blocks have a zero, which the engine's bench brings")
    else:
        for tiles in trace_tiles(bench.params, bench.rng):
            for valid, ready in sides(bench.rng).values():
                await check(bench, tiles, valid, ready, job="trace")


def trace_tiles(params: MacParams, rng: np.random.Generator) -> Iterator[list[Tile]]:
    """Per layer of the trace, a few tiles of tokens, output channels and a run of at most `max_k` input channels."""
    with Trace(TRACE) as trace:
        names = [name for name in trace.layer_names if trace.entry(name).transform]  # others may be a single token
        for name in rng.choice(names, min(2, len(names)), replace=False):
            result = run_linear(trace.layer(str(name)), NpuConfig())
            codes, weights, bits = result.quantized.codes, result.weights.codes, result.quantized.bits
            steps = min(params.max_k, codes.shape[1])
            yield [_trace_tile(params, rng, codes, weights, bits, steps) for _ in range(6)]


def _trace_tile(params: MacParams, rng: np.random.Generator, codes: np.ndarray, weights: np.ndarray, bits: np.ndarray,
                steps: int) -> Tile:
    mode4 = rng.random(params.rows) < 0.5
    tokens = [rng.choice(np.flatnonzero(bits == (4 if mode4[slot // 2] else 8))) for slot in range(2 * params.rows)]
    start = int(rng.integers(codes.shape[1] - steps + 1))
    columns = rng.choice(len(weights), params.cols)
    return Tile(codes=codes[tokens, start:start + steps], mode4=mode4, weights=weights[columns, start:start + steps])
