"""Range of a group: a pipelined tree of minima and maxima over the lanes, then over the beats, then lo and span."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value, ValueLike, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.lib.delay import late
from rtl_gen.scale.divider import group_layout, info_layout
from stamp_hw.params import ScaleParams


def is_padding(lane: int, token_end: Value, tail: Value) -> Value:
    """Whether a lane lies beyond the token's channels, of which `tail` are in the token's last beat."""
    return token_end & (tail <= lane)


def bounds(low: Value, high: Value, symmetric: Value) -> tuple[Value, Value]:
    """(lo, hi) of the group's scale: the extremes, or ∓absmax, which is −low iff low + high is negative."""
    negative = (low + high)[-1]
    return Mux(symmetric & ~negative, -high, low), Mux(symmetric & negative, -low, high)


def with_zero(low: Value, high: Value, zeros: Value) -> tuple[Value, Value]:
    """The extremes of a group and, where it has an integer zero, of 0."""
    return Mux(zeros & ~low[-1], 0, low).as_signed(), Mux(zeros & high[-1], 0, high).as_signed()


def values_layout(params: ScaleParams) -> data.ArrayLayout:
    """The coefficients of a beat."""
    return data.ArrayLayout(signed(params.width), params.lanes)


def stage(m: Module, name: str, *, enable: ValueLike = 1, **values: Any) -> dict[str, Any]:
    """Registers of one pipeline stage, `<name>_<value>` each; `valid` alone is reset."""
    held = {}
    for key, value in values.items():
        held[key] = late(m, f"{name}_{key}", value, enable=enable, control=key == "valid", src_loc_at=1)
    return held


def pairs(values: list[Signal]) -> list[tuple[Signal, Signal]]:
    """Neighbours; a last value without one is its own."""
    return [(values[i], values[min(i + 1, len(values) - 1)]) for i in range(0, len(values), 2)]


class RangeTree(wiring.Component):
    """lo and span of a group: minimum and maximum over lanes, then over beats, then the bounds of the scale mode.

    Parameters
    ----------
    params : ScaleParams

    Members
    -------
    valid, values, first, final, info : In, a beat of coefficients; it is a group's first, its last; what the group
        takes along
    compare : Out, a beat enters the comparators
    group, group_valid : Out, a group's range, for one cycle

    Latency: `tree_levels` + 3 cycles from a final beat to `group_valid`. Throughput: a beat a cycle. No back-pressure.
    """

    def __init__(self, params: ScaleParams) -> None:
        self.params = params
        super().__init__({
            "valid": In(1), "values": In(values_layout(params)), "first": In(1), "final": In(1),
            "info": In(info_layout(params)), "compare": Out(1), "group": Out(group_layout(params)),
            "group_valid": Out(1),
        })

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        p = self.params

        def register(name: str, value: ValueLike) -> Signal:
            return late(m, name, value, signed(p.width), src_loc_at=1)

        # input: lane 0 takes the place of padding
        token_end = Signal()
        m.d.comb += token_end.eq(self.final & self.info.last)
        lows = [register(f"input_value{lane}",
                         Mux(is_padding(lane, token_end, self.info.tail), self.values[0], self.values[lane]))
                for lane in range(p.lanes)]
        highs = list(lows)
        beat = stage(m, "input", valid=self.valid, first=self.first, final=self.final, info=self.info)
        m.d.comb += self.compare.eq(beat["valid"])

        # tree: a register a level
        for level in range(1, p.tree_levels + 1):
            lows = [register(f"level{level}_low{i}", Mux(a < b, a, b)) for i, (a, b) in enumerate(pairs(lows))]
            highs = [register(f"level{level}_high{i}", Mux(a > b, a, b)) for i, (a, b) in enumerate(pairs(highs))]
            beat = stage(m, f"level{level}", **beat)

        # run: over the beats of the group
        run_low = Signal(signed(p.width), reset_less=True)
        run_high = Signal(signed(p.width), reset_less=True)
        with m.If(beat["valid"] & (beat["first"] | (lows[0] < run_low))):
            m.d.sync += run_low.eq(lows[0])
        with m.If(beat["valid"] & (beat["first"] | (highs[0] > run_high))):
            m.d.sync += run_high.eq(highs[0])
        run = stage(m, "run", valid=beat["valid"] & beat["final"], info=beat["info"])

        # bound
        low, high = with_zero(run_low, run_high, run["info"].zeros) if p.block_beats else (run_low, run_high)
        lo, hi = bounds(low, high, run["info"].symmetric)
        bound_lo, bound_hi = register("bound_lo", lo), register("bound_hi", hi)
        bound = stage(m, "bound", **run)
        m.d.comb += [self.group_valid.eq(bound["valid"]), self.group.lo.eq(bound_lo),
                     self.group.span.eq(bound_hi - bound_lo), self.group.info.eq(bound["info"])]
        return m
