"""Output-stationary array of PEs, its skewed operands, and the drain of finished tiles (docs/contract.md §4).

Nothing ever freezes: a step that is not offered is a bubble that moves through, and a tile's last step waits outside
until the hold registers are certain to be free when its sums arrive. To be certain under any back-pressure, what is
still in them must fit an output queue of `params.queue_beats` beats; one beat more than a PE's latency costs no cycle
when the output never stalls, so that the contract's tile time holds exactly.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.lib.bits import one_of
from rtl_gen.lib.delay import delayed, late
from rtl_gen.mac import split
from rtl_gen.mac.multiplier import OPERAND_WIDTH
from rtl_gen.mac.pe import LOW_WIDTH
from rtl_gen.mac.row import Row
from rtl_gen.verilog.emit import Shared
from stamp_hw.params import CODE_WIDTH, MacParams


def input_layout(params: MacParams) -> data.StructLayout:
    """A step: an activation byte and a mode for each row, a weight for each column; `last` ends the tile."""
    return data.StructLayout({
        "act": data.ArrayLayout(CODE_WIDTH, params.rows),
        "mode4": data.ArrayLayout(1, params.rows),
        "wgt": data.ArrayLayout(signed(CODE_WIDTH), params.cols),
        "last": 1,
    })


def output_layout(params: MacParams) -> data.StructLayout:
    """A beat of the drain: `lanes` sums of one token; `empty` marks a token that an 8-bit row does not have."""
    return data.StructLayout({
        "acc": data.ArrayLayout(signed(params.acc_width), params.lanes),
        "row": max(1, (params.rows - 1).bit_length()),
        "slot": 1,
        "empty": 1,
        "last": 1,
    })


def event_layout(params: MacParams) -> data.StructLayout:
    """Events of one cycle. A multiplication of a 4-bit pair is one event and makes two products."""
    width = (params.rows * params.cols).bit_length()
    return data.StructLayout({"multiplies8": width, "multiplies4": width, "steps": 1, "drained": 1})


def upper_of_pair(act: Value) -> Value:
    """What stands above bit 12 of a1·2^12 + a0: a1 less the borrow of a negative a0."""
    width = OPERAND_WIDTH - LOW_WIDTH
    return (Cat(act[4:], act[7]) + act[3].replicate(width))[:width]


def packed(act: Value, mode4: Value) -> Value:
    """The multiplier's operand: a1·2^12 + a0 of the nibbles a1:a0, or the 8-bit code."""
    pair = Cat(act[:4], act[3].replicate(LOW_WIDTH - 4), upper_of_pair(act))
    return Mux(mode4, pair, Cat(act, act[7].replicate(OPERAND_WIDTH - CODE_WIDTH))).as_signed()


def pairs(valid: Value, mode4: Value) -> Value:
    """Whether a row's step is one of a pair of tokens; a bubble is not, whatever stands in its mode."""
    return valid & mode4


def ends_tile(accept: Value, last: Value) -> Value:
    """Whether a step that is taken is its tile's last one; a bubble ends nothing."""
    return accept & last


def holds_free_in_time(params: MacParams, flying: Value, left: Value, owed: Value, moves: int, popped: int) -> Value:
    """Whether a last step taken in the next cycle is certain to find the hold registers free: no tile is on its way to
    them, and the beats left in them can all leave in the `latency` cycles from then, into a queue that may not send one
    of them. Now `left` are left, of which `moves` leave, and `owed` are those and the queued ones, of which `popped`
    leave.
    """
    return ~flying & (left <= params.latency + moves) & (owed <= params.queue_beats + popped)


def slot_is_empty(slot: Value, mode4: Value) -> Value:
    """An 8-bit row has one token; its second accumulators hold nothing."""
    return slot & ~mode4


def leaves(valid: Value, ready: Value) -> Value:
    """Whether the queue's first beat is taken."""
    return valid & ready


def counted(accept: Value, count: Value) -> Value:
    """Multiplications of this cycle: none without a step."""
    return Mux(accept, count, 0)


def multiplications(params: MacParams, rows4: Value) -> tuple[Value, Value]:
    """(of 8-bit codes, of 4-bit pairs) in a step with `rows4` rows of pairs."""
    # Times cols, by shifts: a product with a constant would take multipliers from an FPGA, for a counter.
    fours = sum(rows4 << bit for bit in range(params.cols.bit_length()) if params.cols >> bit & 1)
    return params.rows * params.cols - fours, fours


class Mac(wiring.Component):
    """acc[token, col] = Σ_k a[token, k] · w[col, k]; a row slot holds one 8-bit token or two 4-bit ones.

    Parameters
    ----------
    params : MacParams

    Members
    -------
    i : `input_layout`, one k-step a beat. `act[r]` is an 8-bit code, or a1:a0 in its nibbles if `mode4[r]`, which is
        constant from the first to the last step of a tile. INT4 weights come sign-extended.
    o : `output_layout`, `params.drain_beats` beats a tile: row by row, in each the token slots 0 and 1, in each the
        columns ascending, `lanes` a beat. Slot 1 of an 8-bit row is sent with `empty` and zeros. `last` ends the tile.
    events : `event_layout`, increments of this cycle

    Latency: `params.drain_latency` cycles from an accepted last step to its tile's first beat. Throughput: a step a
    cycle; back-to-back tiles of max(K, `params.min_tile_cycles`) cycles. Only a last step ever waits. Back-pressure:
    the queue fills, then the drain stops, then the next last step waits; no path leads from `o.ready` to `i.ready`.
    """

    def __init__(self, params: MacParams) -> None:
        self.params = params
        super().__init__({"i": In(stream.Signature(input_layout(params))),
                          "o": Out(stream.Signature(output_layout(params))),
                          "events": Out(event_layout(params))})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        params = self.params
        step = self.i.payload

        # Credit and tile control. `flight` counts the cycles until the last PE's sums are in its hold register.
        accept = Signal()
        last_accepted = Signal()
        flight = Signal(range(params.flight_cycles + 1))
        left = Signal(range(params.drain_beats + 1))
        queued = Signal(range(params.queue_beats + 1))
        # What is asked of the counts in every cycle is known a cycle before.
        flies = Signal()  # a tile is on its way
        lands = Signal()  # its drain begins in the next cycle
        drains = Signal()  # beats are left
        tile_ends = Signal()  # one is
        move = Signal()  # it leaves the hold registers: the queue is not full
        owed = Signal(range(params.drain_beats + params.queue_beats + 1))  # those left and those queued
        fill = Signal(params.queue_beats + 1, init=1)  # the bit that is one says how many are queued
        may_end = Signal(init=1)  # a last step would find the hold registers free
        m.d.comb += [
            self.i.ready.eq(~step.last | may_end),
            accept.eq(self.i.valid & self.i.ready),
            last_accepted.eq(accept & step.last),
        ]
        with m.If(last_accepted):
            m.d.sync += [flight.eq(params.flight_cycles), flies.eq(1)]
        with m.Elif(flies):
            m.d.sync += [flight.eq(flight - 1), flies.eq(~lands)]
        m.d.sync += lands.eq(flight == 2)

        # Drain. A row's two token slots leave chunk by chunk, then the columns shift up by a row.
        pop = Signal()
        row_is_last = Signal()  # the beat that leaves next is its row's last one
        row_ends = Signal()
        row = Signal(range(max(2, params.rows)))
        flight_mode4 = Signal(params.rows, reset_less=True)
        drain_mode4 = Signal(params.rows, reset_less=True)
        row_moves = Signal()  # a row ends that is not the tile's last: those below move up
        left_next, owed_next, drains_next, fill_next, tile_ends_next, row_is_last_next, move_next = (
            Signal.like(now, name=f"{now.name}_next", init=0)
            for now in (left, owed, drains, fill, tile_ends, row_is_last, move))
        staying = Mux(pop, fill >> 1, fill)

        def free_after(left: Value, owed: Value) -> Value:
            flying = last_accepted | (flies & ~lands)
            stays, moves = ([holds_free_in_time(params, flying, left, owed, moved, popped) for popped in range(2)]
                            for moved in range(2))
            return Mux(move, Mux(pop, moves[1], moves[0]), Mux(pop, stays[1], stays[0]))

        m.d.comb += [
            pop.eq(leaves(self.o.valid, self.o.ready)),
            row_ends.eq(move & row_is_last),
            left_next.eq(Mux(lands, params.drain_beats, left - move)),
            owed_next.eq(Mux(lands, params.drain_beats + queued, owed) - pop),
            drains_next.eq(lands | (drains & ~(move & tile_ends))),
            fill_next.eq(Mux(move, staying << 1, staying)),
            tile_ends_next.eq(Mux(lands, params.drain_beats == 1, Mux(move, left == 2, tile_ends))),
            move_next.eq(drains_next & ~fill_next[-1]),
        ]
        m.d.sync += [
            left.eq(left_next), owed.eq(owed_next), drains.eq(drains_next), fill.eq(fill_next),
            queued.eq(queued - pop + move), move.eq(move_next), tile_ends.eq(tile_ends_next),
            row_is_last.eq(row_is_last_next), row_moves.eq(move_next & row_is_last_next & ~tile_ends_next),
            may_end.eq(Mux(lands, free_after(Const(params.drain_beats), params.drain_beats + queued),
                           free_after(left, owed))),
        ]
        with m.If(last_accepted):
            m.d.sync += flight_mode4.eq(step.mode4.as_value())
        with m.If(lands):
            m.d.sync += drain_mode4.eq(flight_mode4)
        with m.Elif(row_ends):
            m.d.sync += drain_mode4.eq(drain_mode4 >> 1)
        with m.If(row_ends):
            m.d.sync += row.eq(row + 1)
            with m.If(tile_ends):
                m.d.sync += row.eq(0)
        top = self._array(m, accept, row_moves)

        # The beat that leaves the hold registers of row 0.
        beat = Signal(split.beat_layout(params, self.o.payload.shape()) if params.split else self.o.payload.shape())
        slot = self._sums(m, top, beat, lands, move, row_is_last, row_is_last_next, tile_ends)
        if params.split:
            m.d.comb += beat.mode4.eq(drain_mode4[0])
        m.d.comb += [
            beat.empty.eq(slot_is_empty(slot, drain_mode4[0])),
            beat.row.eq(row),
            beat.slot.eq(slot),
            beat.last.eq(tile_ends),
        ]

        self._queue(m, beat, move, pop, fill)

        # Rows are counted four by four, and the rest a cycle later.
        accepted = late(m, "accepted", accept, control=True)
        groups = [[step.mode4[row] for row in range(first, min(first + 4, params.rows))]
                  for first in range(0, params.rows, 4)]
        counts = [late(m, f"pairs{number}", sum(rows[1:], rows[0])[:len(rows).bit_length()])
                  for number, rows in enumerate(groups)]
        eights, fours = multiplications(params, sum(counts[1:], counts[0]))
        m.d.comb += [
            self.events.multiplies4.eq(counted(accepted, fours)), self.events.multiplies8.eq(counted(accepted, eights)),
            self.events.steps.eq(accept),
            self.events.drained.eq(pop),
        ]
        return m

    def _sums(self, m: Module, top: Shared, beat: data.View, lands: Value, move: Value, row_is_last: Value,
              row_is_last_next: Signal, tile_ends: Value) -> Signal:
        """The sums of the beat that leaves next, and where it stands in its row; returns its token slot.

        Of several chunks a slot's sums are chosen a cycle before they leave, so that the choice is not in front of the
        queue: at the one bit of `chunk_next` that is 1, of row 0, a row's first ones from row 1, whose sums move up in
        that cycle. A tile's first sums are in row 0 by then, because its last ones are in a further chunk.
        """
        params = self.params
        chunks = params.cols // params.lanes
        slot = Signal()
        chunk_next = Signal(chunks, init=1, name="chunk_next") if chunks > 1 else Const(1)  # of the beat behind it
        slot_next = Signal()
        chunk_ends = Signal()
        m.d.comb += [chunk_ends.eq(chunk_next[-1]),
                     row_is_last_next.eq(Mux(lands | move, slot_next & chunk_ends, row_is_last))]
        with m.If(lands | move):
            m.d.sync += slot.eq(slot_next)
        with m.If(lands | (move & ~tile_ends)):
            m.d.sync += slot_next.eq(slot_next ^ chunk_ends)
            if chunks > 1:
                m.d.sync += chunk_next.eq(chunk_next.rotate_left(1))

        for lane in range(params.lanes):
            sums: list[Value] = []
            for number, (held, below) in enumerate(((top.hold0, top.below0), (top.hold1, top.below1))):
                first, *others = held[lane::params.lanes]
                sums.append(first if not others else late(
                    m, f"ahead{number}_{lane}", one_of([Mux(row_is_last, below[lane], first), *others], chunk_next),
                    signed(params.sum_widths[number]), enable=lands | move))
            if params.split:
                m.d.comb += [beat.sum0[lane].eq(sums[0]), beat.sum1[lane].eq(sums[1])]
            else:
                m.d.comb += beat.acc[lane].eq(Mux(beat.empty, 0, Mux(slot, sums[1], sums[0])))
        return slot

    def _queue(self, m: Module, beat: data.View, move: Value, pop: Value, fill: Signal) -> None:
        """Output queue: entry 0 is the output, and everything moves up when it leaves."""
        entries = [Signal(beat.shape(), name=f"queue{n}", reset_less=True)
                   for n in range(self.params.queue_beats)]
        staying = Mux(pop, fill >> 1, fill)
        for n, entry in enumerate(entries):
            with m.If(move & staying[n]):
                m.d.sync += entry.eq(beat)
            if n + 1 < len(entries):
                with m.Elif(pop):
                    m.d.sync += entry.eq(entries[n + 1])
        if not self.params.split:
            m.d.comb += [self.o.valid.eq(~fill[0]), self.o.payload.eq(entries[0])]
            return
        head, o = entries[0], self.o.payload
        m.d.comb += [self.o.valid.eq(~fill[0]),
                     *(o[name].eq(head[name]) for name in ("row", "slot", "empty", "last")),
                     *(o.acc[lane].eq(Mux(head.empty, 0, split.token_sum(sum0, sum1, head.slot, head.mode4)))
                       for lane, (sum0, sum1) in enumerate(zip(head.sum0, head.sum1, strict=True)))]

    def _array(self, m: Module, accept: Value, shift: Value) -> Shared:
        """Skew registers and rows of PEs; returns row 0, whose hold registers are drained.

        Row r shifts r cycles after row 0, so that no shift enable is wider than a row. That is safe because a row
        needs at least two beats, and because the last shift of a tile has passed a row before new sums reach it.
        """
        params = self.params
        step = self.i.payload
        wait = params.entry_cycles
        valid, last = (delayed(m, f"entry_{name}", value, wait, control=True)
                       for name, value in (("valid", accept), ("last", ends_tile(accept, step.last))))
        rows = [Shared(lambda: Row(params), "stamp_mac_row") for _ in range(params.rows)]
        for c in range(params.cols):
            m.d.comb += rows[0].wgt_i[c].eq(delayed(m, f"skew_wgt_c{c}", step.wgt[c], wait + c))
        for r, row in enumerate(rows):
            m.submodules[f"row{r}"] = row
            if r:
                valid, last, shift = (late(m, f"{name}_r{r}", value, control=True) for name, value in (
                    ("valid", valid), ("last", last), ("shift", shift)))
                m.d.comb += row.wgt_i.eq(rows[r - 1].wgt_o)
            act = delayed(m, f"skew_act_r{r}", Cat(step.act[r], step.mode4[r]), wait + r)
            m.d.comb += [row.control.valid.eq(valid), row.control.last.eq(last)]
            if params.split:
                m.d.comb += row.operand.eq(split.operand(act[:CODE_WIDTH], act[CODE_WIDTH]))
            else:
                m.d.comb += [row.control.mode4.eq(pairs(valid, act[CODE_WIDTH])),
                             # A bubble's product is added nowhere: its mode may be any.
                             row.operand.eq(packed(act[:CODE_WIDTH], act[CODE_WIDTH]))]
            if r + 1 < params.rows:
                below = rows[r + 1]
                m.d.comb += [row.shift.eq(shift), row.below0.eq(below.hold0), row.below1.eq(below.hold1)]
        return rows[0]
