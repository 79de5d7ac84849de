"""Block Hadamard unit: the channels of every token, block by block, in front of the lifting (docs/contract.md §3.9).

    h = H·diag(σ)·x,  y = sat((h + 2^(r−1)) >> r)

A block of B channels is n = B / P beats, or a beat holds P / B of them. The signs first; then the butterflies between
beats, where the words are narrow, and those between lanes: H is a product of one factor for each bit of the place, in
any order. All registers move with one enable. A unit whose job is off is not there: beats pass it without a register.

Why the widths suffice: a value's negative takes a bit more, and each level one. But no row of H·diag(σ) has the same
sign in all places, so of h, all levels together, `width` + log2(B) bits hold every value; what is kept modulo
2^`sum_width` on the way there is exact in the end. The shift keeps the bit below the point, which rounds.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, ValueLike, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.hadamard.beats import BeatButterflies, values_layout
from rtl_gen.lib.delay import Ranks
from rtl_gen.lib.handshake import can_move
from rtl_gen.rescale import saturate
from stamp_hw.hadamard_params import HadamardParams
from stamp_hw.params import SCALE_TOKEN_WIDTH


def input_layout(params: HadamardParams) -> data.StructLayout:
    """One beat: `x`, `lanes` channels of a token."""
    return data.StructLayout({"x": values_layout(params.lanes, params.width)})


def output_layout(params: HadamardParams) -> data.StructLayout:
    """One beat: `y`, `lanes` channels of a token, and whether it is the token's `last`."""
    return data.StructLayout({"y": values_layout(params.lanes, params.width), "last": 1})


def job_layout(params: HadamardParams) -> data.StructLayout:
    """Registers of a job, the fields of `stamp_hw.hadamard_params.HadamardJob`."""
    beats = range(params.max_beats + 1)
    return data.StructLayout({"tokens": SCALE_TOKEN_WIDTH, "beats": beats, "in_beats": beats,
                              "in_tail": range(params.lanes + 1), "on": 1, "shift": range(params.levels + 1)})


def event_layout(params: HadamardParams) -> data.StructLayout:
    """Increments of a cycle, of jobs that are on: `beats` that enter, those that pad a block among them, and words that
    `saturated`, counted when an output beat is taken."""
    return data.StructLayout({"beats": 1, "saturated": params.lanes.bit_length()})


def odd_pairs(bits: Value) -> Value:
    """Whether σ is −1: an odd number of the pairs of neighbouring bits have both set."""
    found: Value = Const(0, 1)
    for low in range(0, len(bits) - 1, 2):
        found = found ^ (bits[low] & bits[low + 1])
    return found


def exists(lane: int, final: Value, padding: Value, tail: Value) -> Value:
    """Whether there is a channel: not beyond the `tail` of a token's final beat, nor in a beat that pads."""
    return ~padding & ~(final & (tail <= lane))


def halve(h: Value, shift: Value) -> Value:
    """h >> shift with the bit below the point: twice the value, which `half_up` rounds."""
    return Cat(Const(0, 1), h).as_signed() >> shift


def half_up(doubled: Value) -> Value:
    """floor(doubled / 2 + 1/2)."""
    return (doubled + 1) >> 1


class Hadamard(wiring.Component):
    """The unit; equation in the module's docstring.

    Parameters
    ----------
    params : HadamardParams

    Members
    -------
    job : In(stream of job_layout), taken while no job runs. `beats` are whole blocks where the job is on, and as many
        as `in_beats` where it is off; `in_beats` ≤ `beats`; none of these, `tokens` and `in_tail` is 0
    i : In(stream of input_layout), `in_beats` beats of each token; what is beyond `in_tail` in the last one, and up to
        the end of the block, counts as 0
    o : Out(stream of output_layout), `beats` beats of each token
    last : Out, the input beat that is wanted is its token's last
    events : Out(event_layout)

    Latency: a block leaves in a row, from `params.latency` cycles behind its last input beat on; 0 where the job is
    off. Throughput: a beat a cycle. Back-pressure: while an output beat waits, every register holds; bubbles are not
    closed.
    """

    def __init__(self, params: HadamardParams) -> None:
        self.params = params
        super().__init__({
            "job": In(stream.Signature(job_layout(params))), "i": In(stream.Signature(input_layout(params))),
            "o": Out(stream.Signature(output_layout(params))), "last": Out(1), "events": Out(event_layout(params)),
        })

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        params = self.params
        running = Signal()
        job = Signal(job_layout(params), name="job_held", reset_less=True)
        m.d.comb += self.job.ready.eq(~running)
        with m.If(self.job.valid & self.job.ready):
            m.d.sync += [running.eq(1), job.eq(self.job.payload)]

        valid = Signal(name="y_valid")
        advance = Signal(name="moves")
        m.d.comb += advance.eq(can_move(valid, self.o.ready))
        ranks = Ranks(m, advance)
        on = Signal()
        m.d.comb += on.eq(running & job.on)
        issue, beat, padding = self._intake(m, job, running, on, advance)

        # Signs, butterflies, rounding; `words` are what there is behind each rank, its control `flag`.
        words = self._signed(ranks, job, beat, padding)
        flag: Value = ranks.register("signed_valid", issue, control=True)
        for level in range(params.beat_levels):
            unit = m.submodules[f"beats{level}"] = BeatButterflies(
                params.lanes, len(words[0]), params.block_beats >> level + 1)
            m.d.comb += [unit.advance.eq(advance), unit.valid.eq(flag)]
            m.d.comb += [unit.i[lane].eq(word) for lane, word in enumerate(words)]
            words, flag = [unit.o[lane] for lane in range(params.lanes)], unit.o_valid
        for level in range(params.levels - params.beat_levels):
            words = self._lanes(ranks, level, words)
            flag = ranks.register(f"level{level}_valid", flag, control=True)
        halves = [ranks.register(f"half{lane}", halve(word, job.shift)) for lane, word in enumerate(words)]
        flag = ranks.register("half_valid", flag, control=True)
        clipped = Signal(params.lanes)
        found = []
        for lane, half in enumerate(halves):
            value, clips = saturate(m, f"rounded{lane}", half_up(half), params.width)
            found.append(ranks.register(f"y{lane}", value, signed(params.width)))
            m.d.comb += clipped[lane].eq(clips)
        m.d.comb += valid.eq(ranks.register("y_valid_held", flag, control=True))
        clipped = ranks.register("saturated", clipped)
        self._leave(m, job, running, on, valid, found)
        with m.If(valid & self.o.ready):
            m.d.comb += self.events.saturated.eq(sum(clipped[1:], start=clipped[0]))
        m.d.comb += self.events.beats.eq(issue & advance)
        return m

    def _intake(self, m: Module, job: data.View, running: Value, on: Value, advance: Value
                ) -> tuple[Signal, Signal, Signal]:
        """Counts the beats of the tokens that come; returns whether one enters when the pipeline moves, its number in
        its token, and whether it pads a block."""
        params, i = self.params, self.i
        beat = Signal(range(params.max_beats + 1))
        coming = Signal(SCALE_TOKEN_WIDTH, reset_less=True)  # tokens of a job that is on
        issue, padding, step, ends = (Signal(name=name) for name in ("issue", "padding", "step", "token_ends"))
        wants = Signal()
        m.d.comb += [
            wants.eq(on & (coming != 0)),
            padding.eq(beat >= job.in_beats if params.block_beats > 1 else 0),
            issue.eq(wants & (i.valid | padding)),
            i.ready.eq(Mux(on, wants & ~padding & advance, running & self.o.ready)),
            step.eq(Mux(on, issue & advance, i.valid & i.ready)),
            ends.eq(step & (beat + 1 == job.beats)),
            self.last.eq(beat + 1 == job.in_beats),
        ]
        with m.If(step):
            m.d.sync += beat.eq(Mux(ends, 0, beat + 1))
        with m.If(self.job.valid & self.job.ready):
            m.d.sync += coming.eq(self.job.payload.tokens)
        with m.Elif(ends):
            m.d.sync += coming.eq(coming - 1)
        return issue, beat, padding

    def _signed(self, ranks: Ranks, job: data.View, beat: Signal, padding: Signal) -> list[Value]:
        """σ·x of every lane, 0 where there is no channel."""
        params, m = self.params, ranks.m
        lane_bits = params.lanes.bit_length() - 1
        final = Signal()
        m.d.comb += final.eq(self.last)
        found: list[Value] = []
        for lane in range(params.lanes):
            place = Cat(Const(lane, lane_bits), beat)[: params.levels]
            there = exists(lane, final, padding, job.in_tail)
            x = self.i.payload.x[lane]
            value = Mux(odd_pairs(place), -x, x)
            found.append(ranks.register(f"signed{lane}", Mux(there, value, 0), signed(params.width + 1)))
        return found

    def _lanes(self, ranks: Ranks, level: int, words: list[Value]) -> list[Value]:
        """Butterflies between lanes that differ in one bit of their number."""
        width = min(len(words[0]) + 1, self.params.sum_width)
        found: list[Value] = []
        for lane, word in enumerate(words):
            other = words[lane ^ 1 << level]
            value: ValueLike = other - word if lane >> level & 1 else word + other
            found.append(ranks.register(f"level{level}_{lane}", value, signed(width)))
        return found

    def _leave(self, m: Module, job: data.View, running: Signal, on: Value, valid: Value, words: list[Signal]) -> None:
        """What leaves: the pipeline's output, or the input of a job that is off. The last beat ends the job."""
        o, i = self.o, self.i
        beat = Signal(range(self.params.max_beats + 1), name="out_beat")
        going = Signal(SCALE_TOKEN_WIDTH, reset_less=True)  # tokens that have not left
        taken = Signal(name="out_taken")
        m.d.comb += [o.valid.eq(Mux(on, valid, running & i.valid)), o.payload.last.eq(beat + 1 == job.beats),
                     taken.eq(o.valid & o.ready)]
        m.d.comb += [o.payload.y[lane].eq(Mux(on, word, i.payload.x[lane])) for lane, word in enumerate(words)]
        with m.If(self.job.valid & self.job.ready):
            m.d.sync += going.eq(self.job.payload.tokens)
        with m.If(taken):
            m.d.sync += beat.eq(Mux(o.payload.last, 0, beat + 1))
            with m.If(o.payload.last):
                m.d.sync += going.eq(going - 1)
                with m.If(going == 1):
                    m.d.sync += running.eq(0)
