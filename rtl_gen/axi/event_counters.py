"""Counters of events, one memory for all of them: what the engine's `events` add up to, for software to read.

A counter of 48 bits for each of two dozen events would be a thousand registers. Here an event has a small one that
holds what one round can bring; in its turn that is added to its word of a memory, and one adder serves all.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.lib.bits import chosen

EVENT_WIDTH = 48  # bits of a total: at a product a cycle in each of 1024 PEs and 500 MHz they last for nine minutes


def select_width(layout: data.StructLayout) -> int:
    """Bits of an event's number."""
    return max(len(layout.members) - 1, 1).bit_length()


def carried(count: Value, its_turn: Value) -> Value:
    """What stays of an event's small counter: nothing where the memory takes it."""
    return Mux(its_turn, 0, count)


class EventCounters(wiring.Component):
    """Totals of the fields of `layout`, modulo 2^48.

    Parameters
    ----------
    layout : increments of a cycle, unsigned fields; the first one has number 0

    Members
    -------
    events : In(layout)
    clear : In, all totals begin anew; increments of this cycle are the first to be counted
    select : In, number of an event; one beyond the last has total 0
    total : Out(EVENT_WIDTH), its total, a cycle after `select`
    settled : Out, the totals hold all increments of the cycles before

    Latency: an increment is in its total after a round of 2^`select_width` cycles and three more at the latest.
    """

    def __init__(self, layout: data.StructLayout) -> None:
        self.layout = layout
        super().__init__({"events": In(layout), "clear": In(1), "select": In(select_width(layout)),
                          "total": Out(EVENT_WIDTH), "settled": Out(1)})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        turns = 1 << select_width(self.layout)
        turn = Signal(range(turns))
        m.d.sync += turn.eq(turn + 1)

        # What came since an event's last turn.
        event = Signal(self.layout, name="event")
        m.d.sync += event.eq(self.events)
        waiting = []
        for number, (name, field) in enumerate(self.layout):
            count = Signal(range(turns * ((1 << field.width) - 1) + 1), name=f"waiting_{name}")
            m.d.sync += count.eq(carried(count, turn == number) + event[name])
            with m.If(self.clear):
                m.d.sync += count.eq(0)
            waiting.append(count)

        # A turn: the total is read, and written a cycle later. What a `void` word holds does not count.
        void = Signal(turns, init=-1)
        is_void = Signal(reset_less=True)
        store = m.submodules.totals = memory.Memory(shape=EVENT_WIDTH, depth=turns, init=[])
        write, read, look = store.write_port(), store.read_port(), store.read_port()
        more, late = Signal.like(max(waiting, key=len), name="more"), Signal.like(turn, name="late_turn")
        m.d.sync += [more.eq(Mux(turn < len(waiting), chosen(waiting, turn), 0)), late.eq(turn),
                     void.bit_select(late, 1).eq(0), is_void.eq(chosen(list(void), self.select))]
        with m.If(self.clear):
            m.d.sync += [more.eq(0), void.eq(-1)]
        m.d.comb += [
            read.addr.eq(turn), read.en.eq(1),
            write.addr.eq(late), write.en.eq(1),
            write.data.eq(Mux(chosen(list(void), late), 0, read.data) + more),
            look.addr.eq(self.select), look.en.eq(1),
            self.total.eq(Mux(is_void, 0, look.data)),
            self.settled.eq(~Cat(*waiting, event.as_value(), more).any()),
        ]
        return m
