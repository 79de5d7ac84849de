"""Mistakes seeded into the combine unit and what it counts between its streams."""

from __future__ import annotations

from amaranth.hdl import Const, Mux

from rtl_gen.combine_stream import BANKS
from stamp_hw.params import CombineParams
from tb.run.fault import Fault, replace


def _fault(name: str, why: str, seam: str, function: object, set_name: str | None = None) -> Fault:
    return Fault(name=name, block="combine", why=why, patch=(f"rtl_gen.{seam}", function), set_name=set_name)


def _two_cycles_early(params: CombineParams) -> int:
    return params.cols + params.latency - 3


def _a_cycle_late(params: CombineParams) -> int:
    return params.cols + params.latency


FAULTS: tuple[Fault, ...] = (
    _fault("forget_the_first_block", "a tile's first block is added to what the bank holds of an older tile",
           "combine.added_to", lambda first, total: total),
    _fault("forget_the_other_blocks", "T is the last block's product alone", "combine.added_to",
           lambda first, total: Const(0)),
    _fault("span_without_its_offset", "the part of the product that the span's offset left out is missing",
           "combine.whole_product", lambda product, acc, width: product),
    _fault("offset_to_the_wrong_half", "a span above half of its range is taken as negative", "combine.offset_of",
           lambda span, width: span.as_signed()),
    _fault("read_the_other_bank", "what is read is the bank that is being added to", "combine.of_bank",
           lambda bank, found: Mux(bank, found[0], found[1])),
    _fault("write_both_banks", "a T is written in both banks", "combine.writes",
           lambda place, number: place.valid),
    _fault("write_what_never_came", "a cycle without a sum writes a T", "combine.writes",
           lambda place, number: place.bank == number),
    _fault("begin_in_a_used_bank", "a tile begins in the bank that is being read", "combine_stream.has_bank",
           lambda opens, used: Const(1)),
    _fault("begin_late", "a tile waits until both banks are free", "combine_stream.has_bank",
           lambda opens, used: ~(opens & (used >= BANKS - 1))),
    _fault("read_early", "T are read before the last column has written them", "combine_stream.written_cycles",
           _two_cycles_early),
    _fault("read_late", "T wait a cycle longer than they have to", "combine_stream.written_cycles", _a_cycle_late),
    _fault("ignore_ready", "the next T is read while one waits", "combine_stream.can_move",
           lambda valid, ready: Const(1)),
    _fault("forget_the_turn", "a T is read before the block before has written it", "combine_stream.rest",
           lambda params: 0, set_name="pair"),
    Fault(name="skip_reset", block="combine", why="the count of a block's tokens survives a reset",
          edit=replace("if (rst) token <=", "if (1'h0) token <=")),
    Fault(name="count_offered_tokens", block="combine", why="a token is counted, and summed, in every cycle it waits",
          edit=replace("assign events = i__valid & i__ready;", "assign events = i__valid;")),
)
