"""The range of a group holds every coefficient of it: lo ≤ c ≤ lo + span, in both modes, on all lanes and beats; and 0
where the group has an integer zero."""

from __future__ import annotations

from dataclasses import replace

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data

from rtl_gen.scale.divider import info_layout
from rtl_gen.scale.range_tree import RangeTree, is_padding
from stamp_hw.config import HwConfig
from stamp_hw.params import ScaleParams
from tb.faults.scale import _as_they_are, _largest_is_absmax
from tb.formal import Property
from tb.formal.checker import Checker
from tb.run.fault import Fault


class Range(Checker):
    """A coefficient that `follow` picks, any one of any lane, is within the range of its group when that leaves.

    The surroundings: groups come one after the other, each in one mode, its last beat with one channel at least; no
    coefficient of symmetric mode is the most negative number, whose absmax has no room in the register, and no group of
    it has an integer zero.
    """

    def __init__(self, params: ScaleParams) -> None:
        self.params = params
        super().__init__(RangeTree(params), {"lane": range(params.lanes), "follow": 1, "symmetric": 1})

    def check(self, m: Module) -> None:
        params, unit, shape = self.params, self.unit, signed(self.params.width)
        least = -(1 << params.width - 1)
        self.constant(m, "lane")
        self.constant(m, "symmetric")
        inside = Signal()  # a group has begun and not ended
        with m.If(unit.valid):
            m.d.sync += inside.eq(~unit.final)
        self.given(m, (self.lane < params.lanes) & (unit.info.symmetric == self.symmetric))
        self.given(m, ~unit.valid | (unit.first == ~inside) & (unit.info.tail != 0))
        if params.block_beats:
            self.given(m, ~unit.valid | ~self.symmetric | ~unit.info.zeros)
        for value in unit.values:
            self.given(m, ~self.symmetric | (value != least))

        # What is followed goes beside the tree, and `inside` as each level sees it.
        padding = Cat(is_padding(lane, unit.final & unit.info.last, unit.info.tail) for lane in range(params.lanes))
        value = Signal(shape)
        m.d.comb += value.eq(unit.values[self.lane])
        followed: Value = unit.valid & self.follow & ~padding.bit_select(self.lane, 1)
        for level in range(params.tree_levels + 1):
            name = f"level{level}" if level else "input"
            held, there, inner = Signal(shape, name=f"{name}_followed"), Signal(), Signal(name=f"{name}_inside")
            m.d.sync += [held.eq(value), there.eq(followed)]
            value, followed = held, there
            valid, first, final = (self.internal(f"{name}_{flag}") for flag in ("valid", "first", "final"))
            with m.If(valid):
                m.d.sync += inner.eq(~final)
            self.must(m, inside == Mux(valid, ~final, inner))
            info = data.View(info_layout(params), self.internal(f"{name}_info"))
            self.must(m, ~valid | (first == ~inner) & (info.symmetric == self.symmetric))
            self.must(m, ~followed | valid)
            if params.block_beats:
                self.must(m, ~valid | ~self.symmetric | ~info.zeros)
            inside = inner
            kinds = ("low", "high") if level else ("value", "value")
            lows, highs = ([self.internal(f"{name}_{kind}{n}") for n in range(-(-params.lanes >> level))]
                           for kind in kinds)
            for n, (low, high) in enumerate(zip(lows, highs, strict=True)):
                here = followed & ((self.lane >> level) == n)
                self.must(m, ~here | ((low <= value) & (value <= high)))
                self.must(m, ~valid | ~self.symmetric | (low != least))

        run, seen = Signal(shape), Signal()
        run_low, run_valid = self.internal("run_low"), self.internal("run_valid")
        with m.If(followed):
            m.d.sync += [run.eq(value), seen.eq(1)]
        with m.Elif(valid & first):
            m.d.sync += seen.eq(0)
        self.must(m, ~(inside | run_valid) | ~self.symmetric | (run_low != least))
        self.must(m, ~seen | (run_low <= run) & (run <= self.internal("run_high")))
        bound, kept, group = Signal(shape), Signal(), unit.group
        m.d.sync += [bound.eq(run), kept.eq(seen & run_valid)]
        info = data.View(info_layout(params), self.internal("run_info"))
        self.must(m, ~run_valid | (info.symmetric == self.symmetric))
        self.must(m, ~kept | (group.lo <= bound) & (bound - group.lo <= group.span))
        if params.block_beats:
            zeros = unit.group_valid & unit.group.info.zeros
            self.must(m, ~run_valid | ~self.symmetric | ~info.zeros)
            self.must(m, ~zeros | (group.lo <= 0) & (-group.lo <= group.span))
            self.reached(m, kept & zeros & (bound > 0) & (group.lo == 0) & (group.span == bound))
            self.reached(m, kept & zeros & (bound < 0) & (group.lo == bound) & (group.span == -bound))
        self.reached(m, kept & unit.group_valid & self.symmetric & (bound < 0) & (group.lo == bound))
        self.reached(m, kept & unit.group_valid & (bound - group.lo == group.span) & (group.span != 0))


SMALL = ScaleParams(lanes=2, width=5, recip_frac=0, max_beats=2, mul_stages=1)
PROPERTIES = (
    Property(
        name="quantizer_range", block="range_tree", build=Range, params=ScaleParams.of(HwConfig()), small=SMALL,
        depth=1, cover=10, says="lo ≤ c ≤ lo + span for every coefficient of a group, padding apart, in both modes",
        bug=Fault(name="absmax_is_max", block="scale", why="symmetric mode forgets the negative side",
                  patch=("rtl_gen.scale.range_tree.bounds", _largest_is_absmax)), bug_depth=10, seconds=10),
    Property(
        name="quantizer_zero", block="range_tree", build=Range, params=ScaleParams.of(HwConfig(block=64)),
        small=replace(SMALL, block_beats=1), depth=1, cover=10,
        says="with blocks the same, and lo ≤ 0 ≤ lo + span where a group has an integer zero",
        bug=Fault(name="zero_outside", block="scale", why="0 is not in the range of a block on one side of it",
                  patch=("rtl_gen.scale.range_tree.with_zero", _as_they_are)), bug_depth=10, seconds=10),
)
