"""Bits of registers that no stimulus can reach, each for a reason that was reviewed."""

from __future__ import annotations

from tb.census.registers import COPY, STILL
from tb.census.report import Reason


def _reason(lacks: str, name: str, why: str, line: str | None, grid: str | None) -> Reason:
    bits = {"2x2": line, "1x3": grid}
    return Reason(lacks=lacks, name=f"stamp_(?:{name})", why=why,
                  bits={key: which for key, which in bits.items() if which is not None})


def _still(name: str, why: str, *, line: str | None = None, grid: str | None = None) -> Reason:
    """`line` are the bits in set 2x2, which is 1-D, `grid` those in set 1x3."""
    return _reason(STILL, name, why, line, grid)


def _copy(name: str, why: str, *, line: str | None = None, grid: str | None = None) -> Reason:
    return _reason(COPY, name, why, line, grid)


def _ranks(bit: int, width: int, count: int = 8) -> str:
    """That bit of the first `count` words, `width` bits each, of a shift register. In deeper ones it may move before
    the first job, by what the register held without a reset."""
    return ",".join(str(bit + width * rank) for rank in range(count))


_LIFTED = "levels of lifting back add less than this to coefficients of 24 bits"
_SPARE = "acc_width is more than max_k products need"
_JOBS = r"engine_(issue|back_lift|loader)_jobs\.(job|following(_held)?)_"
_PLACES = "a super-tile has fewer than 128 places, and a half of the buffer fewer still"
REASONS: tuple[Reason, ...] = (
    # What the engine never does.
    _still(r"engine\.error", "internal: a gate let something through, which only a bug can do", line="3", grid="3"),
    _still(r"engine\.internal", "a gate let something through, which only a bug can do", line="0-3", grid="0-3"),
    _still(r"engine_mac\.queue\d_.*", "nothing stops the array's output here; its own bench does", line="", grid=""),
    _still(r"engine_mac\.queued", "nothing stops the array's output here; its own bench does", line="1-2", grid="1-2"),
    _still(r"engine_mac\.fill", "nothing stops the array's output here; its own bench does", line="2-4", grid="2-5"),
    _still(r"engine_front_scale\.product\d_padded", "a token has a channel: lane 0 is never padding", line="0",
           grid="0"),
    _still(r"engine_drain_rescale\.last_line", "the drain has marks of its own and gives none", line="", grid=""),
    _still(r"engine_mac\.owed", "two beats of a tile, and nothing stops the array's output", grid="2"),
    _still(r"engine_front_scale_divider\..*info_last", "a token is one group, so every group is its last", line="",
           grid=""),
    _still(r"engine_drain\.factors?0_(read_)?mant0", "lane 0 has a channel, and its mant is 2^15 or more", grid="15"),
    _still(r"engine_front\.fits", "24 channels fill their 12 beats of 2 lanes, and `tail` has a test of its own",
           grid="4"),
    _still(r"engine_front_scale\.full", "the lifting unit sends more slowly than the ring empties; its own bench does",
           line="0", grid="0"),
    _still(r"engine_back_inverse\.ruler_first_offset|engine_front_haar\.ruler_pair_offset",
           "a pair begins at an even place", line="0", grid="0"),
    _copy(r"pe\.operand_o", "a1·2^12 + a0, and a0 has 8 bits", line="8-11", grid="8-11"),
    # One of something.
    _still(_JOBS + r"out_keep", "one rescale lane, which is kept", line="0"),
    _still(r"engine_back_liftings\.(head|entry1)_keep", "one rescale lane, which is kept", line="0"),
    _still(r"engine_back_send\.marks_line", "lane 0 is kept in every beat", line=_ranks(0, 2),
           grid=_ranks(0, 4)),
    _still(r"engine_back_send\.(first|next_chunk)|engine_mac\.chunk_next|engine_back_inverse_slots\.single",
           "a column tile has one beat", grid="0"),
    _still(r"engine_back_inverse_slots\.beats_before_last", "a column tile has one beat", grid="0-1"),
    _still(r"engine_mac\.row|engine_rows\.(next|open_slot)\d_row|engine_drain_tiles\.(head|entry1)_odd_row"
           r"|engine_drain\.tile_late_odd_row|engine_issue\.tile_held_odd_row|engine_issue_order\.tile_odd_row",
           "one row", grid="0"),
    _still(r"engine_mac\.multiplied[48]", "a row of two PEs multiplies at once", line="0"),
    _copy(r"engine_mac\.multiplied[48]", "three PEs or none multiply at once", grid="1"),
    _still(r"engine_scales\.write_at_late", "one row", grid="1"),
    _still(r"engine_drain\.chunk_late", "a column tile has one beat", grid="0-2"),
    _still(r"engine_drain_tiles\.(head|entry1)_odd_row|engine_drain\.tile_late_odd_row|engine_issue\.tile_held_odd_row"
           r"|engine_issue_order\.tile_odd_row", "rows 0 and 1", line="1"),
    # Registers that are as wide as larger hardware needs.
    _still(_JOBS + r"n_sink", "fewer than 64 sinks beside 64 tokens", grid="6"),
    _still(r"engine_front\.tokens", "90 tokens and 89 sinks are 179 at most", line="8-16"),
    _still(r"engine_front\.tokens", "64 times 64 are 13 bits", grid="13-16"),
    _copy(r"engine_front_scale\.tokens_left", "90 tokens and 89 sinks are 179 at most", line="9-17"),
    _copy(r"engine_front_scale\.tokens_left", "64 tokens and 63 sinks are 127 at most", grid="8-17"),
    _still(r"engine_front_scale\.used", "two tokens of 12 beats are in the ring", grid="5"),
    _still(r"engine_(back_inverse|front_haar)\.plan_place", _PLACES, line="7", grid="7"),
    _still(r"engine_front_haar\.place_line", _PLACES, line=_ranks(7, 8), grid=_ranks(7, 8)),
    _still(r"engine_front_tags\..*_place|engine_scales\.(half\d_read|word_late)_place", _PLACES, line="7", grid="7"),
    _still(r"engine_drain\.place_line", _PLACES, line=_ranks(8, 10, 3), grid=_ranks(8, 10, 3)),
    _still(r"engine_drain\.token_late_place", _PLACES, line="7", grid="7"),
    _still(r"engine_scales\.word[01]", f"the place of a token: {_PLACES}", line="46", grid="34"),
    _still(r"engine_rows\.late_place", _PLACES, grid="7"),
    _still(r"engine_drain\.place_line", "a column tile has one beat", grid=_ranks(9, 10, 3)),
    _still(r"engine_back_inverse_slots\.(walk_(base|column).*|next_column)", _PLACES, line="7"),
    _still(r"engine_front_haar_slots\.walk_(base|column).*", _PLACES, line="7"),
    # Numbers that have few values.
    _still(r"engine_back_inverse_slots\.cycle_before_last", "a column tile has fewer beats than the shortest slot",
           line="0-1", grid="0-1"),
    _copy(r"engine_front_haar_slots\.cycle_before_last", "13, 14 and 15: the shortest slot has 15 cycles", line="3"),
    _still(r"engine_front_haar_slots\.cycle_before_last", "a token has fewer beats than the shortest slot", grid="0-4"),
    _still(r"engine_(issue\.(tile_held_)?base|issue_order\.(tile_)?base|rows\.(next|open_slot)\d_base)",
           "a tile has 12 words in a bank", grid="0-1"),
    _still(r"engine_rows\.(next|open_slot)0_base", "the lower half of the banks", line="9", grid="9"),
    _still(r"engine_back_inverse\.plan_(read|write)_base", "a line has 2 words", line="0"),
    _still(r"engine_front_haar\.plan_(read|write)_base", "a line has 17 words, and there are six", line="3"),
    _still(r"engine_front_haar\.plan_(read|write)_base", "a line has 12 words, and there are three", grid="0-1,5"),
    _still(r"engine_(back_inverse|front_haar)\.plan_cross_base", "one level of 2-D has one line, from 0 on", grid=""),
    # Signs of numbers that stay smaller.
    _copy(r"pe\.(acc0|hold0)|engine_mac\.(o__payload_acc|ahead0_0)", _SPARE, line="21-31"),
    _copy(r"engine_drain\.acc_line", _SPARE, line="21-31,53-63,85-95", grid="20-23"),
    _copy(r"pe\.(acc0|hold0)|engine_mac\.o__payload_acc_0", _SPARE, grid="20-23"),
    _copy(r"rescale_lane\.code_sum(_line)?", _SPARE, line="22-31"),
    _copy(r"rescale_lane\.code_sum", _SPARE, grid="21-23"),
    _copy(r"rescale_lane\.code_sum_line", _SPARE, grid="21-23,45-47"),
    _copy(r"rescale_lane\.fine", "the shift is 0 for sinks alone, which are not lifted and so a bit or two smaller",
          line="54", grid="47"),
    _still(r"rescale_lane\.product_part0", "a product of two numbers without a sign has none", grid="33"),
    _copy(r"rescale_lane\.product_part1", "one factor has no sign, so that the product is a bit narrower", grid="30"),
    _copy(r"rescale_lane\.span_product_part1", "the sum over the codes has few bits beyond the lower part's",
          grid="14-17"),
    _copy(r"rescale_lane\.raised", "e is 15 at most and a shift 1 at least, so that none to the left is of 15",
          line="38", grid="38"),
    _copy(r"rescale_lane\.lo_product", "a product of 17 and 14 bits is narrower than T", line="30-37"),
    _copy(r"rescale_lane\.lo_product(_part0|_line)?", "a product of 11 and 13 bits is narrower than T", grid="23-30"),
    _copy(r"engine_back_inverse\.d0(_late)?", "a coefficient has 24 bits", line="24-27"),
    _copy(r"engine_back_inverse\.coef_late_line", "a coefficient has 24 bits", grid="24-27"),
    _copy(r"engine_back_inverse\.(a0|s0|x0|spare_x|(even|odd|wait_)_read)", f"five {_LIFTED}", line="26-27"),
    _copy(r"engine_back_inverse\.([adsx]\d|spare_x_0|d\d_late|kept\d|line\d|(cross_|even|odd|wait_)_read_0)",
          f"one level of 2-D and three of 1-D: {_LIFTED}", grid="26-27"),
    _copy(r"engine_back_inverse\.([ds]\d|d\d_late|kept\d|line\d|(cross_|even|odd)_read_0)",
          "half way through a level of 2-D, or two of 1-D, it is less", grid="25"),
    # The walk over the tiles.
    _still(r"engine_front_haar_slots\.walk_(column|column_before)",
           "a tile begins inside the grid, and so does the one before", grid="6"),
    _still(r"engine_(back_inverse|front_haar)_slots\.walk_(base|base_before)", _PLACES, grid="7"),
    _copy(r"engine_(back_inverse|front_haar)_slots\.(columns|rows|across|down)_ahead",
          "fewer than 64 tokens are left behind a tile", grid="7"),
)
