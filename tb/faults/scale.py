"""Mistakes in the scale unit that its regression must catch."""

from __future__ import annotations

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value

from rtl_gen.lib.counter import go_round
from rtl_gen.scale.codes import from_zero
from stamp_hw.params import CODE_WIDTH
from tb.run.fault import Fault, replace, survives_reset, takes

RANDOM = ("random_tokens_are_quantized_as_the_golden_model_does",)
EXTREMES = ("every_extreme_of_the_range_is_exact",)
BLOCKS = ("every_extreme_of_a_block_is_exact",)
FULL = ("a_full_buffer_and_full_queues_stop_the_input_and_lose_nothing",)
RESET = ("a_reset_in_the_middle_leaves_nothing_behind",)


def _floor(doubled: Value) -> Value:
    return doubled[1:]


def _eight(hi: Value, symmetric: Value) -> Value:
    return Mux(symmetric, Cat(C(0b111, 3), hi.replicate(4)), 128)


def _no_padding(_lane: int, _token_end: Value, _tail: Value) -> Value:
    return C(0)


def _largest_is_absmax(low: Value, high: Value, symmetric: Value) -> tuple[Value, Value]:
    return Mux(symmetric, -high, low), high


def _always_moves(_valid: Value, _ready: Value) -> Value:
    return C(1)


def _one_word_less(pointer: Signal, depth: int) -> Value:
    return Mux(pointer == depth - 2, 0, pointer + 1)


def _zeros_above_bit_0(span: Value) -> Value:
    width = len(span)
    count: Value = C(0, range(width))
    for i in range(1, width):
        count = Mux(span[i], C(width - 1 - i, range(width)), count)
    return count


def _whole_range(_symmetric_hi: Value, _symmetric: Value) -> Value:
    return Cat(C(0b1111, 4), _symmetric_hi.replicate(4))


def _no_half_divisor(top: Value, divisor: Value, frac: int) -> Value:
    return Cat(C(0, frac), top)


def _as_they_are(low: Value, high: Value, _zeros: Value) -> tuple[Value, Value]:
    return low, high


def _never(_value: Value, _zeros: Value) -> Value:
    return C(0)


def _from_lo(value: Value, lo: Value, _zeros: Value) -> Value:
    return value - lo


def _one_too_low(steps: Value, below: Value, zero: Value, hi: Value) -> Value:
    return from_zero(Mux(below, steps + 1, steps)[:CODE_WIDTH], below, zero, hi)


def _wraps(steps: Value, below: Value, zero: Value, _hi: Value) -> Value:
    return (zero + Mux(below, -steps, steps))[:CODE_WIDTH]


def _as_of_8_bits(steps: Value, below: Value, zero: Value, _hi: Value) -> Value:
    return from_zero(steps, below, zero, C(1))


def _every_other(m: Module, place: Value, size: int, step: Value) -> Value:
    return go_round(m, place, size // 2, step)


OF_BLOCKS = (
    Fault(name="zero_outside", block="scale", why="0 is not in the range of a block on one side of it",
          set_name="blocks3", tests=BLOCKS, patch=("rtl_gen.scale.range_tree.with_zero", _as_they_are)),
    Fault(name="sign_is_lost", block="scale", why="values below the zero of their block are taken for large ones",
          set_name="blocks3", tests=BLOCKS, patch=("rtl_gen.scale.unit.is_below", _never)),
    Fault(name="steps_from_lo", block="scale", why="a value of a block is counted from lo, not from 0",
          set_name="blocks3", tests=BLOCKS, patch=("rtl_gen.scale.unit.distance", _from_lo)),
    Fault(name="one_too_low", block="scale", why="a code below zero is its steps' ones' complement",
          set_name="blocks3", tests=BLOCKS, patch=("rtl_gen.scale.unit.from_zero", _one_too_low)),
    Fault(name="beyond_qmax", block="scale", why="a code of qmax + 1 wraps round in 8 bits", set_name="blocks3",
          tests=BLOCKS, patch=("rtl_gen.scale.unit.from_zero", _wraps)),
    Fault(name="four_bits_beyond_qmax", block="scale", why="a 4-bit code may be 16", set_name="blocks3", tests=BLOCKS,
          patch=("rtl_gen.scale.unit.from_zero", _as_of_8_bits)),
    Fault(name="padding_is_0", block="scale", why="padded lanes of a block have q = 0, so a = −z", set_name="blocks3",
          tests=BLOCKS, edit=replace("round_padded[1] ? (round_zeros ? steps3 : mid) :", "round_padded[1] ? 8'd0 :")),
    Fault(name="zero_is_mid", block="scale", why="the zero of a block is said to be the middle of its codes",
          set_name="blocks3", tests=BLOCKS, edit=takes("stamp_scale", "code_zero", "mid")),
    Fault(name="group_ends_with_token", block="scale", why="of a token's groups the last one alone is said to end",
          set_name="blocks3", tests=BLOCKS, edit=takes("stamp_scale", "code_group_ends", "{} & round_last")),
    Fault(name="every_other_divider", block="scale", why="half of the dividers never get a group: codes come late",
          set_name="blocks3", tests=RANDOM, patch=("rtl_gen.scale.dividers.go_round", _every_other)),
    Fault(name="out_of_order", block="scale", why="a quotient leaves before those of earlier groups",
          set_name="blocks3", tests=RANDOM, edit=takes("stamp_scale_dividers", "leaving", "{} ^ 2'd1")),
    Fault(name="turn_survives_reset", block="scale", why="a reset leaves the dividers' turn where it is",
          set_name="blocks3", tests=RESET, edit=survives_reset("stamp_scale_dividers", "entering")),
    Fault(name="a_group_too_many", block="scale", why="a divider gets a fourth group while three of its own wait",
          set_name="blocks3", tests=FULL, edit=replace("waiting_next == 4'd12", "waiting_next == 4'd13")),
)
FAULTS = (
    Fault(name="drop_half", block="scale", why="codes are floored, not rounded", set_name="lanes4", tests=RANDOM,
          patch=("rtl_gen.scale.unit.half_up", _floor)),
    Fault(name="mid_of_4_bits", block="scale", why="4-bit codes lose 128 in place of 8", set_name="lanes4",
          tests=RANDOM, patch=("rtl_gen.scale.unit.midpoint", _eight)),
    Fault(name="mask_missing", block="scale", why="padded lanes take part in min and max and leave codes",
          set_name="lanes4", tests=RANDOM, patch=("rtl_gen.scale.range_tree.is_padding", _no_padding)),
    Fault(name="absmax_is_max", block="scale", why="symmetric mode forgets the negative side", set_name="lanes4",
          tests=RANDOM, patch=("rtl_gen.scale.range_tree.bounds", _largest_is_absmax)),
    Fault(name="ignore_ready", block="scale", why="the back end moves while an output beat waits", set_name="lanes4",
          tests=RANDOM, patch=("rtl_gen.scale.unit.can_move", _always_moves)),
    Fault(name="ring_one_short", block="scale", why="ring buffer addresses wrap one word early", set_name="lanes4",
          tests=FULL, patch=("rtl_gen.scale.unit.after", _one_word_less)),
    Fault(name="leading_zeros_miss_one", block="scale", why="a span of 1 is not normalised", set_name="lanes4",
          tests=EXTREMES, patch=("rtl_gen.scale.divider.leading_zeros", _zeros_above_bit_0)),
    Fault(name="symmetric_has_255", block="scale", why="symmetric mode divides by the min-max qmax", set_name="lanes4",
          tests=RANDOM, patch=("rtl_gen.scale.divider.qmax", _whole_range)),
    Fault(name="reciprocal_is_floored", block="scale", why="half of the divisor is not added before the division",
          set_name="lanes4", tests=RANDOM, patch=("rtl_gen.scale.divider.dividend", _no_half_divisor)),
    Fault(name="quotient_bit_late", block="scale", set_name="lane", tests=EXTREMES,
          why="a restoring step needs the remainder above the divisor, which matters where they are equal: small spans",
          edit=replace("} >= {", "} > {")),
    Fault(name="skip_a_reset", block="scale", why="the count of waiting groups survives a reset", set_name="lanes4",
          tests=RESET, edit=survives_reset("stamp_scale", "waiting")),
    Fault(name="buffer_count_wraps", block="scale", why="a full ring buffer still accepts a beat", set_name="lanes4",
          tests=FULL, edit=replace("used == 6'd38", "used == 6'd39")),
    *OF_BLOCKS,
)
