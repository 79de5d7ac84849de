"""Mistakes of the engine in hardware with blocks: whose scale a block has, when it ends, when its T are read."""

from __future__ import annotations

from collections.abc import Callable

from amaranth.hdl import Const, Value
from amaranth.lib import data

from rtl_gen.engine.block_drain import blocks_in_array, tiles_in_combine
from rtl_gen.lib.bits import chosen
from stamp_hw.engine.params import EngineParams
from tb.run.fault import Fault, Files, inside, takes

SET = "4x4 blocks"
TESTS = ("jobs_in_a_row_equal_the_models", "jobs_under_stalls_equal_the_models",
         "the_last_step_of_a_pass_may_end_a_group_or_a_short_block")


def _fault(name: str, why: str, where: str, value: object) -> Fault:
    return Fault(name=name, block="engine", why=why, patch=(f"rtl_gen.engine.{where}", value), set_name=SET,
                 tests=TESTS)


def _edit(name: str, why: str, edit: Callable[[Files], Files]) -> Fault:
    return Fault(name=name, block="engine", why=why, edit=edit, set_name=SET, tests=TESTS)


def _all_rows(tile: data.View, row: Value, slot: Value) -> Value:
    return ~(slot & ~chosen(list(tile.mode4), row)) & ~(slot & tile.odd & (row == tile.odd_row))


def _the_odd_partner(tile: data.View, row: Value, slot: Value) -> Value:
    return (row < tile.rows) & ~(slot & ~chosen(list(tile.mode4), row))


def _second_of_8_bits(tile: data.View, row: Value, slot: Value) -> Value:
    return (row < tile.rows) & ~(slot & tile.odd & (row == tile.odd_row))


def _one_block(last: Value, block_is_full: Value) -> Value:
    return last


def _a_beat_early(params: EngineParams) -> int:
    return (params.block_beats - 1) * params.lanes


FAULTS = (
    _fault("one_block_a_tile", "a tile's blocks are not told apart", "issue.ends_block", _one_block),
    _fault("end_blocks_early", "a block ends a beat before its scale does", "issue.block_steps", _a_beat_early),
    _fault("forget_the_block_gap", "blocks end so closely that their drains meet", "issue.block_gap", lambda params: 1),
    _fault("forget_the_tile_gap", "a tile ends before the combine unit has a bank for it", "issue.tile_gap",
           lambda params: 1),
    _fault("scale_of_the_first_block", "every block takes the scale of its token's first one", "block_drain.group_of",
           lambda block: Const(0)),
    _fault("scale_of_a_block_always", "a token with one scale takes those that older tokens left behind it",
           "block_drain.group_of", lambda block: block.group),
    _fault("weights_count_always", "blocks with an integer zero have their weights' sum taken off as well",
           "block_drain.weights_that_count", lambda wsum, blocks: wsum),
    _fault("weights_never_count", "a token with one scale and a zero point keeps the sum of its weights",
           "block_drain.weights_that_count", lambda wsum, blocks: Const(0)),
    _fault("t_of_rows_below", "T of rows below a ragged tile are sent", "block_drain.exists", _all_rows),
    _fault("t_of_the_odd_partner", "T of the token that an odd one lacks are sent", "block_drain.exists",
           _the_odd_partner),
    _fault("t_of_a_second_8_bit_token", "T of the second token of an 8-bit row are sent", "block_drain.exists",
           _second_of_8_bits),
    _fault("read_t_early", "T are read before the last column has written them", "block_drain.written_cycles",
           lambda params: 2),
    _fault("read_t_late", "T wait a cycle longer than they have to", "block_drain.written_cycles",
           lambda params: params.cols + params.combine.latency),
    _fault("block_queue_one_short", "a full queue of blocks forgets one", "block_drain.blocks_in_array",
           lambda params: blocks_in_array(params) - 1),
    _fault("t_queue_one_short", "a full queue of complete tiles forgets one", "block_drain.tiles_in_combine",
           lambda params: tiles_in_combine(params) - 1),
    _edit("groups_of_the_rows", "scales of a token's third and fourth block are written over the first two",
          takes("stamp_engine_rows", "group", "{} & 2'h1")),
    _edit("tags_with_the_last_codes", "a token's tags come with its last coefficient, which may be too late",
          inside("stamp_engine_front", ".push(haar_o__valid & token_begins),",
                 ".push(haar_o__valid & haar_o__payload_last),")),
)
