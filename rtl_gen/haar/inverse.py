"""Inverse lifting unit: the forward unit run backwards, every level in one pass (docs/contract.md §3.7).

    a = s − (d >> 1),  b = a + d                       s: the low pass, or an a or b of the level above
    2-D, the d0, d1 of a quad's two width pairs:       d0 = HL − (HH >> 1),  d1 = d0 + HH

Each slot (`stamp_hw/haar_slots.py`) runs one butterfly. Its s waits in `even` (the a of the level above, and the low
pass) or in `odd` (the b); at level 1 a leaves at once and b waits in `wait` for the next slot. In 2-D `cross` holds HH,
which comes in one quad ahead, and then d1. Everything wraps at `width` bits; nothing is lost where the values fit.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream
from amaranth.lib.wiring import Out

from rtl_gen.haar.common import Beat, LiftingUnit, Line, floor_half, held_ruler, line_bases, plan_layout, words
from rtl_gen.haar.layouts import position_layout, turn_layout
from rtl_gen.haar.slots import Slots, locate, position, tile_tokens
from rtl_gen.lib.bits import lowest_bit, up_to
from rtl_gen.lib.delay import Ranks
from stamp_hw.params import HaarParams


def input_layout(params: HaarParams) -> data.StructLayout:
    """One beat: `c`, `lanes` channels of a coefficient."""
    return data.StructLayout({"c": words(params, params.width)})


def output_layout(params: HaarParams) -> data.StructLayout:
    """One beat: `x`, `lanes` channels of a token, whether it is the token's last, and in the engine whether the token
    is the job's last (`final`)."""
    final = {"final": 1} if params.places else {}
    return data.StructLayout({"x": words(params, params.width), "last": 1} | final)


def lift_a(s: Value, d: Value, paired: Value) -> Value:
    """a = s − (d >> 1); s itself where the pair has no second token."""
    return s - Mux(paired, floor_half(d), 0)


def unit_plan(params: HaarParams) -> data.StructLayout:
    """Beyond what both units have: `direct` the input is the low pass, an s itself; `from_wait` the token that leaves
    waited; in 2-D `swaps` the second width slot: d1 comes from the line and the coefficient goes there.
    """
    more = {"direct": 1, "from_wait": 1} | ({"swaps": 1} if params.axes == 2 else {})
    return plan_layout(params, more | ({"place": params.place_width, "corner": 1} if params.places else {}))


def fetch_layout(params: HaarParams) -> data.StructLayout:
    """What the unit reads in the engine: the `place` of a coefficient in its super-tile, `index` of the beat; `en` is
    the read's enable."""
    return data.StructLayout({"place": params.place_width, "index": up_to(params.max_beats - 1), "en": 1})


def ruler_layout(params: HaarParams) -> data.StructLayout:
    """Of a slot: `lowest`; whether it is of the `low` pass or the `second` of its level; positions of its pair's
    `first` token, of the second one, the `partner`, and of the token that is `leaving`; in 2-D builds whether it is of
    a `crossed` width level, and how `far` its HH, or the next one, reaches."""
    at = position_layout(params)
    grid: dict[str, Any] = {"crossed": 1, "far": at} if params.axes == 2 else {}
    return data.StructLayout({"lowest": turn_layout(params)["lowest"].shape, "low": 1, "second": 1, "first": at,
                              "partner": at, "leaving": at, **grid})


def turn(m: Module, name: str, offset: Value, mask: Value, params: HaarParams) -> data.View:
    """The level of the slot at `offset` of a Haar tile with that `mask` (turn_layout). The slot is counted from t;
    where t is a multiple of T it is T."""
    found = Signal(turn_layout(params), name=f"{name}_turn")
    slot = Signal.like(found.slot, name=f"{name}_slot")
    m.d.comb += [
        found.offset.eq(offset),
        slot.eq(offset | tile_tokens(mask)),
        found.slot.eq(slot),
        found.lowest.eq(lowest_bit(slot)),
        found.low.eq(offset == 0),
    ]
    return found


def ruler(m: Module, name: str, turn: data.View, mask: Value, two_d: Value, params: HaarParams) -> data.View:
    """The ruler: level l = 1 + ctz(t), first token at t − T + 2^(l − 1); where t is a multiple of T the low pass, as if
    l were one more than the levels. The token at t − (T − 1) leaves.

    `lowest` = 2^(l − 1) has one bit, so that its multiples add up without a carry: a position is one addition.
    """
    at = Signal(ruler_layout(params), name=f"{name}_ruler")
    before = Cat(turn.offset | ~mask, 1).as_signed()  # t − T
    lowest, low, second = turn.lowest, turn.low, at.second
    m.d.comb += [
        at.lowest.eq(lowest),
        at.low.eq(low),
        second.eq(~(turn.slot & (lowest << 1)).any() & ~low),
        at.first.eq(position(before + lowest, mask, params)),
        at.partner.eq(position(before + (lowest << 1), mask, params)),
        at.leaving.eq(position(before + 1, mask, params)),
    ]
    if params.axes == 2:
        widths = sum(1 << bit for bit in range(0, params.max_levels, 2))
        reach = Mux(second, (lowest << 2) | (lowest << 1), lowest << 2)
        m.d.comb += [at.crossed.eq(two_d & ~low & (lowest & widths).any()),
                     at.far.eq(position(before + reach, mask, params))]
    return at


class HaarInverse(LiftingUnit):
    """Coefficient tokens in, tokens out; equation in the module's docstring.

    Parameters
    ----------
    params : HaarParams, `direction` "inverse"

    Members
    -------
    job : In(stream of job_layout), taken between two jobs
    i : In(stream of input_layout), coefficient tokens in the order of the timetable, `beats` beats each
    o : Out(stream of output_layout), the tokens that exist in order of position
    events : Out(event_layout)
    fetch : Out(fetch_layout), inside the engine only: there `i` gives the data of that read, `read_stages` ranks
        later, and its valid stays 1

    Latency: `params.latency` from the issue of a beat to its output. Throughput: a beat a cycle; see `Slots`.
    Back-pressure: while an output beat waits, every register holds; bubbles are not closed. Inside the engine they
    hold a cycle later, since a spare register takes that beat.
    """

    def __init__(self, params: HaarParams) -> None:
        fetch = {"fetch": Out(fetch_layout(params))} if params.places else {}
        super().__init__(params, unit_plan(params), input_layout(params), output_layout(params), fetch)

    def make_plan(self, m: Module, plan: data.View, slots: Slots) -> None:
        """Which of the slot's positions exist, and what it does with them."""
        params, walk = self.params, slots.walk
        at = held_ruler(m, slots, ruler_layout(params), turn, ruler)
        lowest, low, second, first_level, many = at.lowest, at.low, at.second, walk.offset[0], walk.mask[0]
        a = locate(m, "a", at.first, walk, params)
        b = locate(m, "b", at.partner, walk, params)
        out = locate(m, "out", at.leaving, walk, params)
        m.d.comb += [
            plan.takes.eq(Mux(low, a.exists, b.exists)),
            plan.direct.eq(low),
            plan.paired.eq(b.exists & ~low),
            plan.emits.eq(out.exists),
            plan.from_wait.eq(~walk.offset[0] & many),
            plan.wait_read.eq(out.exists & plan.from_wait),
            plan.wait_write.eq(plan.paired & first_level),
            plan.even_read.eq(a.exists & ~low & ~second),
            plan.odd_read.eq(a.exists & ~low & second),
            plan.even_write.eq(a.exists & many & ~first_level),
            plan.odd_write.eq(plan.paired & ~first_level),
        ]
        place = Mux(low, a.place, b.place)
        if params.axes == 2:
            # The last position that HH of this quad, or of the next one, stands for.
            crossed = at.crossed
            hh = locate(m, "hh", at.far, walk, params)
            with m.If(crossed):
                m.d.comb += [plan.swaps.eq(second), plan.both.eq(~second & hh.exists),
                             plan.cross_read.eq(Mux(second, b.exists, hh.exists)), plan.cross_write.eq(hh.exists)]
                with m.If(second):
                    m.d.comb += plan.takes.eq(hh.exists)
            place = Mux(crossed & second, hh.place, place)
        if params.places:
            m.d.comb += [plan.place.eq(place), plan.corner.eq(out.corner)]
        line_bases(m, lowest, plan.read_base, plan.write_base, plan, params)

    def data_path(self, m: Module, ranks: Ranks, beat: Beat, out: stream.Interface) -> None:
        """In 2-D the cross butterfly, then s and d, a, b; registers in the order of the ranks."""
        params, lanes, stages = self.params, range(self.params.lanes), self.params.read_stages
        plan, shape = beat.plan, signed(params.width)
        word, depth = words(params, params.width), params.max_levels * params.max_beats
        register, delay, strobe = ranks.register, ranks.delay, beat.strobe
        crosses = params.axes - 1  # ranks that the cross butterfly puts in front of s and d
        operand = stages + 1 + crosses
        split_rank = operand + 1

        # Rank 0: a beat is issued. Rank `stages`: its coefficient, and in 2-D HH or d1.
        # In the engine it is read from the output buffer in step with the lines, and comes when they do.
        coef = delay("coef", self.i.payload.c, 0 if params.places else stages)
        if params.places:
            m.d.comb += [
                self.fetch.place.eq(plan.place),
                self.fetch.index.eq(beat.index),
                self.fetch.en.eq(ranks.advance),
                out.payload.final.eq(delay("corner", plan.corner, params.latency)),
            ]
        d = [coef[lane] for lane in lanes]
        if params.axes == 2:
            cross = Line.of(ranks, "cross", word, params.max_levels // 2 * params.max_beats, stages)
            cross_address = beat.address("cross_base")
            cross.read(strobe("cross_read", 0), cross_address)
            coef = delay("coef_late", coef, 1)
            line = [register(f"line{lane}", cross.data[lane]) for lane in lanes]
            both, swaps = delay("both", plan.both, stages + 1), delay("swaps", plan.swaps, stages + 1)
            d = [Mux(swaps, line[lane], lift_a(coef[lane], line[lane], both)) for lane in lanes]

        # Rank `operand`: s and d; in 2-D d1 or the next HH goes to its line.
        even = Line.of(ranks, "even", word, depth, stages)
        odd = Line.of(ranks, "odd", word, depth - params.max_beats, stages)
        read_address = delay("read_address", beat.address("read_base"), crosses)
        even.read(strobe("even_read", crosses), read_address)
        odd.read(strobe("odd_read", crosses), read_address)
        direct, from_odd = delay("direct", plan.direct, operand - 1), delay("from_odd", plan.odd_read, operand - 1)
        s = [register(f"s{lane}", Mux(direct, coef[lane], Mux(from_odd, odd.data[lane], even.data[lane])))
             for lane in lanes]
        d = [register(f"d{lane}", value, shape) for lane, value in enumerate(d)]
        if params.axes == 2:
            kept = [register(f"kept{lane}", Mux(swaps, coef[lane], line[lane])) for lane in lanes]
            swaps = delay("swaps_late", swaps, 1)
            cross.write(strobe("cross_write", operand), delay("cross_address", cross_address, operand),
                        [Mux(swaps, kept[lane], d[lane] + kept[lane]) for lane in lanes])

        # Rank `split_rank`: a, and from it b; they go to the lines of the level below.
        paired = delay("paired", plan.paired, operand)
        a = [register(f"a{lane}", lift_a(s[lane], d[lane], paired), shape) for lane in lanes]
        d = [register(f"d{lane}_late", d[lane]) for lane in lanes]
        b = [Signal(shape, name=f"b{lane}") for lane in lanes]
        m.d.comb += [b[lane].eq(a[lane] + d[lane]) for lane in lanes]
        wait = Line.of(ranks, "wait", word, params.max_beats, stages)
        index = delay("index", beat.index, split_rank - stages)
        wait.read(strobe("wait_read", split_rank - stages), index)
        write_address = delay("write_address", beat.address("write_base"), split_rank)
        even.write(strobe("even_write", split_rank), write_address, a)
        odd.write(strobe("odd_write", split_rank), write_address, b)
        wait.write(strobe("wait_write", split_rank), delay("index_late", index, stages), b)

        # Output rank.
        from_wait = delay("from_wait", plan.from_wait, split_rank)
        for lane in lanes:
            m.d.comb += out.payload.x[lane].eq(register(f"x{lane}", Mux(from_wait, wait.data[lane], a[lane])))
        m.d.comb += [
            out.valid.eq(strobe("emits", params.latency)),
            out.payload.last.eq(delay("last", beat.last, params.latency)),
        ]
