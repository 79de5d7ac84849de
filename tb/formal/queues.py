"""What waits comes out as it went in, in order: the engine's queues and the register slices of its AXI4-Streams."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Const, Module, Mux, Signal, Value

from rtl_gen.axi.stream import Slice
from rtl_gen.lib.queue import Queue
from tb.formal import Property, known
from tb.formal.checker import Checker
from tb.run.fault import Fault, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueParams:
    """A queue of `depth` words of `width` bits."""

    width: int
    depth: int


class _Followed(Checker):
    """One word, any that `pick` names when it comes in, is followed from its place in the queue to the way out."""

    def __init__(self, unit: Any) -> None:
        super().__init__(unit, {"pick": 1})

    def follow(self, m: Module, count: Value, entries: list[Value], push: Value, word: Value, pop: Value) -> Value:
        """Whether the word that leaves now is the one that is followed. `entries`: the oldest word first."""
        following, place = Signal(), Signal(range(len(entries)))
        value, found = Signal(word.shape()), Signal(word.shape())
        m.d.comb += found.eq(entries[0])
        for number, entry in enumerate(entries):
            with m.If(place == number):
                m.d.comb += found.eq(entry)
        leaves = Signal()
        m.d.comb += leaves.eq(following & pop & (place == 0))
        with m.If(push & self.pick & (~following | leaves)):
            m.d.sync += [following.eq(1), place.eq(count - pop), value.eq(word)]
        with m.Elif(following & pop):
            m.d.sync += [following.eq(place != 0), place.eq(place - 1)]
        self.must(m, count <= len(entries))
        self.must(m, ~following | ((place < count) & (found == value)))
        self.must(m, ~leaves | (entries[0] == value))
        return leaves


class QueueOrder(_Followed):
    """`rtl_gen.lib.queue`: nothing is lost, doubled or overtaken as long as its user keeps his promise."""

    def __init__(self, params: QueueParams) -> None:
        self.params = params
        super().__init__(Queue(params.width, params.depth))

    def check(self, m: Module) -> None:
        unit, count = self.unit, known.queued(self, m)
        self.given(m, ~unit.broken)
        entries: list[Value] = [self.internal(f"entry{number}") for number in range(self.params.depth)]
        self.must(m, unit.valid == (count != 0))
        self.must(m, unit.broken == (Mux(unit.pop, count == 0, unit.push & (count == self.params.depth))))
        leaves = self.follow(m, count, entries, unit.push, unit.value, unit.pop)
        self.reached(m, leaves & unit.push & (count == self.params.depth))


class SliceOrder(_Followed):
    """`rtl_gen.axi.stream.Slice`: two beats at most, in order, and the one on offer stays."""

    def __init__(self, params: QueueParams) -> None:
        self.params = params
        super().__init__(Slice(params.width))

    def check(self, m: Module) -> None:
        i, o = self.unit.i, self.unit.o
        spare = self.internal("spare_valid")
        self.must(m, self.stalls(m, o, "o"))
        self.must(m, ~spare | o.valid)
        count = Signal(2)
        m.d.comb += count.eq(o.valid + spare)
        leaves = self.follow(m, count, [o.payload, self.internal("spare")], i.valid & i.ready,
                             i.payload, o.valid & o.ready)
        self.reached(m, leaves & spare)


PROPERTIES = (
    Property(
        name="queue_order", block="queue", build=QueueOrder, params=QueueParams(width=8, depth=8),
        small=QueueParams(width=8, depth=4), depth=1, cover=12,
        says="every word leaves once, in order, unless the queue says that it is broken",
        bug=Fault(name="forget_the_pop", block="engine", why="a word that comes as one leaves a full queue is dropped",
                  edit=replace("(pop | |fill[3:0]) entry3", "(|fill[3:0]) entry3")), bug_depth=12, seconds=3),
    Property(
        name="slice_order", block="axi_stream", build=SliceOrder, params=QueueParams(width=32, depth=2), depth=1,
        cover=8, says="every beat of an AXI4-Stream leaves its slice once, in order, and stays until it is taken",
        bug=Fault(name="overwrite_a_waiting_beat", block="axi", why="a register slice loads while its beat waits",
                  patch=("rtl_gen.axi.stream.can_move", lambda valid, ready: Const(1))), bug_depth=8, seconds=3),
)
