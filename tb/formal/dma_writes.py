"""The write channels of `stamp_npu`, whatever engine, software and memory do: bursts as AXI4 wants them, and as many
words as their addresses announced."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data

from rtl_gen.dma.layouts import burst_layout
from rtl_gen.dma.write_port import word_layout
from rtl_gen.lib.bits import up_to
from stamp_hw.dma.params import DmaParams
from tb.formal import Property
from tb.formal.dma_bus import SMALL, DmaEdge, all_but
from tb.formal.solver import TOP
from tb.run.fault import Fault, takes


class Queue:
    """A queue of the write port (`rtl_gen.dma.fifo`) seen from outside: an entry's *offset* counts from its oldest."""

    def __init__(self, m: Module, checker: DmaEdge, name: str, shape: data.StructLayout) -> None:
        self.depth = checker.params.fifo_words
        self._m, self._name = m, name
        self.end, self.begin = (checker.internal(f"axi.write_port.{name}.{end}") for end in ("end", "begin"))
        self.valid, payload = (checker.internal(f"axi.write_port.{name}.{part}") for part in ("o__valid", "o__payload"))
        self.count = self.offset(self.end, "count")
        store = f"axi.write_port.{name}.store"
        self.entries = [data.View(shape, checker.look(m, store, slot)) for slot in range(self.depth)]
        self.places = [self.offset(Cat(Const(slot, len(self.begin) - 1), self.begin[-1] ^ (slot < self.begin[:-1])),
                                   f"place{slot}") for slot in range(self.depth)]
        checker.must(m, self.count <= self.depth)
        # What is offered is the oldest entry, and stays there.
        checker.must(m, ~self.valid | (self.count != 0))
        for place, entry in zip(self.places, self.entries, strict=True):
            checker.must(m, ~self.valid | (place != 0) | (entry.as_value() == Value.cast(payload)))

    def offset(self, index: Value, name: str) -> Signal:
        """Entries from the oldest one to the one with this index."""
        found = Signal(len(self.begin), name=f"{self._name}_{name}")
        self._m.d.comb += found.eq(index - self.begin)
        return found


class Writes(DmaEdge):
    """The write channels and the packer in front of them, any results at any places, and a memory that answers a burst
    once its last word and its address were taken."""

    def check(self, m: Module) -> None:
        aw = self.axis("m_axi_aw", "id", "addr", "len", "size", "burst")
        w = self.axis("m_axi_w", "data", "strb", "last")
        self.must(m, self.stalls(m, aw, "aw") & self.stalls(m, w, "w"))
        self.burst(m, "aw")
        words = self.words = Queue(m, self, "words", word_layout(self.params))
        bursts = self.bursts = Queue(m, self, "bursts", burst_layout(self.params))
        # Of the ports alone: addresses that were taken, less last words that were (one of these may be ahead); bursts
        # that are through and not answered; words of the burst at hand that are through.
        most = 2 * self.params.fifo_words
        owed = self.owed = Signal(range(-most, most), name="owed")
        unanswered, self.along = (Signal(up_to(most), name=name) for name in ("unanswered", "along"))
        along = self.along
        addressed, word, last = aw.valid & aw.ready, w.valid & w.ready, w.payload[-1]
        self.addressed, self.word, self.last = addressed, word, last
        answered = self.unit.m_axi_bvalid
        self.given(m, ~answered | (unanswered > (owed < 0)))
        m.d.sync += [owed.eq(owed + addressed - (word & last)),
                     unanswered.eq(unanswered + (word & last) - answered)]
        with m.If(word):
            m.d.sync += along.eq(Mux(last, 0, along + 1))
        # The rules: no word before its address is offered, which waits for no READY; no gap within a burst; so many
        # bursts at most.
        self.must(m, ~w.valid | (owed + aw.valid > 0))
        self.must(m, (owed + aw.valid <= 0) | w.valid | ~words.valid)
        self.must(m, (along == 0) | w.valid)
        self.must(m, owed + bursts.count + unanswered <= self.params.fifo_words)
        self.must(m, ~self.leaves(m) | ((owed == 0) & (bursts.count == 0) & (unanswered == 0) & (words.count == 0)))
        # What makes them inductive.
        granted, gone = self.port("granted"), self.port("gone")
        self.must(m, (owed == granted - gone) & ~(gone & ((granted != 0) | ~aw.valid)))
        self.must(m, (unanswered >= gone) & (self.port("open") == owed + bursts.count + unanswered))
        self._packed(m)
        self.reached(m, self.port("whole") & (self.port("count") == self.params.burst_words))

    def port(self, name: str) -> Value:
        """A signal of the write port."""
        return Value.cast(self.internal(f"axi.write_port.{name}"))

    def _packed(self, m: Module) -> None:
        """What the packer sends: bursts of words that follow each other, none across a multiple of the longest one."""
        words, bursts = self.words, self.bursts
        count, began, cut = self.port("count"), self.port("address"), self.params.burst_words.bit_length() - 1
        packer, gear = "axi.packer", "axi.packer.gear"
        now, fresh, fill, opened, ended = (Value.cast(self.internal(name)) for name in (
            f"{packer}.address", f"{packer}.fresh", f"{gear}.fill", f"{gear}.opened", f"{gear}.ended"))
        was_halted = Signal()
        m.d.sync += was_halted.eq(self.halted)
        self.must(m, ~was_halted | (fill == 0) & ~ended)
        self.must(m, (fresh == ~opened) & (opened | ended | (fill == 0)) & ~(opened & ended))
        goes_on = (count != 1) & ~was_halted
        self.must(m, ~goes_on | ((opened | ended) & (now == (began + count - 1)[: len(now)])
                                 & (now[:cut] != 0) & (now[cut:] == began[cut:])))
        self.must(m, (count != 0) & (count <= self.params.burst_words))
        for place, entry in zip(bursts.places, bursts.entries, strict=True):
            self.must(m, (place >= bursts.count) | self.within(entry.address, entry.words))
        # A word ends its burst: so many that are here as bursts are whole.
        lasts = sum((entry.last & (place < words.count)
                     for place, entry in zip(words.places, words.entries, strict=True)), start=Const(0))
        self.must(m, lasts == self.owed + bursts.count)
        for place, entry in zip(words.places, words.entries, strict=True):
            self.must(m, (place + 1 != words.count) | (entry.last == (count == 1)))
        self.must(m, (words.count != 0) | (count == 1))


class Words(Writes):
    """One burst, any that `pick` names when its first word comes, is followed through both queues to its last word: it
    has as many words as its address announced."""

    def __init__(self, params: DmaParams) -> None:
        super().__init__(params, {"pick": 1})

    def check(self, m: Module) -> None:
        super().check(m)
        words, bursts, owed, along = self.words, self.bursts, self.owed, self.along
        taken, ends, sent = (self.port(name) for name in ("taken", "whole", "sent"))
        mine, whole, named = self.followed = [Signal(name=name) for name in ("mine", "whole", "named")]
        fresh = Signal(init=1)  # the next word is a burst's first one
        first, place = Signal.like(words.begin, name="first"), Signal.like(bursts.begin, name="place")
        size, ahead = Signal(up_to(self.params.fifo_words), name="size"), Signal.like(owed, name="ahead")
        own, offered = Signal(), Signal()  # its word goes out, its address is on offer
        m.d.comb += [own.eq(mine & self.word & (ahead == 0)),
                     offered.eq(mine & whole & ~named & self.unit.m_axi_awvalid & (bursts.begin == place))]
        with m.If(taken):
            m.d.sync += fresh.eq(ends)
        with m.If(~mine & taken & fresh & self.pick):
            m.d.sync += [mine.eq(1), whole.eq(ends), named.eq(0), first.eq(words.end), place.eq(bursts.end), size.eq(1),
                         ahead.eq(owed + bursts.count - sent)]
        with m.Elif(mine):
            with m.If(~whole & taken):
                m.d.sync += [size.eq(size + 1), whole.eq(ends), place.eq(bursts.end)]
            with m.If(offered & self.addressed):
                m.d.sync += named.eq(1)
            with m.If(sent):
                m.d.sync += [ahead.eq(ahead - 1), mine.eq(ahead != 0)]
        with m.If(self.forgets):
            m.d.sync += [mine.eq(0), fresh.eq(1)]
        # The rule: so many words, the last one with WLAST, behind the words of as many addresses.
        self.must(m, ~offered | (self.unit.m_axi_awlen + 1 == size) & (ahead == owed))
        self.must(m, ~own | (named | offered) & (self.last == (along + 1 == size)))
        self._placed(m, fresh, first, place, size, ahead, offered)

    def _placed(self, m: Module, fresh: Signal, first: Signal, place: Signal, size: Signal, ahead: Signal,
                offered: Signal) -> None:
        """What makes it inductive: where the followed burst is in the queues."""
        words, bursts, owed, along = self.words, self.bursts, self.owed, self.along
        mine, whole, named = self.followed
        head, behind = Signal.like(words.begin, name="head"), Signal(len(words.begin) + 1)
        begun = Signal()
        m.d.comb += [begun.eq(mine & (ahead == 0) & (along != 0)),
                     head.eq(Mux(begun, 0, words.offset(first, "first"))),
                     behind.eq(head + size - Mux(begun, along, 0))]  # offset behind its newest word
        self.must(m, fresh == (self.port("count") == 1))
        place_of = bursts.offset(place, "followed")
        self.must(m, ~mine | (size != 0) & (size <= self.params.burst_words))
        self.must(m, ~begun | whole & (named | offered) & (along < size)
                  & (words.begin == (first + along)[: len(first)]))
        self.must(m, ~mine | (ahead != 0) | begun | (head == 0))
        self.must(m, ~mine | (behind <= words.count))
        self.must(m, ~(mine & ~whole) | (behind == words.count) & (self.port("count") == size + 1)
                  & (ahead == owed + bursts.count) & ~named)
        self.must(m, ~(mine & whole & ~named) | (ahead == owed + place_of) & (place_of < bursts.count))
        self.must(m, ~(mine & named) | whole & (ahead < owed))
        before: Value = Const(0)
        for offset, entry in zip(words.places, words.entries, strict=True):
            live = mine & (offset < words.count)
            before = before + (live & (offset < head) & entry.last)
            self.must(m, ~live | (offset + 1 != head) | entry.last)
            self.must(m, ~live | (offset < head) | (offset + 1 >= behind) | ~entry.last)
            self.must(m, ~(live & whole) | (offset + 1 != behind) | entry.last)
        self.must(m, ~mine | (before == ahead))
        for offset, entry in zip(bursts.places, bursts.entries, strict=True):
            self.must(m, ~(mine & whole & ~named) | (offset != place_of) | (entry.words == size))


KEPT = all_but("packer", "write_port")
PROPERTIES = (
    Property(
        name="dma_writes", block="dma", build=Writes, params=SMALL, free=KEPT, depth=2, cover=16,
        says="a write address and its data stay until they are taken and are AXI4's, data is offered with its address, "
             "no sooner and no later, and a halt lasts until all is answered",
        bug=Fault(name="send_before_the_address", block="dma", why="data goes out before its burst is whole",
                  patch=("rtl_gen.dma.write_port.may_send", lambda granted, offered: Const(1))), bug_depth=16,
        seconds=20),
    Property(
        name="dma_words", block="dma", build=Words, params=SMALL, free=KEPT, depth=2, cover=16,
        says="every burst of writes has as many words as its address announced, the last one with WLAST",
        bug=Fault(name="announce_one_word", block="dma", why="a burst's words are not counted",
                  edit=takes(f"{TOP}_unit_axi_write_port", "count", "2'd1")), bug_depth=16, seconds=30),
)
