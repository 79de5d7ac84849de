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
        stage = known.of_slots(self, m, haar_inverse, self.params.inverse, "back.inverse.")
        self._jobs(m, stage.first)
        owed = self._owed(m, stage)
        count, begins = known.queued(self, m, "back.liftings."), self.internal("back.lift.moves")
        self.must(m, count + begins == owed)
        self.must(m, owed <= liftings_under_way(self.params))
        pop = self.internal("back.send.final")
        self.must(m, ~pop | (count != 0))
        self.reached(m, (owed == 2) & pop)

    def _jobs(self, m: Module, first: Value) -> None:
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
        self.must(m, ~moves | first & ~changed & running)
        ends, last_column = (self.internal(f"back.lift.{name}") for name in ("super_tile_ends", "last_column"))
        self.must(m, ends == (moves & ~sinks & last_column))
        self.must(m, ~self.internal("back.lift.offered") | running & ~changed & ~moves)
        axes = [("column", job.width)] + ([("row", job.height)] if self.params.axes == 2 else [])
        for name, size in axes:
            left, fits = self.internal(f"back.lift.{name}s_left"), Signal(name=f"{name}s_fit")
            self.must(m, ~running | (left != 0) & (left <= size))
            # what is known a cycle behind the registers is right when a job is offered
            tile = job.tile_width if name == "column" else job.tile_height
            m.d.comb += fits.eq(left <= tile)
            self.must(m, changed | (self.internal(f"back.lift.{name}s") == Mux(fits, left, tile)))
            self.must(m, changed | (self.internal(f"back.lift.{name}_is_last") == fits))

    def _owed(self, m: Module, stage: known.Stage) -> Value:
        """Last tokens between the acceptance of their job and the unit's output."""
        params = self.params.inverse
        first, running, beats = stage.first, stage.running, stage.beats
        final, cycle = (self.internal(f"back.inverse.slots.{name}") for name in ("slot_is_final", "cycle"))
        walk = data.View(walk_layout(params), self.internal("back.inverse.slots.walk"))
        plan = data.View(unit_plan(params), self.internal("back.inverse.plan"))
        planned = Signal()
        m.d.comb += planned.eq(self._walk(m, walk, first | running))
        at_hand = Signal()
        m.d.comb += at_hand.eq(running & plan.emits & plan.corner & (cycle < beats))
        self.must(m, known.of_walk(self, m, haar_inverse, params, "back.inverse."))
        self.must(m, known.of_tile(self, params, "back.inverse."))
        self.must(m, ~first | ~planned)
        self.must(m, ~(running & plan.emits & plan.corner) | planned)
        self.must(m, ~(running & final) | planned)
        self.must(m, ~(running & walk.is_last_before & (walk.offset == walk.mask)) | final)
        ranks = [self.internal("back.inverse.emits_line")[rank] & self.internal("back.inverse.last_line")[rank]
                 & self.internal("back.inverse.corner_line")[rank] for rank in range(params.latency)]
        held, waits = self.internal("back.inverse.spare"), self.internal("back.inverse.waits")
        spare = data.View(haar_inverse.output_layout(params), held)
        self.must(m, self.internal("back.inverse.moves_") == ~waits)
        ranks.append(waits & spare.last & spare.final)  # in the spare register
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

    def _walk(self, m: Module, walk: data.View, active: Value) -> Value:
        """Whether the walk of an active job has planned the last token."""
        params = self.params.inverse
        two_d = walk.two_d if params.axes == 2 else Const(0)
        last_row, last_column = split(walk.mask, two_d, params.axes)
        masks = [(1 << level) - 1 for level in range(params.max_levels + 1)]
        odd = Cat(walk.mask == mask for mask in masks[1::2]).any()
        self.must(m, ~active | Cat(walk.mask == mask for mask in masks).any() & ~(two_d & odd))
        self.must(m, ~active | (walk.offset <= walk.mask))
        # behind the last tile, which has a token, the walk stands outside of the grid
        beyond = walk.is_last_before
        self.must(m, ~active | (beyond == walk.empty) & ~(beyond & walk.empty_before))
        corner: Value = walk.edge_column_before  # its place in its tile, behind which nothing follows
        self.must(m, ~(active & beyond) | (corner <= last_column))
        axes = [("columns", last_column)]
        if params.axes == 2:
            axes.append(("rows", last_row))
            self.must(m, ~(active & beyond) | (walk.edge_row_before <= last_row))
            corner = Mux(two_d, morton(walk.edge_row_before, walk.edge_column_before)[:len(walk.mask)], corner)
        for name, last in axes:
            ahead = self.internal(f"back.inverse.slots.{name}_ahead").as_signed()
            self.must(m, ~active | (ahead + last < self.params.max_tokens) & (ahead >= -2 * (last + 1)))
        if params.axes == 2:
            whole = self.internal("back.inverse.slots.columns_ahead_whole")
            self.must(m, ~active | (whole != 0) & (whole <= self.params.max_tokens))
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
