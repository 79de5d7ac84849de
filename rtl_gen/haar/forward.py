"""Forward lifting unit: every level of the integer Haar transform in one pass (docs/contract.md §3.2).

    d = b − a,  s = a + (d >> 1)                       a, b: neighbouring tokens, or the s of the level before
    2-D, the d0, d1 of a quad's two width pairs:       HH = d1 − d0,  HL = d0 + (HH >> 1)

Each slot (`stamp_hw/haar_slots.py`) runs one butterfly. Operands wait in line memories: the a of level 1 in `wait`,
from level 2 on the s of even nodes in `even` (the next level's a) and of odd nodes in `odd` (its b), the low-pass s in
the line of `even` that one more level would read. In 2-D `cross` holds d0, and then HH until the next first width slot
of that level emits it. The difference of a butterfly without a partner is 0: one without b passes a, one without d1 d0.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream
from amaranth.lib.wiring import Out

from rtl_gen.haar.common import Beat, LiftingUnit, Line, floor_half, held_ruler, line_bases, plan_layout, words
from rtl_gen.haar.layouts import position_layout, turn_layout
from rtl_gen.haar.slots import Slots, locate, position, tile_tokens
from rtl_gen.lib.bits import following, lowest_bit, up_to
from rtl_gen.lib.delay import Ranks
from stamp_hw.params import HaarParams

LL, HL, LH, HH = range(4)


def input_layout(params: HaarParams) -> data.StructLayout:
    """One beat: `x`, `lanes` channels of a token."""
    return data.StructLayout({"x": words(params, params.width)})


def output_layout(params: HaarParams) -> data.StructLayout:
    """One beat of a coefficient token.

    `c`, `lanes` channels; `last` beat of the token; `level` of its band, 1 the finest, 0 for the low pass; `column` in
    its band; in 2-D builds also `row` and `band` (LL, HL, LH, HH = 0…3; in 1-D jobs the d are HL). Inside the engine
    `place` in the super-tile, its `half`, whether the super-tile `closes` with it and the job `ends`, and `sink`.
    """
    layout: dict[str, Any] = {"c": words(params, params.out_width), "last": 1, "level": up_to(params.max_levels),
                              "column": up_to(params.max_tokens - 1)}
    if params.axes == 2:
        layout |= {"row": up_to(params.max_tokens - 1), "band": 2}
    return data.StructLayout(layout | place_tags(params))


def place_tags(params: HaarParams) -> dict[str, Any]:
    """Where a coefficient belongs inside the engine."""
    return {"place": params.place_width, "half": 1, "closes": 1, "ends": 1, "sink": 1} if params.places else {}


def opening_layout() -> data.StructLayout:
    """Whether a token `opens` a super-tile, in which `half`."""
    return data.StructLayout({"opens": 1, "half": 1})


def intake_layout(params: HaarParams) -> data.StructLayout:
    """The token that is being taken in the engine: whether it `opens` a super-tile, in which `half`, whether it is a
    sink, and whether the beat that is wanted is its `last`."""
    return data.StructLayout({**opening_layout().members, "sink": 1, "last": 1})


def lift_d(a: Value, b: Value, paired: Value) -> Value:
    """d = b − a; 0 where a has no partner."""
    return Mux(paired, b - a, 0)


def lift_s(a: Value, d: Value) -> Value:
    """s = a + (d >> 1), the mean of the pair; a itself where d is 0."""
    return a + floor_half(d)


def unit_plan(params: HaarParams) -> data.StructLayout:
    """Beyond what both units have: `low` slot of the low pass, `bypass` which is the token itself, `first_level`
    butterfly of level 1, tags of the output; in 2-D `crossed` a width level, `second` its second slot.
    """
    at = up_to(params.max_tokens - 1)
    more: dict[str, Any] = {"bypass": 1, "low": 1, "first_level": 1, "level": up_to(params.max_levels), "column": at}
    if params.axes == 2:
        more |= {"crossed": 1, "second": 1, "row": at, "band": 2}
    if params.places:
        more |= {"place": params.place_width, "half": 1, "closes": 1, "sink": 1, "opens": 1, "takes_half": 1}
    return plan_layout(params, more)


def ruler_layout(params: HaarParams) -> data.StructLayout:
    """Of a slot: `lowest`; whether it is of the `low` pass or the `second` of its level; positions of its `pair`'s
    first token and of the coefficient that is `emitted`; in 2-D builds whether it is of a `crossed` width level, and
    the position of the pair's second token, the `partner`."""
    at = position_layout(params)
    grid: dict[str, Any] = {"crossed": 1, "partner": at} if params.axes == 2 else {}
    return data.StructLayout({"lowest": turn_layout(params)["lowest"].shape, "low": 1, "second": 1, "pair": at,
                              "emitted": at, **grid})


def turn(m: Module, name: str, offset: Value, mask: Value, params: HaarParams) -> data.View:
    """The level of the slot at `offset` of a Haar tile with that `mask` (turn_layout). The slot is counted from t + 2.
    """
    found = Signal(turn_layout(params), name=f"{name}_turn")
    slot = Signal.like(found.slot, name=f"{name}_slot")
    m.d.comb += [
        found.offset.eq(offset),
        slot.eq(Cat(offset[0], following(Cat(offset[1:], C(0, 1))))),
        found.slot.eq(slot),
        found.lowest.eq(lowest_bit(slot)),
        found.low.eq((slot & mask) == 0),
    ]
    return found


def ruler(m: Module, name: str, turn: data.View, mask: Value, two_d: Value, params: HaarParams) -> data.View:
    """The ruler: level l = 1 + ctz(t + 2), first token at t + 2 − 3·2^(l − 1); low pass at t + 2 − 2T.

    `lowest` = 2^(l − 1) has one bit, so that its multiples add up without a carry: a position is one subtraction.
    """
    at = Signal(ruler_layout(params), name=f"{name}_ruler")
    tile = Signal(len(mask) + 1, name=f"{name}_tile")
    slot, lowest, low = turn.slot, turn.lowest, turn.low
    # A d leaves with the last of the positions that it stands for, and so do HL and HH of the quad before.
    since: Value = lowest << 1
    if params.axes == 2:
        widths = sum(1 << bit for bit in range(0, params.max_levels, 2))
        m.d.comb += [at.crossed.eq(two_d & ~low & (lowest & widths).any()),
                     at.partner.eq(position(slot - (lowest << 1), mask, params))]
        since = Mux(at.crossed, lowest << 2, since)
    m.d.comb += [
        at.lowest.eq(lowest),
        at.low.eq(low),
        tile.eq(tile_tokens(mask)),
        at.pair.eq(position(slot - Mux(low, tile << 1, lowest | (lowest << 1)), mask, params)),
        at.second.eq(~((slot | tile) & (lowest << 1)).any()),
        at.emitted.eq(position(slot - Mux(low, tile << 1, since), mask, params)),
    ]
    return at


class Haar(LiftingUnit):
    """Tokens in, coefficient tokens out; equation in the module's docstring.

    Parameters
    ----------
    params : HaarParams, `direction` "forward"

    Members
    -------
    job : In(stream of job_layout), taken between two jobs
    i : In(stream of input_layout), the tokens that exist in order of position, `beats` beats each
    o : Out(stream of output_layout), coefficient tokens in the order of the timetable
    events : Out(event_layout)
    intake : Out(intake_layout), inside the engine only; `plans` Out, the next token is wanted from the next cycle on,
        and `coming` Out, whether that one opens a super-tile, in which half

    Latency: `params.latency` from the issue of a beat to its output; a coefficient leaves in the slot of its butterfly.
    Throughput: a beat a cycle; see `Slots`. Back-pressure: while an output beat waits, every register holds; bubbles
    are not closed. Inside the engine there is none, and `o` is always ready.
    """

    def __init__(self, params: HaarParams) -> None:
        intake = {"intake": Out(intake_layout(params)), "coming": Out(opening_layout()),
                  "plans": Out(1)} if params.places else {}
        super().__init__(params, unit_plan(params), input_layout(params), output_layout(params), intake)

    def make_plan(self, m: Module, plan: data.View, slots: Slots) -> None:
        """Which of the slot's positions exist, and what it does with them."""
        params, walk = self.params, slots.walk
        at = held_ruler(m, slots, ruler_layout(params), turn, ruler)
        lowest, low, second, many = at.lowest, at.low, at.second, walk.mask[0]
        token = locate(m, "token", position(walk.offset, walk.mask, params), walk, params)
        a = locate(m, "a", at.pair, walk, params)
        out = locate(m, "out", at.emitted, walk, params)
        b = locate(m, "b", at.partner, walk, params) if params.axes == 2 else out
        if params.axes == 2:
            m.d.comb += [plan.crossed.eq(at.crossed), plan.second.eq(second)]
        m.d.comb += [
            plan.takes.eq(token.exists),
            plan.bypass.eq(~many),
            plan.low.eq(low),
            plan.first_level.eq(lowest[0] & ~low),
            plan.paired.eq(b.exists & ~low),
            plan.emits.eq(out.exists),
            plan.wait_write.eq(token.exists & many & ~walk.offset[0]),
            plan.wait_read.eq(a.exists & plan.first_level),
            plan.even_read.eq(a.exists & many & ~plan.first_level),
            plan.odd_read.eq(plan.paired & ~plan.first_level),
            plan.even_write.eq(a.exists & ~low & ~second),
            plan.odd_write.eq(a.exists & ~low & second),
        ]
        if params.axes == 2:
            m.d.comb += [
                plan.both.eq(plan.crossed & second & plan.paired),
                plan.cross_read.eq(plan.crossed & out.exists),
                plan.cross_write.eq(plan.crossed & plan.paired),
            ]
        line_bases(m, lowest, plan.write_base, plan.read_base, plan, params)
        shift = Signal.like(plan.level)
        for level in range(1, params.max_levels + 1):
            with m.If(lowest[level - 1]):
                m.d.comb += shift.eq(Mux(walk.two_d, (level + 1) // 2, level) if params.axes == 2 else level)
        m.d.comb += plan.level.eq(Mux(low, 0, shift))
        with m.If(low):
            m.d.comb += shift.eq(walk.levels)
        m.d.comb += plan.column.eq(out.column >> shift)
        if params.axes == 2:
            m.d.comb += [plan.row.eq(out.row >> shift),
                         plan.band.eq(Mux(low, LL, Mux(plan.crossed, Mux(second, HL, HH), Mux(walk.two_d, LH, HL))))]
        if params.places:
            # The low pass of its last Haar tile closes a super-tile: the tile at hand, or the next one, begins another.
            closes = low & Mux(out.before, walk.half != walk.half_before, slots.splits)
            m.d.comb += [
                plan.opens.eq((walk.offset == 0) & walk.begins),
                plan.takes_half.eq(walk.half),
                plan.place.eq(out.place),
                plan.half.eq(Mux(out.before, walk.half_before, walk.half)),
                plan.closes.eq(closes & ~walk.sink),
                plan.sink.eq(walk.sink),
                self.coming.opens.eq(plan.opens),
                self.coming.half.eq(plan.takes_half),
                self.plans.eq(slots.plan),
            ]

    def data_path(self, m: Module, ranks: Ranks, beat: Beat, out: stream.Interface) -> None:
        """Operands, d, s, and in 2-D the cross butterfly; registers in the order of the ranks."""
        params, lanes, stages = self.params, range(self.params.lanes), self.params.read_stages
        plan, x = beat.plan, self.i.payload.x
        word, depth = words(params, params.width), params.max_levels * params.max_beats
        register, delay, strobe = ranks.register, ranks.delay, beat.strobe
        diff = stages + 2

        # Rank 0: a beat is issued, its lines are addressed.
        wait = Line.of(ranks, "wait", word, params.max_beats, stages)
        even = Line.of(ranks, "even", word, depth, stages)
        odd = Line.of(ranks, "odd", word, depth - params.max_beats, stages)
        read_address = beat.address("read_base")
        wait.read(strobe("wait_read", 0), beat.index)
        even.read(strobe("even_read", 0), read_address)
        odd.read(strobe("odd_read", 0), read_address)

        # Rank 1: a beat that waits is written, long before the next slot asks for it.
        x = delay("x_late", x, 1)
        wait.write(strobe("wait_write", 1), delay("index_late", beat.index, 1), [x[lane] for lane in lanes])

        # Rank `stages`: what was read, and the input beat.
        x = delay("x", x, stages - 1)
        first_level, bypass = delay("first_level", plan.first_level, stages), delay("bypass", plan.bypass, stages)
        a = [register(f"a{lane}", Mux(first_level, wait.data[lane], Mux(bypass, x[lane], even.data[lane])))
             for lane in lanes]
        b = [register(f"b{lane}", Mux(first_level, x[lane], odd.data[lane])) for lane in lanes]

        # Rank `stages` + 1: a and b. That a has no partner is decided here, not a rank later between d and the lines.
        paired = delay("paired", plan.paired, diff - 1)
        d = [register(f"d{lane}", lift_d(a[lane], b[lane], paired)) for lane in lanes]
        a = [register(f"a{lane}_late", a[lane]) for lane in lanes]

        # Rank `diff`: a and d; s goes to its line, now or a rank later.
        low = delay("low", plan.low, diff)
        s = [Signal(signed(params.width), name=f"s{lane}") for lane in lanes]
        m.d.comb += [s[lane].eq(lift_s(a[lane], d[lane])) for lane in lanes]
        written = s if not params.write_stages else [register(f"s{lane}_late", value) for lane, value in enumerate(s)]
        write_rank = diff + params.write_stages
        write_address = delay("write_address", beat.address("write_base"), write_rank)
        even.write(strobe("even_write", write_rank), write_address, written)
        odd.write(strobe("odd_write", write_rank), write_address, written)
        straight = [Mux(low, a[lane], d[lane]) for lane in lanes]

        if params.axes == 2:
            # Rank `cross`: d beside d0 or HH of its level; d or the new HH goes to that line.
            cross_rank = diff + 1
            coefs = words(params, params.out_width)
            cross = Line.of(ranks, "cross", coefs, params.max_levels // 2 * params.max_beats, stages)
            cross_address = delay("cross_address", beat.address("cross_base"), 2)
            cross.read(strobe("cross_read", 2), cross_address)
            both = delay("both", plan.both, diff)
            hh = [register(f"hh{lane}", lift_d(cross.data[lane], d[lane], both), signed(params.out_width))
                  for lane in lanes]
            d0 = [register(f"d0_{lane}", cross.data[lane]) for lane in lanes]
            straight = [register(f"straight{lane}", value) for lane, value in enumerate(straight)]
            second = delay("second", plan.second, cross_rank)
            cross.write(strobe("cross_write", cross_rank), delay("cross_address_late", cross_address, cross_rank - 2),
                        [Mux(second, hh[lane], straight[lane]) for lane in lanes])
            crossed = delay("crossed", plan.crossed, cross_rank)
            straight = [Mux(crossed, lift_s(d0[lane], hh[lane]), straight[lane]) for lane in lanes]

        # Output rank.
        m.d.comb += out.valid.eq(strobe("emits", params.latency))
        for lane in lanes:
            m.d.comb += out.payload.c[lane].eq(register(f"c{lane}", straight[lane], signed(params.out_width)))
        m.d.comb += out.payload.last.eq(delay("last", beat.last, params.latency))
        for tag in ("level", "column") + (("row", "band") if params.axes == 2 else ()):
            m.d.comb += out.payload[tag].eq(delay(tag, plan[tag], params.latency))
        if params.places:
            ends = beat.slots.final & ~plan.sink
            m.d.comb += [
                self.intake.opens.eq(plan.opens),
                self.intake.half.eq(plan.takes_half),
                self.intake.sink.eq(plan.sink),
                self.intake.last.eq(beat.last),
                out.payload.ends.eq(delay("ends", ends, params.latency)),
                out.payload.closes.eq(delay("closes", plan.closes | ends, params.latency)),
            ]
            m.d.comb += [out.payload[tag].eq(delay(tag, plan[tag], params.latency))
                         for tag in ("place", "half", "sink")]
