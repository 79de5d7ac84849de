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
_SHORT = "a Haar tile has 32 tokens in 1-D, 8 in 2-D, at most"
_PLACES = "a super-tile has fewer than 128 places, and a half of the buffer fewer still"
REASONS: tuple[Reason, ...] = (
    # What the engine never does.
    _still(r"engine\.error", "internal: a gate let something through, which only a bug can do", line="3", grid="3"),
    _still(r"engine\.internal", "a gate let something through, which only a bug can do", line="0", grid="0"),
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
    _still(r"engine_back_inverse\.ruler_first|engine_front_haar\.ruler_pair", "a pair begins at an even place",
           line="0", grid="0"),
    _copy(r"pe\.operand_o", "a1·2^12 + a0, and a0 has 8 bits", line="8-11", grid="8-11"),
    # One of something.
    _still(_JOBS + r"out_keep", "one rescale lane, which is kept", line="0"),
    _still(r"engine_back_liftings\.(head|entry1)_keep", "one rescale lane, which is kept", line="0"),
    _still(r"engine_back_send\.marks_line", "lane 0 is kept in every beat", line=_ranks(0, 2),
           grid=_ranks(0, 4)),
    _still(r"engine_back_send\.chunk|engine_mac\.chunk_next|engine_back_inverse_slots\.beats",
           "a column tile has one beat", grid="0"),
    _still(r"engine_mac\.row|engine_rows\.(next|open_slot)\d_row|engine_drain_tiles\.(head|entry1)_odd_row"
           r"|engine_issue\.tile_held_odd_row|engine_issue_order\.tile_odd_row", "one row", grid="0"),
    _still(r"engine_scales\.write_at_late", "one row", grid="1"),
    _still(r"engine_drain\.chunk_late", "a column tile has one beat", grid="0-1"),
    _still(r"engine_drain_tiles\.entry1_rows", "one row, and the queue never empties from here", grid="0"),
    _still(r"engine_drain_tiles\.(head|entry1)_odd_row|engine_issue\.tile_held_odd_row|engine_issue_order\.tile_odd_row",
           "rows 0 and 1", line="1"),
    # Registers that are as wide as larger hardware needs.
    _still(_JOBS + r"n_sink", "fewer than 64 sinks beside 64 tokens", grid="6"),
    _still(r"engine_back_lift\.(column|row)_start", "super-tiles begin below 64, their size may be more", grid="6"),
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
    _still(r"engine_drain\.place_line", "a column tile has one beat", grid=_ranks(9, 10, 3)),
    _still(r"engine_back_inverse_slots\.walk_(base|column).*", _PLACES, line="7"),
    _still(r"engine_front_haar_slots\.walk_(base|column).*", _PLACES, line="7"),
    # Numbers that have few values.
    _still(r"engine_back_inverse_slots\.last_cycle", "a column tile has fewer beats than the shortest slot", line="",
           grid=""),
    _copy(r"engine_front_haar_slots\.last_cycle", "14, 15 and 16: the shortest slot has 15 cycles", line="2-3"),
    _still(r"engine_front_haar_slots\.last_cycle", "a token has fewer beats than the shortest slot", grid=""),
    _still(r"engine_(issue\.(tile_held_)?base|issue_order\.(tile_)?base|rows\.(next|open_slot)\d_base)",
           "a tile has 12 words in a bank", grid="0-1"),
    _still(r"engine_rows\.(next|open_slot)0_base", "the lower half of the banks", line="9", grid="9"),
    _still(r"engine_back_inverse\.plan_(read|write)_base", "a line has 2 words", line="0"),
    _still(r"engine_front_haar\.plan_(read|write)_base", "a line has 17 words, and there are six", line="3"),
    _still(r"engine_front_haar\.plan_(read|write)_base", "a line has 12 words, and there are three", grid="0-1,5"),
    _still(r"engine_(back_inverse|front_haar)\.plan_cross_base", "one level of 2-D has one line, from 0 on", grid=""),
    # Signs of numbers that stay smaller.
    _copy(r"engine_back_inverse\.ruler_(first|leaving)|engine_front_haar\.ruler_(emitted|pair)", _SHORT, line="6-8",
          grid="4-6"),
    _copy(r"engine_back_inverse\.ruler_partner", _SHORT, line="7-8", grid="5-6"),
    _copy(r"engine_back_inverse\.ruler_far", _SHORT, grid="6"),
    _copy(r"engine_front_haar\.ruler_partner", _SHORT, grid="4-5"),
    _copy(r"pe\.(acc0|hold0)|engine_mac\.(o__payload_acc|ahead0_0)|engine_drain\.acc_(read|late)", _SPARE,
          line="21-31"),
    _copy(r"pe\.(acc0|hold0)|engine_mac\.o__payload_acc_0|engine_drain\.acc_(read|late)_0", _SPARE, grid="20-23"),
    _copy(r"rescale_lane\.code_sum(_line)?", _SPARE, line="22-31"),
    _copy(r"rescale_lane\.code_sum", _SPARE, grid="21-23"),
    _copy(r"rescale_lane\.code_sum_line", _SPARE, grid="21-23,45-47"),
    _copy(r"rescale_lane\.fine", "the shift is 0 for sinks alone, which are not lifted and so a bit or two smaller",
          line="54", grid="47"),
    _copy(r"rescale_lane\.lo_product", "a product of 17 and 14 bits is narrower than T", line="30-37"),
    _copy(r"rescale_lane\.lo_product(_line)?", "a product of 11 and 13 bits is narrower than T", grid="23-30"),
    _copy(r"engine_back_inverse\.d0(_late)?", "a coefficient has 24 bits", line="24-27"),
    _copy(r"engine_back_inverse\.coef_late_line", "a coefficient has 24 bits", grid="24-27"),
    _copy(r"engine_back_inverse\.(a0|s0|x0|(even|odd|wait_)_read)", f"five {_LIFTED}", line="26-27"),
    _copy(r"engine_back_inverse\.([adsx]\d|d\d_late|kept\d|line\d|(cross_|even|odd|wait_)_read_0)",
          f"one level of 2-D and three of 1-D: {_LIFTED}", grid="26-27"),
    _copy(r"engine_back_inverse\.([ds]\d|d\d_late|kept\d|line\d|(cross_|even|odd)_read_0)",
          "half way through a level of 2-D, or two of 1-D, it is less", grid="25"),
    # The walk over the tiles.
    _still(r"engine_(back_inverse|front_haar)_slots\.walk_(column|row_before)",
           "a tile begins inside the grid, and so does the one before", grid="6"),
    _still(r"engine_(back_inverse|front_haar)_slots\.walk_(base|base_before)", _PLACES, grid="7"),
    _still(r"engine_front_haar_slots\.walk_end_column", "the super-tile at hand and the next one end below 128",
           grid="7"),
)
