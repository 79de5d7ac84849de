"""Mistakes of the engine around its blocks: gates, rows, parameters, the order of work, registers."""

from __future__ import annotations

from amaranth.hdl import Const, Mux, Value
from amaranth.lib import data

from tb.faults import Fault


def _always(*_: object) -> Value:
    return Const(1)


def _accept_all(_job: data.View, _tokens: Value, _params: object) -> Value:
    return Const(1)


def _forget_the_output_half(gap: Value, _tile: Value, _out_free: Value) -> Value:
    return gap == 0


def _forget_the_gap(_gap: Value, tile: Value, out_free: Value) -> Value:
    return (tile != 0) | out_free


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


def _one(_params: object) -> int:
    return 1


def _fault(name: str, why: str, where: str, value: object, set_name: str = "2x2") -> Fault:
    return Fault(name=name, block="engine", why=why, patch=(f"rtl_gen.engine_{where}", value), set_name=set_name,
                 tests=("jobs_in_a_row_equal_the_models", "jobs_under_stalls_equal_the_models"))


FAULTS = (
    _fault("enter_a_busy_half", "a super-tile begins while its half is in use", "front.may_enter", _always),
    _fault("precision_by_band", "only whole bands take 8 bits", "front.takes_8_bits", _one_more_at_8_bits),
    _fault("short_tag_queue", "places get lost beside the scale unit", "front.tokens_in_scale", _one),
    _fault("start_early", "an array tile starts before its rows are complete", "array.rows_are_complete", _always),
    _fault("forget_the_output_half", "a pass overwrites results that were not sent", "array.may_end",
           _forget_the_output_half),
    _fault("forget_the_gap", "last steps follow each other too closely", "array.may_end", _forget_the_gap),
    _fault("forget_a_half_open_row", "an 8-bit token closes the half open row", "rows.stays_open",
           _forget_a_half_open_row),
    _fault("count_the_odd_partner", "the token that an odd one lacks is sent", "drain.exists", _count_the_odd_partner),
    _fault("count_all_rows", "rows below a ragged tile are sent", "drain.exists", _count_all_rows),
    _fault("one_table", "4-bit tokens take the 8-bit factors in symmetric mode", "drain.factor_table", _one_table),
    _fault("swap_tables", "the tables of symmetric mode are swapped", "drain.factor_table", _swap_tables),
    _fault("short_tile_queue", "an array tile is forgotten before it drained", "drain.tiles_in_array", _one),
    _fault("keep_all_lanes", "lanes beyond N are marked as results", "back.kept", _always, "6x5"),
    _fault("one_lifting", "the parameters of a pass are forgotten before it was sent", "back.liftings_under_way", _one),
    _fault("never_the_last", "the loader expects another super-tile after a job", "loader.is_last",
           lambda status: status.ends & 0),
    Fault(name="accept_illegal_jobs", block="engine", why="impossible registers are taken", set_name="2x2",
          patch=("rtl_gen.engine_front.legal", _accept_all),
          tests=("an_illegal_job_is_refused_and_the_next_one_is_right",)),
)
