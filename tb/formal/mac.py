"""The MAC array's output queue, its credit, and what leaves it: no beat is lost, none is overwritten."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value

from rtl_gen.mac.array import Mac
from stamp_hw.config import HwConfig
from stamp_hw.params import MacParams
from tb.formal import BOUND, Property, known
from tb.formal.checker import Checker
from tb.run.fault import Fault, replace


def _within(left: Signal, flight: Signal, params: MacParams) -> Value:
    """Beats left in the hold registers can leave before the sums on their way reach PE(0, 0)."""
    reach = params.flight_cycles - params.latency + 1  # `flight` when those sums are in its hold register
    return (left == 0) | ((flight > reach) & (left <= flight - reach))


class Queue(Checker):
    """The counters of drain and queue agree with each other; beats move only where there is room."""

    def __init__(self, params: MacParams) -> None:
        self.params = params
        super().__init__(Mac(params))

    def check(self, m: Module) -> None:
        params, unit = self.params, self.unit
        flight, left, queued, move, pop = (self.internal(name) for name in ("flight", "left", "queued", "move", "pop"))
        row = self.internal("row")
        gone_of_row, said = known.place_in_row(self, params)
        self.must(m, known.of_array(self, params))
        self.must(m, self.stalls(m, unit.o, "o"))
        self.must(m, queued <= params.queue_beats)
        self.must(m, ~move | (queued < params.queue_beats))
        self.must(m, ~pop | (queued != 0))
        self.must(m, (flight <= params.flight_cycles) & (left <= params.drain_beats))
        self.must(m, (flight == 0) | _within(left, flight, params))
        self.must(m, (flight == 0) | (left + queued <= params.queue_beats))
        # where the drain stands: the beats that left, row by row, in each slot by slot
        gone = Signal(range(2 * params.drain_beats + 2))
        m.d.comb += gone.eq(row * (2 * params.cols // params.lanes) + gone_of_row)
        self.must(m, Mux(left == 0, gone == 0, gone + left == params.drain_beats))
        self.must(m, said)
        self.reached(m, (queued == params.queue_beats) & (left != 0))
        self.reached(m, (left == 1) & (flight != 0))


class Arrivals(Queue):
    """Sums that reach a hold register find it empty, and no shift in the same cycle."""

    def check(self, m: Module) -> None:
        params = self.params
        super().check(m)
        flight, left, move = self.internal("flight"), self.internal("left"), self.internal("move")
        # `ended[n]`: a last step was accepted n + 1 cycles ago; the sums of PE(r, c) are finished mul_stages + r + c
        # cycles after the one in which its operand register took the step
        ended = Signal(params.flight_cycles)
        m.d.sync += ended.eq(Cat(self.internal("last_accepted"), ended))
        self.must(m, Cat((flight == params.flight_cycles - n) for n in range(params.flight_cycles)) == ended)
        shift: Value = self.internal("row_ends") & ~self.internal("tile_ends")
        for r in range(params.rows):
            shift = self.internal(f"shift_r{r}") if r else shift
            for c in range(params.cols):
                finished = ended[params.mul_stages + r + c]
                self.must(m, ~finished | (left == 0) | ((left == 1) & move))
                if r + 1 < params.rows:
                    self.must(m, ~(finished & shift))
        self.reached(m, ended[params.mul_stages] & (left == 1))


class Tiles(Checker):
    """With every operand 1, each beat of a tile is the number of its steps: one tile, any of the first four, is
    followed from its steps to its beats.
    """

    def __init__(self, params: MacParams) -> None:
        self.params = params
        super().__init__(Mac(params), {"pick": 2})

    def connect(self, m: Module) -> None:
        i, o, step = self.unit.i, self.unit.o, self.i.payload
        m.d.comb += [i.valid.eq(self.i.valid), self.i.ready.eq(i.ready), i.payload.last.eq(step.last),
                     i.payload.mode4.eq(step.mode4), o.ready.eq(self.o.ready)]
        m.d.comb += [i.payload.act[r].eq(Mux(step.mode4[r], 0x11, 0x01)) for r in range(self.params.rows)]
        m.d.comb += [i.payload.wgt[c].eq(1) for c in range(self.params.cols)]

    def check(self, m: Module) -> None:
        params, i, o = self.params, self.unit.i, self.unit.o
        coming, leaving = Signal(4), Signal(4)  # number of the tile whose steps come in, whose beats go out
        steps = Signal(4)
        gone = Signal(range(params.drain_beats))
        modes = Signal(params.rows)
        step, beat, last = Signal(), Signal(), Signal()
        self.constant(m, "pick")
        self.given(m, (coming != self.pick) | (steps == 0) | (i.payload.mode4.as_value() == modes))
        m.d.comb += [step.eq(i.valid & i.ready), beat.eq(o.valid & o.ready), last.eq(gone == params.drain_beats - 1)]
        with m.If(step & (coming == self.pick)):
            m.d.sync += [steps.eq(steps + 1), modes.eq(i.payload.mode4)]
        m.d.sync += [coming.eq(coming + (step & i.payload.last)), leaving.eq(leaving + (beat & last))]
        with m.If(beat):
            m.d.sync += gone.eq(Mux(last, 0, gone + 1))
        row, slot = Signal(range(max(2, params.rows))), Signal()
        m.d.comb += Cat(slot, row).eq(gone // (params.cols // params.lanes))
        empty = slot & ~(modes >> row)[0]
        self.must(m, ~o.valid | (leaving < coming))
        self.must(m, ~o.valid | ((o.payload.row == row) & (o.payload.slot == slot) & (o.payload.last == last)))
        followed = o.valid & (leaving == self.pick)
        self.must(m, ~followed | (o.payload.empty == empty))
        for lane in range(params.lanes):
            self.must(m, ~followed | (o.payload.acc[lane] == Mux(empty, 0, steps)))
        self.reached(m, followed & last & (self.pick == 1) & (steps == 2) & (coming == 3))


TWO = MacParams(rows=2, cols=2, lanes=2, acc_width=17, max_k=2, mul_stages=1)
LINE = MacParams(rows=2, cols=1, lanes=1, acc_width=19, max_k=8, mul_stages=1)
DEFAULT = MacParams.of(HwConfig())
PROPERTIES = (
    Property(
        name="mac_queue", block="mac", build=Queue, params=DEFAULT, small=TWO, free=("stamp_pe",), depth=2, cover=20,
        says="the output queue never over- or underflows, holds its first beat, and the drain's counters agree",
        bug=Fault(name="queue_count_wraps", block="mac", why="a full queue still accepts a beat",
                  edit=replace("drains_next & ~fill_next[4]", "drains_next & 1'h1")), bug_depth=20, seconds=10),
    Property(
        name="mac_arrivals", block="mac", build=Arrivals, params=DEFAULT, small=TWO, free=("stamp_pe",), depth=2,
        cover=20, says="sums that reach a hold register find it empty and not shifting, under any back-pressure",
        bug=Fault(name="forget_the_queue", block="mac", why="a last step is taken although the queue may be full",
                  patch=("rtl_gen.mac.array.holds_free_in_time",
                         lambda params, flying, left, owed, moves, leaves: ~flying & (left <= params.latency + moves))),
        bug_depth=20, seconds=10),
    Property(
        name="mac_tiles", block="mac", build=Tiles, params=LINE, mode=BOUND, depth=18, cover=25,
        says="tiles leave whole and in order: with operands of 1 every beat is its tile's number of steps",
        bug=Fault(name="take_a_step_too_early", block="mac", why="a last step is taken with a beat too many",
                  patch=("rtl_gen.mac.array.holds_free_in_time", lambda params, flying, left, owed, moves, leaves:
                         ~flying & (left <= params.latency + 1 + moves) & (owed <= params.queue_beats + 1 + leaves))),
        bug_depth=25, seconds=60),
)
