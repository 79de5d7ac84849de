"""The halves of the engine's buffers: none is filled again before what is in it has been used."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data

from rtl_gen.engine.loader import channel_layout
from rtl_gen.engine.order import order_layout
from rtl_gen.haar import forward as haar
from rtl_gen.haar.forward import unit_plan
from rtl_gen.haar.layouts import walk_layout
from tb.faults.engine import _always, _forget_the_output_half
from tb.formal import Property, known
from tb.formal.engine import DEFAULT, SMALL, OfEngine, all_but
from tb.run.fault import Fault, replace


class Claims(OfEngine):
    """The token that opens a super-tile comes in while its half of the activation buffer is free: so it was when the
    gate was opened for it, and nobody else has claimed it since. Given rows in which a free half is one until then."""

    def check(self, m: Module) -> None:
        claim, free, gate = self.internal("front.claim"), self.internal("rows.free"), self.internal("front.gate")
        stage = known.of_slots(self, m, haar, self.params.haar, "front.haar.")
        known.of_front(self, m, self.params)
        idle, wants, tile_ends = (self.internal(f"front.haar.slots.{name}") for name in ("idle", "wants", "tile_ends"))
        stays = Signal(2)
        m.d.sync += stays.eq(free & ~claim)
        self.given(m, ~(stays & ~free).any())
        walk = data.View(walk_layout(self.params.haar), self.internal("front.haar.slots.walk"))
        plan = data.View(unit_plan(self.params.haar), self.internal("front.haar.plan"))
        self.must(m, idle | walk.mask[0] | ~walk.mask.any())
        self.must(m, idle | (tile_ends == (walk.offset == walk.mask)) & (walk.offset <= walk.mask))
        self.must(m, ~(stage.running & plan.opens & (walk.offset == 0) & walk.begins) | (walk.half != plan.takes_half))
        self.must(m, ~(wants & gate & plan.opens) | free.bit_select(plan.takes_half, 1))
        self.must(m, ~(claim & ~free).any() & ~claim.all())
        self.reached(m, claim[0] & ~free[1])


class Weights(OfEngine):
    """Full halves are counted right, and the one that is loaded is never the one that the array reads."""

    def check(self, m: Module) -> None:
        full, loaded, loading, done, writes = (self.internal(f"loader.{name}") for name in (
            "full", "loaded", "loading", "done", "weight_en"))
        loads = data.View(channel_layout(self.params), self.internal("loader.channel")).set
        release, issue, inside = (self.internal(f"issue.{name}") for name in ("release", "issued", "tile_inside"))
        valid, _ = known.of_step(self, m)
        number, found, moves = (self.internal(f"issue.order.{name}") for name in ("number", "valid", "moves"))
        held, tile = (data.View(order_layout(self.params), self.internal(name)) for name in (
            "issue.tile_held", "issue.order.tile"))
        reads = Signal.like(number, name="reads")  # the pass of the tile at hand, else of the next one
        m.d.comb += reads.eq(Mux(valid, held.set, number))
        self.must(m, ~found | (tile.set == number))
        at_hand = held.set + (held.pass_ends & ~moves)
        self.must(m, ~moves | (valid & ~found))
        self.must(m, ~valid | (number == at_hand[:len(number)]))
        self.must(m, loaded == (full != 0))
        self.must(m, (full <= 2) & (loads == (reads + full)[:len(loads)]))
        self.must(m, ~loading | (full < 2))
        self.must(m, ~inside | (full != 0))
        self.must(m, (~release | (full != 0)) & (~done | (full < 2)))
        self.must(m, ~(writes & issue[0]) | (loads[0] != reads[0]))
        self.reached(m, writes & issue[0] & (full == 1) & release)


class Results(OfEngine):
    """A pass begins in a free half of the output buffer."""

    def check(self, m: Module) -> None:
        claim, free = self.internal("issue.out_claim"), self.internal("back.out_free")
        number, opens, found, moves = (self.internal(f"issue.order.{name}") for name in (
            "number", "opens", "valid", "moves"))
        valid, may_go = known.of_step(self, m)
        may_end = self.internal("issue.last_") & may_go
        held, tile = (data.View(order_layout(self.params), self.internal(name)) for name in (
            "issue.tile_held", "issue.order.tile"))
        self.must(m, ~found | (tile.set == number) & (tile.opens == opens) & ~moves)
        at_hand = held.set + (held.pass_ends & ~moves)
        self.must(m, ~moves | valid)
        self.must(m, ~valid | (number == at_hand[:len(number)]) & (moves | (opens == held.pass_ends)))
        self.must(m, ~(valid & held.opens & may_end) | free.bit_select(held.set[0], 1))
        self.must(m, ~(claim & ~free).any() & ~claim.all())
        self.reached(m, claim[1] & ~free[0])


PROPERTIES = (
    Property(
        name="engine_act_halves", block="engine_front", build=Claims, params=DEFAULT, small=SMALL,
        free=all_but("front"), depth=1, cover=15,
        says="no super-tile begins in a half of the activation buffer that is in use",
        bug=Fault(name="enter_a_busy_half", block="engine", why="a super-tile begins while its half is in use",
                  patch=("rtl_gen.engine.front.may_enter", _always)), bug_depth=15, seconds=60),
    Property(
        name="engine_weight_halves", block="engine_loader", build=Weights, params=DEFAULT, small=SMALL,
        free=all_but("loader", "issue"), depth=1, cover=20,
        says="the weight buffer's halves never over- or underflow, and none is written while the array reads it",
        bug=Fault(name="load_a_full_half", block="engine", why="a third pass is loaded while two wait",
                  edit=replace("full != 2'd2", "full != 2'd3")), bug_depth=20, seconds=30),
    Property(
        name="engine_out_halves", block="engine_issue", build=Results, params=DEFAULT, small=SMALL,
        free=all_but("issue", "back"), depth=1, cover=20,
        says="no pass begins in a half of the output buffer that is in use",
        bug=Fault(name="forget_the_output_half", block="engine", why="a pass overwrites results that were not sent",
                  patch=("rtl_gen.engine.issue.may_end", _forget_the_output_half)), bug_depth=20, seconds=30),
)
