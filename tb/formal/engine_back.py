"""The queue of inverse liftings in the engine's back: each job of the inverse unit ends with one last token.

Beside the queue goes an account of what is owed: a last token that the walk through the job's slots has still to plan,
one whose slot is at hand, and those in the ranks of the unit's pipeline. A tile's slots run in Morton order, which
grows along both axes, so that the grid's far corner is the last token of all.
"""

from __future__ import annotations

from dataclasses import replace

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data

from rtl_gen.engine.back import liftings_under_way
from rtl_gen.engine.front import State
from rtl_gen.engine.layouts import job_layout
from rtl_gen.engine.rules import tests
from rtl_gen.haar import inverse as haar_inverse
from rtl_gen.haar.inverse import unit_plan
from rtl_gen.haar.layouts import walk_layout
from rtl_gen.haar.slots import split
from tb.formal import Property, known
from tb.formal.engine import DEFAULT, SMALL, OfEngine, all_but
from tb.formal.solver import TOP
from tb.run.fault import Fault


def morton(row: Value, column: Value) -> Value:
    """Bits of row and column in turn, the column's first."""
    bits = max(len(row), len(column))
    return Cat((value[bit] if bit < len(value) else Const(0, 1)) for bit in range(bits) for value in (column, row))


class Liftings(OfEngine):
    """As many liftings are queued as last tokens are owed."""

    def check(self, m: Module) -> None:
        self._jobs(m)
        owed = self._owed(m)
        count, begins = known.queued(self, m, "back.liftings."), self.internal("back.lift.moves")
        self.must(m, count + begins == owed)
        self.must(m, owed <= liftings_under_way(self.params))
        pop = self.internal("back.send.final")
        self.must(m, ~pop | (count != 0))
        self.reached(m, (owed == 2) & pop)

    def _jobs(self, m: Module) -> None:
        """The engine's job is one that it can run, and the super-tile at hand begins inside its tokens."""
        waiting, running, sinks = (self.internal(f"back.lift.{name}") for name in (
            "jobs.waiting", "jobs.running", "sinks"))
        job = data.View(job_layout(self.params), self.internal("back.lift.jobs.job"))
        following = data.View(job_layout(self.params), self.internal("back.lift.jobs.following"))
        registers = data.View(job_layout(self.params), self.internal("front.registers_held"))
        tested, state = tests(registers, self.params), self.internal("front.state")
        self.must(m, (state != State.CHECK) | (self.internal("front.fits") == tested))
        self.must(m, self.internal("front.idle") == (state == State.IDLE))
        self.must(m, ~waiting | tests(following, self.params).all())
        self.must(m, ~running | tests(job, self.params).all())
        self.must(m, ~running | ~sinks | job.n_sink.any())
        changed, moves = Signal(init=1), self.internal("back.lift.moves")
        m.d.sync += changed.eq(moves | self.internal("back.lift.jobs.begins"))
        active = self.internal("back.inverse.slots.first") | self.internal("back.inverse.slots.running")
        self.must(m, ~moves | self.internal("back.inverse.slots.first") & ~changed & running)
        self.must(m, ~(running & changed) | active | ~self.internal("back.lift.known"))
        self.must(m, ~(self.internal("back.lift.accepted") & (moves | changed)))
        axes = [("column", job.width)] + ([("row", job.height)] if self.params.axes == 2 else [])
        for name, size in axes:
            start = self.internal(f"back.lift.{name}_start")
            self.must(m, Mux(running, start < size, start == 0))
            # what is known a cycle behind the registers is right when a job is offered
            tile = job.tile_width if name == "column" else job.tile_height
            left, fits = Signal.like(size, name=f"{name}s_to_go"), Signal(name=f"{name}s_fit")
            m.d.comb += [left.eq(size - start), fits.eq(left <= tile)]
            self.must(m, changed | (self.internal(f"back.lift.{name}s") == Mux(fits, left, tile)))
            self.must(m, changed | (self.internal(f"back.lift.{name}_is_last") == fits))
        column, last = self.internal("back.lift.column"), self.internal("back.lift.last_column")
        self.must(m, changed | (last == (column + 1 == job.columns)))

    def _owed(self, m: Module) -> Value:
        """Last tokens between the acceptance of their job and the unit's output."""
        params = self.params.inverse
        first, running, final = (self.internal(f"back.inverse.slots.{name}") for name in ("first", "running", "final"))
        cycle, beats = self.internal("back.inverse.slots.cycle"), self.internal("back.inverse.slots.beats")
        beyond = self.internal("back.inverse.slots.before_is_last")
        walk = data.View(walk_layout(params), self.internal("back.inverse.slots.walk"))
        plan = data.View(unit_plan(params), self.internal("back.inverse.plan"))
        planned = Signal()
        m.d.comb += planned.eq(self._walk(m, walk, first | running, beyond))
        at_hand = Signal()
        m.d.comb += at_hand.eq(running & plan.emits & plan.corner & (cycle < beats))
        last_cycle = self.internal("back.inverse.slots.last_cycle")
        self.must(m, known.of_slots(self, "back.inverse.slots."))
        self.must(m, known.of_walk(self, m, haar_inverse, params, "back.inverse."))
        self.must(m, ~(first & running) & (running | (cycle == 0)) & (~first | ~planned))
        self.must(m, ~(first | running) | (beats != 0) & (beats - 1 <= last_cycle) & (cycle <= last_cycle))
        self.must(m, ~(first | running) | (last_cycle >= params.min_slot_cycles - 1))
        self.must(m, ~(running & plan.emits & plan.corner) | planned)
        self.must(m, ~(running & final) | planned)
        self.must(m, ~(running & beyond & (walk.offset == walk.mask)) | final)
        ranks = [self.internal("back.inverse.emits_line")[rank] & self.internal("back.inverse.last_line")[rank]
                 & self.internal("back.inverse.corner_line")[rank] for rank in range(params.latency)]
        # What may be at hand `rank` cycles after a last token's last beat was issued: its own slot, quiet now, or one
        # behind it; or the next job, which takes a cycle to come and one to begin. No third job comes in time.
        corner, inside = running & plan.emits & plan.corner, sum(ranks[1:], ranks[0] + Const(0, 1))
        self.must(m, inside <= 1 + (corner & (cycle >= beats)))
        for rank, last in enumerate(ranks, 1):
            following = cycle + 3 <= rank
            self.must(m, ~(last & first) | (rank >= 2))
            self.must(m, ~(last & running & ~planned) | following)
            self.must(m, ~(last & corner) | following | (cycle == beats - 1 + rank))
        return ((first | running) & ~planned) + at_hand + inside

    def _walk(self, m: Module, walk: data.View, active: Value, beyond: Value) -> Value:
        """Whether the walk of an active job has planned the last token."""
        params = self.params.inverse
        last_row, last_column = split(walk.mask, walk, params.axes)
        two_d = walk.two_d if params.axes == 2 else Const(0)
        masks = [(1 << level) - 1 for level in range(params.max_levels + 1)]
        odd = Cat(walk.mask == mask for mask in masks[1::2]).any()
        self.must(m, ~active | Cat(walk.mask == mask for mask in masks).any() & ~(two_d & odd))
        self.must(m, ~active | (walk.offset <= walk.mask))
        places = [(walk.width, walk.column, walk.column_before, last_column)]
        if params.axes == 2:
            places.append((walk.height, walk.row, walk.row_before, last_row))
            self.must(m, ~active | two_d | (walk.height == 1))
        before_ends: Value = Const(1)
        for size, place, before, last in places:
            self.must(m, ~active | (size != 0) & (size <= self.params.max_tokens))
            self.must(m, ~active | ((place & last) == 0) & (before <= self.params.max_tokens))
            self.must(m, ~active | ((before & last) == 0) | (before >= size))
            before_ends = before_ends & (before < size) & (before + last >= size - 1)
        if params.axes == 2:  # behind the last tile the walk stands at the left edge, below the grid
            self.must(m, ~active | (beyond == (walk.row >= walk.height)))
            self.must(m, ~active | (walk.column < walk.width) & (walk.row <= walk.height + last_row))
        else:
            self.must(m, ~active | (beyond == (walk.column >= walk.width)))
            self.must(m, ~active | (walk.column <= walk.width + last_column))
        self.must(m, ~active | (beyond == before_ends))
        # the corner's place in its tile, behind which nothing follows
        corner: Value = (walk.width - 1)[:len(walk.width)] & walk.mask
        if params.axes == 2:
            far_row, far_column = (walk.height - 1)[:len(walk.height)], (walk.width - 1)[:len(walk.width)]
            corner = Mux(two_d, morton(far_row & last_row, far_column & last_column), corner)
        return beyond & (walk.offset >= corner)


UNITS = tuple(f"{TOP}_unit_front_{unit}" for unit in ("haar", "scale"))  # of the front its check of a job is left
CHUNKS = replace(SMALL, cols=2)  # two beats a token behind the array
PROPERTIES = (
    Property(
        name="engine_liftings", block="engine_back", build=Liftings, params=DEFAULT, small=CHUNKS,
        free=(*all_but("front", "back"), *UNITS), depth=1, cover=20,
        says="the queue of inverse liftings never over- or underflows: every job ends with one last token",
        bug=Fault(name="one_lifting", block="engine", why="a lifting is forgotten before its last token was sent",
                  patch=("rtl_gen.engine.back.liftings_under_way", lambda params: 1)), bug_depth=20, seconds=60),
)
