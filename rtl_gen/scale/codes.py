"""Codes of groups with an integer zero: what of the back end's arithmetic is theirs alone (docs/contract.md §3.4).

    n(c) = sign(c)·(((|c| << lz) · recip + 2^(F−1)) >> F)        z = n(−lo)        q = z + n(c), at most qmax

So |c| takes the place of c − lo, with its sign beside it. lo ≤ c ≤ lo + span and 0 is in the range: |c| ≤ span fits
where c − lo does. n never falls, so n(c) ≥ −z; and it is beyond its value by half a step at most, so z + n(c) is at
most qmax + 1, which one bit tells.
"""

from __future__ import annotations

from amaranth.hdl import C, Cat, Mux, Value, signed, unsigned
from amaranth.lib import data

from stamp_hw.params import CODE_WIDTH, ScaleParams


def output_layout(params: ScaleParams) -> data.StructLayout:
    """An output beat: `lanes` codes, the group's lo, span and precision, and whether the token ends.

    With blocks the codes are q, 0…qmax; `zero` is z, in a group without an integer zero mid, so that a = q − zero; and
    `group_ends` tells a group's last beat.
    """
    code, more = (unsigned(CODE_WIDTH), {"zero": unsigned(CODE_WIDTH), "group_ends": 1}) if params.block_beats else (
        signed(CODE_WIDTH), {})
    return data.StructLayout({"codes": data.ArrayLayout(code, params.lanes), "lo": signed(params.width),
                              "span": unsigned(params.width), "hi": 1, "last": 1, **more})


def is_below(value: Value, zeros: Value) -> Value:
    """Whether a value lies below the integer zero that its group has."""
    return zeros & value[-1]


def distance(value: Value, lo: Value, zeros: Value) -> Value:
    """c − lo; |c| in a group that has an integer zero."""
    negative = is_below(value, zeros)
    return Mux(negative, 0, value) - Mux(zeros, Mux(negative, value, 0), lo)


def from_zero(steps: Value, below: Value, zero: Value, hi: Value) -> Value:
    """q: `steps` below z or above it, at most qmax (255 or 15). A group without an integer zero has z = 0."""
    total = (zero + (steps ^ below.replicate(CODE_WIDTH)) + below)[:CODE_WIDTH + 1]  # −n is ~n + 1
    beyond = ~below & Mux(hi, total[CODE_WIDTH], total[CODE_WIDTH // 2])
    return Mux(beyond, Cat(C(0b1111, 4), hi.replicate(4)), total[:CODE_WIDTH])
