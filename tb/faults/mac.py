"""Mistakes seeded into the MAC array and its PE."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Mux, Signal, Value

from rtl_gen.mac.array import packed
from rtl_gen.mac.blocks import ENTRY_WIDTH, PAIR_WIDTH, entry, operand
from rtl_gen.mac.pe import CONTROL
from rtl_gen.mac.split import NIBBLE, token_sum
from tb.run.fault import Fault

#: The tests that meet these mistakes; single products and traces would only repeat them.
_TESTS = ("random_tiles_under_stalls", "tiles_follow_each_other_as_fast_as_the_closed_form_says",
          "nothing_is_lost_or_late_at_the_ends_of_back_pressure")
_RESET = ("a_reset_in_the_middle_leaves_nothing_behind",)


def _fault(name: str, why: str, seam: str, function: object) -> Fault:
    return Fault(name=name, block="mac", why=why, patch=(f"rtl_gen.mac.{seam}", function), tests=_TESTS)


def _in_blocks(name: str, why: str, seam: str, function: object) -> Fault:
    return Fault(name=name, block="mac", why=why, patch=(f"rtl_gen.mac.{seam}", function), tests=_TESTS,
                 set_name="blocks")


def _in_split(name: str, why: str, seam: str, function: object, set_name: str = "split_odd") -> Fault:
    return Fault(name=name, block="mac", why=why, patch=(f"rtl_gen.mac.split.{seam}", function), tests=_TESTS,
                 set_name=set_name)


def _eight_bits(act: Value, zero: Value, mode4: Value) -> Value:
    whole = (act - zero)[:8]
    return Mux(mode4, entry(act, zero, Const(1)), Cat(whole, whole[-1].replicate(ENTRY_WIDTH - 8)))


def _borrow_between_nibbles(act: Value, zero: Value, mode4: Value) -> Value:
    whole = act - zero
    pair = Cat(act[:4] - zero[:4], whole[4:])
    return Mux(mode4, pair, entry(act, zero, Const(0)))


def _swapped(codes: Value, mode4: Value) -> Value:
    return operand(Mux(mode4, Cat(codes[PAIR_WIDTH:], codes[:PAIR_WIDTH]), codes), mode4)


def _without_borrow(codes: Value, mode4: Value) -> Value:
    low, high = codes[:PAIR_WIDTH], codes[PAIR_WIDTH:]
    pair = Cat(low, low[-1].replicate(12 - PAIR_WIDTH), high)
    return Mux(mode4, pair.as_signed(), operand(codes, Const(0)))


FAULTS: tuple[Fault, ...] = (
    _fault("drop_the_borrow", "a negative low product leaves the high one one too small", "pe.high_borrow",
           lambda product: Const(0)),
    _fault("keep_the_borrow_of_a0", "a pair's upper part is a1 although a0 is negative", "array.upper_of_pair",
           lambda act: Cat(act[4:], act[7])),
    _fault("swap_the_nibbles", "token 0 of a pair is taken from the upper nibble", "array.packed",
           lambda act, mode4: packed(Mux(mode4, Cat(act[4:], act[:4]), act), mode4)),
    _fault("low_product_without_sign", "the bits of a1·w reach token 0's sum", "pe.low_of_pair",
           lambda product: product[:16].as_signed()),
    _fault("bubbles_end_tiles", "a step that was not offered empties the accumulators", "array.ends_tile",
           lambda accept, last: last),
    _fault("bubbles_are_pairs", "a step that was not offered adds to the sums of second tokens", "array.pairs",
           lambda valid, mode4: mode4),
    _fault("never_restart", "a tile begins with the sums of the one before", "pe.clears",
           lambda last: Const(0)),
    _fault("forget_the_queue", "a last step is taken although the queue may be full", "array.holds_free_in_time",
           lambda params, flying, left, owed, moves, leaves: ~flying & (left <= params.latency + moves)),
    _fault("take_a_step_too_early", "a last step is taken with a beat too many in the hold registers",
           "array.holds_free_in_time",
           lambda params, flying, left, owed, moves, leaves:
               ~flying & (left <= params.latency + 1 + moves) & (owed <= params.queue_beats + 1 + leaves)),
    _fault("take_a_step_too_late", "a last step waits for a beat that could leave meanwhile",
           "array.holds_free_in_time", lambda params, flying, left, owed, moves, leaves:
               ~flying & (left < params.latency + moves) & (owed <= params.queue_beats + leaves)),
    _fault("forget_the_empty_slot", "an 8-bit row sends a second token", "array.slot_is_empty",
           lambda slot, mode4: Const(0)),
    _fault("count_bubbles", "cycles without a step count as steps", "array.counted", lambda accept, count: count),
    _fault("ignore_ready", "the queue drops its first beat whether it was taken or not", "array.leaves",
           lambda valid, ready: valid),
    Fault(name="skip_reset", block="mac", why="steps under way in the array survive a reset", tests=_RESET,
          patch=("rtl_gen.mac.pe.control_register", lambda name: Signal(CONTROL, name=name, reset_less=True))),
    Fault(name="keep_sums_over_reset", block="mac", why="the sums of a tile under way survive a reset", tests=_RESET,
          patch=("rtl_gen.mac.pe.RESET", {"mode4": 0, "valid": 0, "last": 0})),
    _in_blocks("forget_the_zero", "codes enter a row without their zero taken off", "blocks.entry",
               lambda act, zero, mode4: entry(act, Const(0, 8), mode4)),
    _in_blocks("zero_in_eight_bits", "an 8-bit code less its zero loses its ninth bit", "blocks.entry", _eight_bits),
    _in_blocks("borrow_between_nibbles", "token 0's code below its zero takes one from token 1's", "blocks.entry",
               _borrow_between_nibbles),
    _in_blocks("swap_the_codes", "token 0 of a pair is taken from the upper code", "blocks.operand", _swapped),
    _in_blocks("keep_the_borrow_with_zeros", "a pair's upper part is a1 although a0 is negative", "blocks.operand",
               _without_borrow),
    _in_blocks("forget_the_empty_slot_of_a_block", "an 8-bit row sends a second token", "blocks.slot_is_empty",
               lambda slot, mode4: Const(0)),
    _in_blocks("end_blocks_too_closely", "a tile ends while sums of the one before still leave the array",
               "block_stream.certain", lambda params, gap, tiles: tiles != params.tiles_queued),
    _in_blocks("forget_the_queue_of_blocks", "a last step is taken although the queue has no room for its tile",
               "block_stream.certain", lambda params, gap, tiles: gap == 0),
    _in_split("low_nibble_with_sign", "the low nibble of an 8-bit code is negative above 7", "operand",
              lambda act, mode4: Cat(act[:NIBBLE], act[NIBBLE - 1], act[NIBBLE:])),
    _in_split("low_code_without_sign", "token 0's code of a pair is never negative", "operand",
              lambda act, mode4: Cat(act[:NIBBLE], Const(0, 1), act[NIBBLE:])),
    _in_split("forget_the_high_nibble", "an 8-bit token's sum is the one of its codes' low nibbles", "whole",
              lambda low, high: low),
    _in_split("whole_where_a_pair_is", "a pair's first token takes both tokens' sums", "token_sum",
              lambda sum0, sum1, slot, mode4: token_sum(sum0, sum1, slot, Const(0))),
    _in_split("never_restart_split_sums", "a tile begins with the sums of the one before", "clears",
              lambda last: Const(0)),
    _in_split("pair_where_a_code_is", "an 8-bit code's fifth bit counts as its low nibble's sign", "block_operand",
              lambda codes, mode4: codes, "split_blocks"),
)
