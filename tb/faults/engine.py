"""Mistakes of the engine around its blocks: gates, rows, parameters, the order of work, registers."""

from __future__ import annotations

from collections.abc import Callable

from amaranth.hdl import Cat, Const, Module, Mux, Value
from amaranth.lib import data

from rtl_gen.engine.drain import tiles_in_array
from rtl_gen.engine.front import tokens_in_scale
from stamp_hw.engine.params import EngineParams
from tb.faults._engine_blocks import FAULTS as OF_BLOCKS
from tb.run.fault import Fault, Files, inside, narrow, takes


def _always(*_: object) -> Value:
    return Const(1)


def _accept_all(_job: data.View, _tokens: Value, _params: object) -> Value:
    return Const(1)


def _forget_the_output_half(apart: Value, _out_free: Value) -> Value:
    return apart


def _forget_the_gap(_apart: Value, out_free: Value) -> Value:
    return out_free


def _count_the_odd_partner(beat: data.View, tile: data.View) -> Value:
    return (beat.row < tile.rows) & ~beat.empty


def _count_all_rows(beat: data.View, tile: data.View) -> Value:
    return ~beat.empty & ~(beat.slot & tile.odd & (beat.row == tile.odd_row))


def _forget_a_half_open_row(hi: Value, second: Value, _is_open: Value) -> Value:
    return ~hi & ~second


def _one_table(symmetric: Value, _hi: Value) -> Value:
    return symmetric & 0


def _swap_tables(symmetric: Value, hi: Value) -> Value:
    return symmetric & hi


def _one_more_at_8_bits(m: object, coef: data.View, job: data.View, params: object) -> Value:
    return Mux(coef.level == 0, 1, job.hi_order > job.levels)


def _a_step_late(issues: Value, lane: Value) -> Value:
    return issues & (lane == 1)


def _one(_params: object) -> int:
    return 1


def _fault(name: str, why: str, where: str, value: object, set_name: str = "2x2") -> Fault:
    return Fault(name=name, block="engine", why=why, patch=(f"rtl_gen.engine.{where}", value), set_name=set_name,
                 tests=("jobs_in_a_row_equal_the_models", "jobs_under_stalls_equal_the_models"))


_COUNTING = ("thousands_of_column_tiles_are_counted",)
_FILLING = ("jobs_in_a_row_equal_the_models", "jobs_under_stalls_equal_the_models",
            "sums_and_products_fill_their_registers", "super_tiles_fill_every_row_slot_and_every_place",
            "a_coefficient_at_its_lowest_value_is_seen_in_the_result",
            "a_job_offered_in_any_cycle_behind_the_one_before_is_right")


def _edit(name: str, why: str, edit: Callable[[Files], Files], set_name: str = "2x2") -> Fault:
    return Fault(name=name, block="engine", why=why, edit=edit, set_name=set_name,
                 tests=_COUNTING if name.startswith("columns") else _FILLING)


def _patch(name: str, why: str, where: str, value: object, set_name: str = "2x2") -> Fault:
    return Fault(name=name, block="engine", why=why, patch=(f"rtl_gen.{where}", value), set_name=set_name,
                 tests=_FILLING)


def _packed(name: str, why: str, *, patch: tuple[str, object] | None = None,
            edit: Callable[[Files], Files] | None = None) -> Fault:
    return Fault(name=name, block="engine", why=why, patch=patch, edit=edit, set_name="6x5",
                 tests=("jobs_in_a_row_equal_the_models", "jobs_under_stalls_equal_the_models",
                        "weights_that_leave_int8_saturate_and_are_an_error",
                        "the_last_step_of_a_pass_may_end_a_group_or_a_short_block"))


_UNPACK = "stamp_engine_loader_unpack"
#: Of builds with packed weights.
PACKED = (
    _packed("wrap_a_weight", "weights that leave INT8 wrap", patch=("rtl_gen.engine.unpack.saturated",
                                                                    lambda product: product[:8].as_signed())),
    _packed("any_pair", "every step and zero count as legal", patch=("rtl_gen.engine.unpack.most_less",
                                                                     lambda _zero: Const(15, 4))),
    _packed("groups_of_32", "every group has 32 channels", patch=("rtl_gen.engine.unpack.group_is_full",
                                                                  lambda beat, _group: beat[:4].all())),
    _packed("pair_of_the_next_pass", "a pass's first step and zero are taken with the last step of the pass before",
            edit=inside(_UNPACK, "(pair & ~last)", "pair")),
    _packed("pair_of_the_job_before", "weights without groups take the last step and zero of the job before",
            edit=inside(_UNPACK, "else if (~loading & ~grouped)", "else if (1'b0)")),
)


def _half_a_column(m: Module, coef: data.View, job: data.View, params: EngineParams) -> Value:
    """The comparison without the highest bit of the column."""
    order = Mux(coef.level == 0, 0, job.levels + 1 - coef.level)
    return Cat(coef.column[:6], order) < Cat(job.hi_column[:6], job.hi_order)


def _no_row(m: Module, coef: data.View, job: data.View, params: EngineParams) -> Value:
    order = Mux(coef.level == 0, 0, job.levels + 1 - coef.level)
    return Cat(coef.column, coef.band, order) < Cat(job.hi_column, job.hi_band, job.hi_order)


def _tiles_one_short(params: EngineParams) -> int:
    return tiles_in_array(params) - 1


def _tokens_one_short(params: EngineParams) -> int:
    return tokens_in_scale(params) - 1


_COLUMNS = 25  # lowest bit of `columns` in the job registers of set 2x2
_BIAS = "bias0[{channel_set, channel_chunk}]"  # a word of a memory
REGISTERS = (
    # Counters and registers that are too narrow, or lose a bit.
    _edit("columns_of_the_array", "the array counts column tiles in ten bits",
          takes("stamp_engine_issue_order", "column_tiles_left", "{} & 17'h103ff")),
    _edit("columns_of_the_loader", "the loader counts column tiles in ten bits",
          takes("stamp_engine_loader", "column_tiles_left", "{} & 17'h103ff")),
    _edit("columns_of_the_back", "the back counts column tiles in ten bits",
          takes("stamp_engine_back_lift", "column_tiles_left", "{} & 17'h103ff")),
    _edit("columns_of_the_job", "the job's number of column tiles has twelve bits",
          takes("stamp_engine_front", "registers", f"{{}} & ~(61'hf000 << {_COLUMNS})")),
    _edit("tiles_of_the_array", "the array numbers its tiles in four bits, the buffer holds 17",
          takes("stamp_engine_issue_order", "tile_1", "{} & 5'h0f")),
    _edit("places_of_the_drain", "places 64 and 65 are 0 and 1",
          takes("stamp_engine_drain", "place_line", "{} & ~110'h080")),
    _edit("beats_of_the_rows", "a token's beats are counted in four bits, the longest has 17",
          takes("stamp_engine_rows", "beat", "{} & 5'h0f")),
    _edit("count_of_sinks", "32 sinks are none",
          inside("stamp_engine_front", "|registers_n_sink", "|registers_n_sink[4:0]", 2)),
    _edit("tokens_of_a_job", "a job's tokens and sinks are counted in six bits",
          inside("stamp_engine_front", "<= tokens + {10'd0, registers_n_sink};",
                 "<= 17'h3f & (tokens + {10'd0, registers_n_sink});")),
    # Sums and products that lose their highest bit, signed ones become a sign.
    _edit("sums_of_8_bits", "a sum over 50 channels has 20 bits, not 21", narrow("stamp_pe", "acc0", 12)),
    _edit("sums_of_4_bits", "a sum of 4-bit codes has 16 bits, not 17", narrow("stamp_pe", "acc1", 1)),
    _edit("sums_on_the_way_out", "the chain that drains the sums has 18 bits, not 21", narrow("stamp_pe", "hold0", 14)),
    _edit("sum_of_the_weights", "wsum has 13 bits, not 14", narrow("stamp_rescale_lane", "wsum_1", 1)),
    _edit("sum_of_the_codes", "acc + mid·wsum has 21 bits, not 22", narrow("stamp_rescale_lane", "code_sum", 11)),
    _edit("total", "T has 37 bits, not 38", narrow("stamp_rescale_lane", "total", 1)),
    _edit("common_unit", "T' has 37 bits, not 38", narrow("stamp_rescale_lane", "unit", 1)),
    _edit("product", "T'·mant has 53 bits, not 54", narrow("stamp_rescale_lane", "product", 1)),
    _edit("lowest_value", "lo has 16 bits, not 17", narrow("stamp_rescale_lane", "lo_1", 1)),
    _edit("span", "spans from 2^16 on lose their highest bit",
          takes("stamp_rescale_lane", "span_offset", "{} | 17'h10000")),
    _edit("bias", "a bias has 24 bits", narrow("stamp_engine_back_send", _BIAS, 8)),
    _edit("bias_of_31_bits", "a bias has 31 bits", narrow("stamp_engine_back_send", _BIAS, 1)),
    # Shifts and limits.
    _edit("right_shift", "shifts from 32 on lose their highest bit",
          takes("stamp_rescale_lane", "right", "{} & 6'h1f")),
    _edit("largest_shifts", "shifts from 48 on are 47",
          takes("stamp_rescale_lane", "right", "{} > 6'd47 ? 6'd47 : {}")),
    _patch("sink_shift", "a sink's exponent has three bits", "rescale.remaining_shift",
           lambda shift, sink_shift: shift - sink_shift[:3]),
    _edit("raised_without_limit", "what a sink's exponent raises beyond 24 bits wraps",
          inside("stamp_rescale_lane", "= held_clips ?", "= 1'h0 ?")),
    _edit("lowest_coefficient", "coefficients below the range become its lowest value and one",
          inside("stamp_rescale_lane", "{23{~halved[25]}}", "{22{~halved[25]}}, 1'b1")),
    _edit("lowest_result", "results below the range become -32767",
          inside("stamp_engine_back_send_finish", "{15{~sum0[32]}}", "{14{~sum0[32]}}, 1'b1")),
    # The first 4-bit token, super-tiles.
    _patch("column_of_the_first_4_bit_token", "its column lost the highest bit", "engine.front.takes_8_bits",
           _half_a_column),
    _patch("row_of_the_first_4_bit_token", "its row does not matter", "engine.front.takes_8_bits", _no_row, "1x3"),
    _patch("square_super_tiles", "super-tiles are as high as they are wide", "engine.lift.tile_height",
           lambda job: job.tile_width, "1x3"),
    # Jobs in a row.
    _patch("early_next_job", "a job is taken while codes of the one before leave the scale unit",
           "engine.front.is_over", lambda lifted, quantizes, quantized, on_their_way: lifted & quantizes & quantized),
    _patch("next_job_over_a_group", "a job is taken while the scale unit still divides for the one before",
           "engine.front.is_over",
           lambda lifted, quantizes, quantized, on_their_way: lifted & quantizes & ~on_their_way),
    _patch("keep_of_the_next_job", "the last lanes of a job are counted by the job that follows",
           "engine.lift.lanes_kept", lambda jobs: jobs.following.out_keep, "1x3"),
    _edit("mode_of_the_next_job", "a tile takes the scale mode of the job that follows",
          inside("stamp_engine_issue", "tile_held_symmetric,  // symmetric", "jobs_following[17],  // symmetric")),
    _edit("levels_of_the_next_job", "results are lifted back by the levels of the job that follows",
          inside("stamp_engine_back_lift", "= jobs_job[9:7];", "= jobs_following[9:7];")),
    _edit("set_after_a_job", "the array begins each job with the first set of parameters",
          inside("stamp_engine_issue_order", "number <= number + 2'd1;",
                 "number <= held_job_ends ? 2'd0 : number + 2'd1;")),
    _edit("two_sets", "the third and fourth pass take the parameters of the first and second",
          takes("stamp_engine_loader", "number", "{} & 2'h1")),
    _patch("tile_queue_one_short", "a full queue of array tiles forgets one", "engine.drain.tiles_in_array",
           _tiles_one_short),
    _patch("tag_queue_one_short", "a full queue beside the scale unit forgets one", "engine.front.tokens_in_scale",
           _tokens_one_short),
)


_ROWS = ("jobs_in_a_row_equal_the_models", "jobs_under_stalls_equal_the_models")
FAULTS = (
    _fault("enter_a_busy_half", "a super-tile begins while its half is in use", "front.may_enter", _always),
    _fault("precision_by_band", "only whole bands take 8 bits", "front.takes_8_bits", _one_more_at_8_bits),
    _fault("short_tag_queue", "places get lost beside the scale unit", "front.tokens_in_scale", _one),
    _fault("start_early", "an array tile starts before its rows are complete", "order.rows_are_complete", _always),
    _fault("forget_the_output_half", "a pass overwrites results that were not sent", "issue.may_end",
           _forget_the_output_half),
    _fault("forget_the_gap", "last steps follow each other too closely", "issue.may_end", _forget_the_gap),
    _fault("forget_a_half_open_row", "an 8-bit token closes the half open row", "rows.stays_open",
           _forget_a_half_open_row),
    _fault("count_the_odd_partner", "the token that an odd one lacks is sent", "drain.exists", _count_the_odd_partner),
    _fault("count_all_rows", "rows below a ragged tile are sent", "drain.exists", _count_all_rows),
    _fault("a_word_a_step_late", "a word of the activation banks is read with the second step that shares it",
           "issue.opens_word", _a_step_late),
    _fault("one_table", "4-bit tokens take the 8-bit factors in symmetric mode", "words.factor_table", _one_table),
    _fault("swap_tables", "the tables of symmetric mode are swapped", "words.factor_table", _swap_tables),
    _fault("short_tile_queue", "an array tile is forgotten before it drained", "drain.tiles_in_array", _one),
    _fault("keep_all_lanes", "lanes beyond N are marked as results", "send.kept", _always, "6x5"),
    _fault("one_lifting", "the parameters of a pass are forgotten before it was sent", "back.liftings_under_way", _one),
    _fault("never_the_last", "the loader expects another super-tile after a job", "loader.is_last",
           lambda status: status.ends & 0),
    Fault(name="accept_illegal_jobs", block="engine", why="impossible registers are taken", set_name="2x2",
          patch=("rtl_gen.engine.front.legal", _accept_all),
          tests=("an_illegal_job_is_refused_and_the_next_one_is_right",)),
    Fault(name="accept_ragged_blocks", block="engine", set_name="rotated",
          why="tokens that are no whole blocks are taken for the Hadamard unit",
          patch=("rtl_gen.engine.rules.whole_blocks", lambda job, params, unit: []),
          tests=("an_illegal_job_is_refused_and_the_next_one_is_right",)),
    Fault(name="short_sink_queue", block="engine", set_name="two_blocks",
          why="exponents of sinks that are in the Hadamard unit are forgotten", tests=_ROWS,
          patch=("rtl_gen.engine.front.sinks_inside", _one)),
    Fault(name="sinks_of_the_job_before", block="engine", set_name="two_blocks",
          why="in front of a Hadamard unit sinks are counted on from the job before", tests=_ROWS,
          edit=inside("stamp_engine_front", "if (start) sinks_left <= ", "if (1'h0) sinks_left <= ")),
    *REGISTERS,
    *PACKED,
    *OF_BLOCKS,
)
