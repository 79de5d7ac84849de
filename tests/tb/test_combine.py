"""The combine unit: its cycle model against counting by hand and brute force, its RTL against both models."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from rtl_gen.combine import event_layout
from rtl_gen.combine_stream import CombineStream
from rtl_gen.lib.product import PART
from rtl_gen.verilog.emit import verilog
from sim import combine as combine_sim
from sim.pipeline import Pattern
from stamp_hw.combine import combine
from stamp_hw.config import NpuConfig
from stamp_hw.errors import ConfigError, LayerError
from stamp_hw.params import COMBINE_TURN, CombineParams
from tb import tb_combine
from tb.bench.patterns import listed, throttles
from tb.run.block import fresh_seed, run_block

SETS = tb_combine.PARAMETER_SETS


@pytest.mark.rtl
@pytest.mark.parametrize("name", SETS)
def test_rtl_equals_the_golden_model_in_values_cycles_and_events(name: str) -> None:
    run_block("combine", name, fresh_seed())


def test_the_golden_model_is_the_sum_of_the_products_in_python(rng: np.random.Generator) -> None:
    acc, span = rng.integers(-(1 << 31), 1 << 31, (3, 5, 2)), rng.integers(0, 1 << 18, (3, 5))
    found = combine(acc, span)
    assert found.dtype == np.int64
    assert found.tolist() == [[sum(int(span[t, g]) * int(acc[t, g, n]) for g in range(5)) for n in range(2)]
                              for t in range(3)]


def test_a_total_beyond_its_width_and_parts_that_do_not_fit_are_refused() -> None:
    acc, span = np.array([[[-8]], [[7]]]), np.ones((2, 1), np.int64)
    assert combine(acc, span, 4).tolist() == [[-8], [7]]
    with pytest.raises(LayerError, match=r"combine: T does not fit; got -8…7; expected 3 signed bits"):
        combine(acc, span, 3)
    with pytest.raises(LayerError, match=r"different blocks; got \(2, 1, 1\) and \(2, 2\)"):
        combine(acc, np.ones((2, 2), np.int64))


def slow_timing(params: CombineParams, blocks: Sequence[int], valid: Pattern, ready: Pattern
                ) -> tuple[list[int], list[int]]:
    """Brute force: banks that hold a tile by its number, every T by the cycle in which its column writes it."""
    source = [(tile, block, token) for tile, count in enumerate(blocks) for block in range(count)
              for token in range(params.tokens)]
    wanted = [(tile, token, chunk) for tile in range(len(blocks)) for token in range(params.tokens)
              for chunk in range(params.chunks)]
    banks: dict[int, int] = {}
    found_from: dict[tuple[int, int], int] = {}  # tile, token → first cycle in which a read finds its T
    inputs: list[int] = []
    outputs: list[int] = []
    offered, on_offer, cycle = False, False, 0
    while len(outputs) < len(wanted):
        if not offered and len(inputs) < len(source) and valid(cycle):
            offered = True
        sent = on_offer and ready(cycle)
        moves = sent or not on_offer
        taken = None
        if offered:
            tile, block, token = source[len(inputs)]
            bank = banks.get(tile % 2, tile)
            turn = not inputs or token or cycle - inputs[-1] > params.turn_gap
            if turn and (bank == tile or (block, token) != (0, 0)):
                taken = source[len(inputs)]
        nth = len(outputs) + on_offer
        reads = moves and nth < len(wanted) and cycle >= found_from.get(
            (wanted[nth][0], params.tokens - 1), cycle + 1)
        if sent:
            outputs.append(cycle)
            if len(outputs) == len(wanted) or wanted[len(outputs)][0] != wanted[len(outputs) - 1][0]:
                del banks[wanted[len(outputs) - 1][0] % 2]
        if taken:
            tile, block, token = taken
            banks[tile % 2] = tile
            if block == blocks[tile] - 1:
                found_from[tile, token] = cycle + params.cols + params.latency
            inputs.append(cycle)
            offered = False
        if moves:
            on_offer = bool(reads)
        cycle += 1
    return inputs, outputs


@pytest.mark.parametrize("name", SETS)
def test_the_cycle_model_is_what_brute_force_finds(name: str, rng: np.random.Generator) -> None:
    params = SETS[name]
    for _ in range(30):
        blocks = rng.integers(1, 5, int(rng.integers(1, 6))).tolist()
        valid, ready = throttles(rng)
        timing = combine_sim.timing(params, blocks, valid, ready)
        assert (timing.inputs.tolist(), timing.outputs.tolist()) == slow_timing(params, blocks, valid, ready), blocks


@pytest.mark.parametrize("name", SETS)
def test_without_stalls_the_closed_form_is_what_the_unit_steps_to(name: str, rng: np.random.Generator) -> None:
    params = SETS[name]
    assert combine_sim.cycles(params, []) == 0
    for _ in range(40):
        blocks = rng.integers(1, 30, int(rng.integers(1, 9))).tolist()
        assert combine_sim.cycles(params, blocks) == combine_sim.timing(params, blocks).cycles, blocks


def test_cycles_counted_by_hand() -> None:
    """8 tokens in cycles 0 to 7; column 3 writes the last T 3 + 5 cycles later, it is read the cycle after that."""
    params = SETS["four"]
    timing = combine_sim.timing(params, [1, 1, 1])
    assert timing.inputs.tolist() == [*range(16), *range(33, 41)]  # the third tile waits for the first one's bank
    assert timing.outputs.tolist()[:17] == [*range(17, 33), 33]
    slow = combine_sim.timing(params, [1], ready=listed([0, 0, 0, 1]))
    assert slow.outputs.tolist() == list(range(19, 83, 4))


def test_blocks_of_two_tokens_wait_for_the_turn_of_a_total() -> None:
    params = SETS["pair"]
    assert (params.tokens, params.turn_gap) == (2, COMBINE_TURN - 2)
    assert combine_sim.timing(params, [3, 1]).inputs.tolist() == [0, 1, 3, 4, 6, 7, 9, 10]
    assert all(one.turn_gap == 0 for one in SETS.values() if one is not params)


def test_events_count_the_sums_of_every_token() -> None:
    assert combine_sim.events(SETS["four"], [1, 5]) == combine_sim.CombineEvents(sums=48)
    assert set(combine_sim.CombineEvents.__dataclass_fields__) == {name for name, _ in event_layout()}


def test_parameters_come_from_the_one_configuration() -> None:
    params = CombineParams.of(NpuConfig().with_hw(block=64).hw)
    assert (params.cols, params.tokens, params.acc_width, params.width, params.total_width) == (8, 16, 22, 18, 46)
    with pytest.raises(ConfigError, match="CombineParams.lanes"):
        CombineParams(cols=4, lanes=3, tokens=4, acc_width=20, width=17, total_width=40, mul_stages=1)


def test_columns_share_one_module_with_one_product_in_parts() -> None:
    files = verilog(CombineStream(SETS["square"]), "stamp_combine")
    assert set(files) == {"stamp_combine.v", "stamp_combine_unit.v", "stamp_combine_column.v"}
    assert files["stamp_combine_unit.v"].count("  stamp_combine_column column") == 8
    assert files["stamp_combine_column.v"].count(" * ") == -(-(SETS["square"].acc_width - 1) // PART)


def test_drawn_tiles_reach_every_end_of_the_operands_and_tiles_reach_a_total(rng: np.random.Generator) -> None:
    for params in SETS.values():
        tiles = [tile for _ in range(20) for tile in tb_combine.random_tiles(params, rng)]
        acc, span = (np.concatenate([part.ravel() for part in parts]) for parts in zip(
            *((tile.acc, tile.span) for tile in tiles), strict=True))
        top = 1 << (params.acc_width - 1)
        assert {-top, top - 1, 0} <= set(acc.tolist()) and {0, (1 << params.width) - 1} <= set(span.tolist())
        assert {1, 2} < {tile.blocks for tile in tiles}
        for target in (-1 << (params.total_width - 1), (1 << (params.total_width - 1)) - 1, 12345):
            tile = tb_combine.reaching(params, target)
            assert (combine(tile.acc, tile.span, params.total_width) == target).all()
