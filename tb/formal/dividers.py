"""Several dividers are a faster one: quotients leave in the order of their groups, and none has to refuse a group."""

from __future__ import annotations

from functools import reduce
from operator import add

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data

from rtl_gen.scale.divider import group_layout
from rtl_gen.scale.dividers import Dividers
from stamp_hw.params import ScaleParams
from tb.faults.scale import _every_other
from tb.formal import Property, known
from tb.formal.checker import Checker
from tb.run.fault import Fault


class Order(Checker):
    """Groups are numbered, modulo 2^width, in the place of their lo. The surroundings: a group comes only where fewer
    than `groups_in_flight` have no quotient.

    A group's rank is how far it has come: 0 in the register `range`, 1 in `zeros`, then a rank a quotient bit, and last
    the output register. Of two neighbours the earlier one has the higher rank, or both have the same and the earlier
    one waits for the group before it in its divider. So quotients come in order, one in a cycle.
    """

    def __init__(self, params: ScaleParams) -> None:
        self.params = params
        super().__init__(Dividers(params))

    def check(self, m: Module) -> None:
        params, unit, count = self.params, self.unit, self.params.dividers
        entering, leaving = self.internal("entering"), self.internal("leaving")
        self.must(m, (entering < count) & (leaving < count))
        registers = [self._registers(m, n) for n in range(count)]

        # where the groups are: number `first` + (place of the divider) + count · (those of the divider before it)
        first, there = Signal(params.width), Signal(range(4 * count + 1))
        with m.If(unit.o.valid & unit.o.ready):
            m.d.sync += first.eq(first + 1)
        m.d.comb += there.eq(reduce(add, (valid for each in registers for valid, *_ in each)))
        self.given(m, ~unit.valid | (Value.cast(unit.group.lo) == (first + there)[:params.width]))
        for number, each in enumerate(registers):
            place, end = (Signal(range(2 * count), name=f"{name}{number}") for name in ("place", "end"))
            m.d.comb += [place.eq(Mux(number < leaving, count, 0) + number - leaving),
                         end.eq(Mux(number < entering, count, 0) + number - entering)]
            older = Value.cast(0)
            for valid, lo, _, _ in each:
                self.must(m, ~valid | (lo == (first + place + older)[:params.width]))
                older = older + Mux(valid, count, 0)
            self.must(m, place + older == there + end)

        # how far they are: each register of a divider beside each of the next one
        for number, each in enumerate(registers):
            for valid, lo, rank, waits in each:
                for other_valid, other, below, _ in registers[(number + 1) % count]:
                    follows = valid & other_valid & (other == (lo + 1)[:params.width])
                    self.must(m, ~follows | (rank > below) | (rank == below) & waits)

        # so
        without = reduce(add, (valid for each in registers for valid, *_ in each[1:]))
        taken = [self.internal(f"divider{n}.taken") for n in range(count)]
        self.given(m, ~unit.valid | (without < params.groups_in_flight))
        self.must(m, reduce(add, taken) <= 1)
        for number in range(count):
            name = f"divider{number}"
            self.must(m, ~(unit.valid & (entering == number) & self.internal(f"{name}.range_valid")
                           & ~self.internal(f"{name}.zeros_free")))
        self.must(m, ~unit.o.valid | (Value.cast(unit.o.payload.group.lo) == first))
        self.reached(m, without == params.groups_in_flight)
        self.reached(m, unit.o.valid & unit.o.ready & (first == count + 1))

    def _registers(self, m: Module, number: int) -> list[tuple[Value, Value, Signal, Value]]:
        """(valid, number of the group, rank, whether the next register is taken) of a divider's registers, the oldest
        group first."""
        bits = self.params.recip_width
        name, layout = f"divider{number}", group_layout(self.params)
        left, done = self.internal(f"{name}.divide_left"), self.internal(f"{name}.o__valid")
        valids = [self.internal(f"{name}.{stage}_valid") for stage in ("divide", "zeros", "range")]
        self.must(m, ~valids[0] | (left < bits))
        self.must(m, known.of_divider(self, f"{name}."))
        found = [(done, self.internal(f"{name}.result"), bits + 2, Value.cast(1))]
        found += [(valids[0], self.internal(f"{name}.divide_group"), bits + 1 - left, (left == 0) & done),
                  (valids[1], self.internal(f"{name}.zeros_group"), 1, valids[0]),
                  # a group behind one that has just left `zeros` has waited for that
                  (valids[2], self.internal(f"{name}.range_group"), 0, valids[1] | (valids[0] & (left == bits - 1)))]
        listed = []
        for place, (valid, group, rank, waits) in enumerate(found):
            held, how_far = Value.cast(group)[:layout.size], Signal(range(bits + 3), name=f"rank{number}_{place}")
            m.d.comb += how_far.eq(rank)
            listed.append((valid, Value.cast(data.View(layout, held).lo), how_far, waits))
        return listed


BLOCKS = ScaleParams(lanes=1, width=6, recip_frac=8, max_beats=8, mul_stages=1, block_beats=4)
SMALL = ScaleParams(lanes=1, width=5, recip_frac=0, max_beats=8, mul_stages=1, block_beats=3)
PROPERTIES = (
    Property(
        name="scale_dividers", block="dividers", build=Order, params=BLOCKS, small=SMALL, depth=1, cover=30,
        says="quotients leave in the order of their groups, one is made in a cycle at most, and no divider has to "
             "refuse a group while fewer than three for each have no quotient",
        bug=Fault(name="every_other_divider", block="scale", why="half of the dividers never get a group",
                  patch=("rtl_gen.scale.dividers.go_round", _every_other)), bug_depth=30, seconds=70),
)
