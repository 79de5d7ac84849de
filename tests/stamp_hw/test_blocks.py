"""One object a block (stamp_hw/blocks.py): golden model, cycles and hardware of the same parameters."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rtl_gen.tops import BLOCKS, units
from sim import combine as combine_sim
from sim import haar as haar_sim
from sim import hadamard as hadamard_sim
from sim import mac as mac_sim
from sim import rescale as rescale_sim
from sim import scale as scale_sim
from sim.engine.timing import timing
from stamp_hw import NpuConfig, blocks, haar, hadamard, mac, rescale, run_linear, scale
from stamp_hw.engine.streams import make_job
from stamp_hw.errors import ConfigError, LayerError
from stamp_hw.haar_slots import HaarJob
from stamp_hw.layer import Layer
from tests.support import reference

CONFIG = NpuConfig.from_dict({"hw": {"rows": 2, "cols": 4, "lanes": 2, "rescale_lanes": 2, "max_k": 32,
                                     "max_tokens": 32, "act_slots": 16, "axes": 2}, "job": {"n_hi": 2, "levels": 2}})
BLOCKED, WITH_HADAMARD = CONFIG.with_hw(block=16), CONFIG.with_hw(hadamard=16)
OBJECTS = tuple(value for value in vars(blocks).values()
                if isinstance(value, type) and issubclass(value, blocks.Block) and hasattr(value, "MODULE"))


@pytest.mark.parametrize("block", OBJECTS, ids=lambda block: block.__name__)
def test_the_component_is_the_one_that_is_generated(block: Any) -> None:
    (unit,) = (unit for unit in units() if unit.module == block.MODULE)
    config = next(config for config in (CONFIG, BLOCKED, WITH_HADAMARD) if unit.is_built(config.hw))
    component = block(config).component()
    component._MustUse__used = True  # it is never elaborated
    assert type(component) is unit.component and component.params == block(config).params == unit.params(config.hw)


@pytest.mark.parametrize("block", OBJECTS, ids=lambda block: block.__name__)
def test_a_block_is_where_the_hardware_has_it(block: Any) -> None:
    (unit,) = (unit for unit in units() if unit.module == block.MODULE)
    for config in (CONFIG, BLOCKED, WITH_HADAMARD):
        if unit.is_built(config.hw):
            assert block(config).config is config
            continue
        has = getattr(config.hw, unit.key) or "none"
        with pytest.raises(ConfigError, match=f"hw.{unit.key}: hardware without {block.MODULE}; got {has}; expected"):
            block(config)


def test_every_block_has_its_object() -> None:
    inside = {"stamp_haar_finish", "stamp_engine_axi", "stamp_npu"}  # a part of the inverse lifting's way out; edges
    assert {block.MODULE for block in OBJECTS} == {unit.module for group in BLOCKS.values() for unit in group} - inside


def test_hadamard_unit(rng: np.random.Generator) -> None:
    block, x = blocks.Hadamard(WITH_HADAMARD), rng.integers(-9000, 9000, (5, 19))
    assert (block.compute(x, 3) == hadamard.transform(x, 16, 3, 16)[0]).all()
    assert block.cycles(x, 3) == hadamard_sim.timing(block.params, [block.params.job(tokens=5, k=19, shift=3)]).cycles
    for ask in (block.compute, block.cycles):
        with pytest.raises(ConfigError, match=r"HadamardJob\.shift"):
            ask(x, 5)
        with pytest.raises(LayerError, match="stamp_hadamard: no tokens or no shift"):
            ask(x[0], 1)
    with pytest.raises(ConfigError, match=r"hw\.hadamard: hardware without stamp_hadamard"):
        blocks.Hadamard(CONFIG).compute(x, 3)
    with pytest.raises(ConfigError, match="hardware without a block hadamard"):
        units("hadamard", CONFIG.hw)


@pytest.mark.parametrize("grid", [None, (4, 5)])
def test_lifting_units(rng: np.random.Generator, grid: tuple[int, int] | None) -> None:
    x = rng.integers(-100, 100, (20, 7))
    for block, golden in ((blocks.HaarForward(CONFIG), haar.forward), (blocks.HaarInverse(CONFIG), haar.inverse)):
        values = x if block.params.direction == "forward" else x[:, :4]
        assert (block.compute(values, 2, grid) == golden(values, 2, grid)).all()
        job = HaarJob(tokens=20, levels=2, beats=-(-values.shape[1] // 2), grid=grid)
        assert block.cycles(values, 2, grid) == haar_sim.timing(block.params, [job]).cycles


def test_scale_unit(rng: np.random.Generator) -> None:
    block, c = blocks.Scale(CONFIG), rng.integers(-9000, 9000, (5, 9))
    bits = np.array([8, 4, 4, 8, 4])
    got, wanted = block.compute(c, bits), scale.quantize(c, bits, CONFIG)
    assert all((getattr(got, name) == getattr(wanted, name)).all() for name in ("codes", "lo", "span", "bits"))
    assert block.cycles(c, bits) == scale_sim.timing(block.params, [block.params.job(tokens=5, k=9)]).cycles


@pytest.mark.parametrize("hw", [{"block": 4}, {}])
def test_scale_unit_of_groups_that_have_an_integer_zero_in_hardware_with_blocks_alone(
        hw: dict[str, int], rng: np.random.Generator) -> None:
    config = CONFIG.with_hw(**hw).with_job(group=4)
    block, c = blocks.Scale(config), rng.integers(-9000, 9000, (5, 9)) + np.array([[20000], [0], [0], [-20000], [0]])
    bits = np.array([8, 4, 4, 8, 4])
    got = block.compute(c, bits)
    rw = config.hw.coef_width
    parts = [[(row[start:start + 4], token) for start in (0, 4, 8)]
             for row, token in zip(c.tolist(), bits.tolist(), strict=True)]
    wanted = [[reference.quantize_block(part, token, rw) if hw else reference.quantize_group(part, token, False, rw)
               for part, token in row] for row in parts]
    assert got.codes.tolist() == [[a for group in row for a in group.codes] for row in wanted]
    assert got.lo.tolist() == [[group.lo for group in row] for row in wanted]
    assert got.span.tolist() == [[group.span for group in row] for row in wanted]
    assert (got.zero is not None) == bool(hw)
    assert block.cycles(c, bits) == scale_sim.timing(block.params, [block.params.job(tokens=5, k=9, group=4)]).cycles


def test_mac_array(rng: np.random.Generator) -> None:
    block = blocks.Mac(CONFIG)
    codes, weights = (rng.integers(-8, 8, (rows, 11)).astype(np.int8) for rows in (4, 3))
    assert (block.compute(codes, weights) == mac.matmul(codes, weights)).all()
    assert block.cycles(codes, weights) == mac_sim.timing(block.params, [11]).cycles
    for codes in (np.zeros((5, 11), np.int8), np.zeros((4, 10), np.int8), np.zeros(11, np.int8)):
        for ask in (block.compute, block.cycles):
            with pytest.raises(LayerError, match=r"stamp_mac: no tile; got .* at most 4 tokens .*, 4 outputs, K 32"):
                ask(codes, weights)


def test_mac_array_of_hardware_with_blocks(rng: np.random.Generator) -> None:
    block = blocks.BlockMac(BLOCKED)
    codes, weights = rng.integers(-255, 256, (4, 11)).astype(np.int16), rng.integers(-128, 128, (3, 11)).astype(np.int8)
    assert (block.compute(codes, weights) == codes.astype(np.int64) @ weights.T.astype(np.int64)).all()
    assert block.cycles(codes, weights) == mac_sim.timing(block.params, [11]).cycles
    with pytest.raises(LayerError, match="stamp_block_mac: other types of .*; expected NumPy arrays of int16 and int8"):
        block.compute(codes.astype(np.int8), weights)
    with pytest.raises(LayerError, match=r"stamp_block_mac: no tile; got .* at most 4 tokens .*, 4 outputs, K 16"):
        block.compute(np.zeros((4, 17), np.int16), np.zeros((3, 17), np.int8))


def test_combine_unit(rng: np.random.Generator) -> None:
    block = blocks.Combine(BLOCKED)
    acc, span = rng.integers(-9000, 9000, (4, 2, 3)), rng.integers(0, 1 << 18, (4, 2))
    assert (block.compute(acc, span) == (acc * span[:, :, None]).sum(axis=1)).all()
    assert block.cycles(acc, span) == combine_sim.timing(block.params, [2]).cycles
    wide = np.full((4, 300, 3), 1 << 18)
    for wrong, message in (((acc[:, :1], span), "no tile; got"), ((np.zeros((5, 2, 3), np.int64), span), "no tile"),
                           ((acc, span + (1 << 18)), "beyond the unit's widths"), ((acc << 9, span), "beyond the unit"),
                           ((acc, -span - 1), "beyond the unit's widths")):
        for ask in (block.compute, block.cycles):
            with pytest.raises(LayerError, match=f"stamp_combine: {message}"):
                ask(*wrong)
    with pytest.raises(LayerError, match="combine: T does not fit"):
        block.compute(wide, np.full((4, 300), (1 << 18) - 1))


@pytest.mark.parametrize("given", [((20, 7), 9, None), ((20, 7), -1, None), ((20, 7), 2, (3, 3)), ((33, 7), 1, None),
                                   ((20, 33), 1, None), ((0, 7), 1, None), ((20,), 1, None), ((20, 7), 5, (4, 5))])
def test_what_a_lifting_unit_cannot_take_has_no_cycles_either(given: tuple[Any, int, Any]) -> None:
    shape, levels, grid = given
    for ask in (blocks.HaarForward(CONFIG).compute, blocks.HaarForward(CONFIG).cycles):
        with pytest.raises(LayerError, match="stamp_haar_forward: .* that the unit cannot take"):
            ask(np.zeros(shape, np.int64), levels, grid)


def test_what_the_scale_unit_cannot_take_has_no_cycles_either() -> None:
    block = blocks.Scale(CONFIG)
    for ask in (block.compute, block.cycles):
        with pytest.raises(LayerError, match="stamp_scale: bits do not fit the tokens"):
            ask(np.zeros((2, 3), np.int64), np.array([3, 8]))
        with pytest.raises(ConfigError, match="ScaleJob.k"):
            ask(np.zeros((2, 33), np.int64), np.array([4, 8]))


def test_rescale_unit(rng: np.random.Generator) -> None:
    block = blocks.Rescale(CONFIG)
    quantized = scale.quantize(rng.integers(-9000, 9000, (5, 9)), np.full(5, 8), CONFIG)
    weights = rng.integers(-100, 100, (3, 9)).astype(np.int8)
    acc, wsum = mac.matmul(quantized.codes, weights), weights.sum(axis=1, dtype=np.int64)
    mant, shift = rescale.factors(0.01, np.full(3, 0.02), 0.5, CONFIG)
    given = (acc, quantized, wsum, mant, shift)
    assert (block.compute(*given) == rescale.rescale(*given, CONFIG)).all()
    assert block.cycles(*given) == rescale_sim.timing(block.params, 5 * 2).cycles  # three outputs: two beats a token


def test_engine(rng: np.random.Generator) -> None:
    layer = Layer(name="one", x=rng.standard_normal((20, 9)).astype(np.float32),
                  weight=rng.standard_normal((5, 9)).astype(np.float32))
    config = replace(CONFIG, hw=replace(CONFIG.hw, dram_bytes_per_s=1e15))  # nothing waits for the memory
    block = blocks.Engine(config)
    result = block.compute(layer)
    assert (result.y == run_linear(layer, config).y).all()
    assert block.cycles(layer) == timing(block.params, [make_job(layer, config, result)]).cycles
