"""Products in parts that each fit a multiplier, with and without a slice's registers, against Python's integers."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from amaranth.hdl import Module, Signal, signed, unsigned
from amaranth.sim import Simulator

from rtl_gen.lib import product
from rtl_gen.lib.delay import Ranks
from rtl_gen.lib.registered_product import ProductParams, of_slice
from rtl_gen.mac.ecp5 import DSP
from stamp_hw.config import HwConfig, NpuConfig
from stamp_hw.params import RescaleParams

#: Bits of a small multiplier's signed factor, so that every value of every split is tried.
SMALL = 4
FPGA = RescaleParams.of(NpuConfig.load(Path("configs/fpga.yaml")).hw)
LARGEST = RescaleParams.of(HwConfig(max_k=16384, axes=2))


def of_rescale(params: RescaleParams) -> list[tuple[int, int]]:
    """Bits of the wide and of the narrow factor of its three products."""
    return [(params.sum_width, params.width), (params.wsum_width, params.width), (params.total_width, 17)]


USED = sorted({*of_rescale(FPGA), *of_rescale(RescaleParams.of(HwConfig())), *of_rescale(LARGEST)})


def corners(bits: int) -> list[int]:
    """Ends of the range, zero and its neighbours, and what is all ones or zeros in a part of it."""
    ends = [-1 << bits - 1, (1 << bits - 1) - 1, 0, -1, 1]
    parts = [sign << place for place in range(product.PART, bits - 1, product.PART) for sign in (-1, 1)]
    return sorted({value for value in (*ends, *parts, *(part - 1 for part in parts))
                   if -1 << bits - 1 <= value < 1 << bits - 1})


def follow(m: Module, pairs: list[tuple[int, int]], a: Signal, b: Signal, result: Signal, enable: Signal,
           stages: int, moves: Iterator[int]) -> None:
    """Offer each pair in a cycle that moves; its product is there `stages` such cycles later and stays until then."""
    async def bench(ctx) -> None:  # type: ignore[no-untyped-def]  # Amaranth's contexts have no type
        left, awaited = iter(pairs), [None] * stages
        while True:
            pair = next(left, None)
            if pair is not None:
                ctx.set(a, pair[0])
                ctx.set(b, pair[1])
            while not next(moves):
                ctx.set(enable, 0)
                await ctx.tick()
                assert awaited[0] is None or ctx.get(result) == awaited[0]
            ctx.set(enable, 1)
            await ctx.tick()
            awaited = [*awaited[1:], None if pair is None else pair[0] * pair[1]]
            if awaited[0] is not None:
                assert ctx.get(result) == awaited[0]
            if awaited == [None] * stages:
                return

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


def multiplied(bits: tuple[int, int], pairs: list[tuple[int, int]], stages: int, dsp: str | None,
               moves: Iterator[int]) -> None:
    """All products of `pairs`, as `multiply` makes them."""
    m, enable = Module(), Signal()
    wide, narrow, result = Signal(signed(bits[0])), Signal(signed(bits[1])), Signal(signed(sum(bits)))
    found = product.multiply(Ranks(m, enable), "product", wide, narrow, stages, signed(sum(bits)), dsp)
    m.d.comb += result.eq(found)
    follow(m, pairs, wide, narrow, result, enable, stages, moves)


def always() -> Iterator[int]:
    while True:
        yield 1


def at_random(generator: random.Random) -> Iterator[int]:
    while True:
        yield generator.getrandbits(1)


@pytest.mark.parametrize("dsp", [None, DSP])
@pytest.mark.parametrize("stages", [1, 2, 3])
@pytest.mark.parametrize("bits", [(1, 1), (3, 4), (4, 4), (5, 3), (7, 4), (8, 2), (9, 3)])
def test_every_small_product_is_right_however_it_is_split(
        bits: tuple[int, int], stages: int, dsp: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(product, "FACTOR", SMALL)
    monkeypatch.setattr(product, "PART", SMALL - 1)
    first, second = (range(-1 << width - 1, 1 << width - 1) for width in bits)
    multiplied(bits, [(a, b) for a in first for b in second], stages, dsp, always())


@pytest.mark.parametrize("dsp", [None, DSP])
@pytest.mark.parametrize("bits", USED, ids=lambda bits: f"{bits[0]}x{bits[1]}")
def test_products_of_the_widths_in_use_are_right_under_stalls(
        bits: tuple[int, int], dsp: str | None, rng: np.random.Generator) -> None:
    generator = random.Random(int(rng.integers(2**32)))
    pairs = [(a, b) for a in corners(bits[0]) for b in corners(bits[1])]
    pairs += [(generator.randrange(-1 << bits[0] - 1, 1 << bits[0] - 1),
               generator.randrange(-1 << bits[1] - 1, 1 << bits[1] - 1)) for _ in range(500)]
    for stages in (1, 2, 4):
        multiplied(bits, pairs, stages, dsp, at_random(generator))


@pytest.mark.parametrize("bits", [1, 17, 18, 19, 34, 35, 36, 37, 63])
def test_parts_make_the_whole_and_each_fits_a_multiplier(bits: int) -> None:
    value = Signal(signed(bits))
    parts = product.parts(value)
    assert [part.shape().signed for part in parts] == [False] * (len(parts) - 1) + [True]
    assert all(len(part) == product.PART for part in parts[:-1]) and len(parts[-1]) <= product.FACTOR
    assert sum(map(len, parts)) == bits and len(parts) == 1 + max(0, -(-(bits - product.FACTOR) // product.PART))


@pytest.mark.parametrize("is_signed", [True, False])
@pytest.mark.parametrize("stages", [1, 2, 3])
def test_a_slice_s_module_multiplies_both_kinds_of_factors_and_holds(stages: int, is_signed: bool) -> None:
    shape = signed if is_signed else unsigned
    m, enable, a, b = Module(), Signal(), Signal(shape(5)), Signal(shape(3))
    result = Signal(shape(8))
    m.d.comb += result.eq(of_slice(m, "multiplier", a, b, stages, enable))
    first, second = (range(-1 << bits - 1, 1 << bits - 1) if is_signed else range(1 << bits) for bits in (5, 3))
    follow(m, [(x, y) for x in first for y in second], a, b, result, enable, stages, at_random(random.Random(0)))


@pytest.mark.parametrize("params", [ProductParams(a_bits=18, b_bits=17, signed=True, stages=1),
                                    ProductParams(a_bits=17, b_bits=16, signed=False, stages=4)])
def test_a_module_s_name_says_what_it_is(params: ProductParams) -> None:
    assert ProductParams.named(params.module) == params
    assert ProductParams.named("stamp_pe_multiplier") is None
