"""Scale unit: the range of each token or group, one division, and the quantizer (docs/contract.md §3.4).

    lo = min, span = max − min        symmetric: lo = −absmax, span = 2·absmax
    m = span << lz,  recip = ((qmax << F) + (m >> 1)) // m,  F = width + recip_frac
    a = ((((c − lo) << lz) · recip + 2^(F−1)) >> F) − mid,  qmax = 255 or 15 (254 or 14), mid = (qmax + 1) >> 1

The front writes every beat into a ring buffer while a tree finds min and max; at the end of a group its range goes to
the divider; the back end reads the group again and quantizes it. Two counters alone can stop the front, beats in the
ring buffer and groups that wait for their quotient, so nothing between it and the divider's output needs back-pressure.
The ring buffer holds at least two groups of `max_beats`: when it is full, `max_beats` of it or more belong to complete
groups, so it drains.

Why the widths suffice: (c − lo) << lz ≤ m < 2^width, so `width` unsigned bits hold the multiplicand (18 × 17 bits, one
multiplier of an FPGA); the product is at most m·recip ≤ qmax·2^F + m/2, below 2^(F+8) with its rounding, and its bits
below F − 1 decide nothing: floor(product / 2^F + 1/2) is floor((product >> (F−1)) / 2 + 1/2). For span = 0 the
multiplicand is 0, whatever recip is.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.lib.bits import up_to
from rtl_gen.lib.countdown import countdown, is_last
from rtl_gen.lib.delay import late
from rtl_gen.lib.handshake import can_move
from rtl_gen.lib.registered_product import of_slice
from rtl_gen.scale import range_tree
from rtl_gen.scale.codes import distance, from_zero, is_below, output_layout
from rtl_gen.scale.divider import Divider
from rtl_gen.scale.dividers import Dividers
from rtl_gen.scale.range_tree import RangeTree, stage, values_layout
from stamp_hw.params import CODE_WIDTH, SCALE_TOKEN_WIDTH, ScaleParams

FINE = 3  # bits of a shift that are left for the second of its two steps


def half_up(doubled: Value) -> Value:
    """floor(doubled / 2 + 1/2)."""
    return doubled[1:] + doubled[0]


def midpoint(hi: Value, symmetric: Value) -> Value:
    """(qmax + 1) >> 1: 128 or 8, 127 or 7 in symmetric mode."""
    return Mux(symmetric, Cat(C(0b111, 3), hi.replicate(4)), Cat(C(0, 3), ~hi, C(0, 3), hi))


def shifted_coarsely(value: Value, lz: Value) -> Value:
    """c − lo, or |c|, shifted left by `lz` less its lowest bits; (c − lo) << lz fits where c − lo does."""
    return (value << Cat(C(0, FINE), lz[FINE:]))[:len(value)]


def after(pointer: Signal, depth: int) -> Value:
    """The next address of a ring of `depth` words."""
    return Mux(pointer == depth - 1, 0, pointer + 1)


def without(values: dict[str, Any], name: str) -> dict[str, Any]:
    """All but one."""
    return {key: value for key, value in values.items() if key != name}


def input_layout(params: ScaleParams) -> data.StructLayout:
    """An input beat: `lanes` coefficients of one token, and whether the token takes 8 bits."""
    return data.StructLayout({"values": values_layout(params), "hi": 1})


def job_layout(params: ScaleParams) -> data.StructLayout:
    """Registers of a job, the fields of `stamp_hw.params.ScaleJob`; `zeros` with blocks alone."""
    beats, zeros = range(params.max_beats + 1), {"zeros": 1} if params.block_beats else {}
    return data.StructLayout({"tokens": unsigned(SCALE_TOKEN_WIDTH), "beats": beats, "group_beats": beats,
                              "tail": range(params.lanes + 1), "symmetric": 1, **zeros})


def event_layout(params: ScaleParams) -> data.StructLayout:
    """Increments of a cycle: beats compared, written to and read from the ring buffer, quotients, quotient bits (one of
    each divider at most), beats multiplied."""
    return data.StructLayout({"compares": 1, "buffer_writes": 1, "buffer_reads": 1, "divisions": 1,
                              "divide_steps": up_to(params.dividers), "multiplies": 1})


class Scale(wiring.Component):
    """Codes of a stream of tokens, with the range of each group.

    Parameters
    ----------
    params : ScaleParams

    Members
    -------
    job : In stream, `job_layout`: registers of a job; taken for one cycle while no job runs. All fields are at least 1
        (but `symmetric` and `zeros`, of which one may be), `group_beats` ≤ `beats` ≤ `max_beats`, `tail` ≤ `lanes`
    i : In stream, `input_layout`: tokens of the job, `beats` beats each; lanes beyond `tail` in a token's last beat are
        padding of any value; `hi` is constant over a group. Symmetric mode needs |c| < 2^(width−1)
    o : Out stream, `output_layout`: as many beats, in order; padding has a = 0
    events : Out(event_layout)

    Latency: `params.latency` cycles from a group's last input beat to its first output beat. Throughput: a beat a
    cycle, `dividers` groups in `recip_width` cycles, while the ring buffer has room. Back-pressure: `o.ready` is the
    enable of the back end; `i.ready` depends on registers alone.
    """

    def __init__(self, params: ScaleParams) -> None:
        self.params = params
        super().__init__({
            "job": In(stream.Signature(job_layout(params))), "i": In(stream.Signature(input_layout(params))),
            "o": Out(stream.Signature(output_layout(params))), "events": Out(event_layout(params)),
        })

    @property
    def latency(self) -> int:
        return self.params.latency

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        p = self.params
        m.submodules.tree = tree = RangeTree(p)
        divider: Divider | Dividers = Dividers(p) if p.block_beats else Divider(p)
        m.submodules["dividers" if p.block_beats else "divider"] = divider
        m.submodules.ring = ring = memory.Memory(shape=values_layout(p), depth=p.buffer_beats, init=[])
        issue = Signal()
        accept = self._front(m, tree, divider, ring.write_port(), issue)
        move = Signal()
        m.d.comb += move.eq(can_move(self.o.valid, self.o.ready))
        read = ring.read_port()
        at_read = self._read(m, divider, read, move, issue)
        multiplies = self._quantize(m, read.data, at_read, move)
        m.d.comb += [
            self.events.compares.eq(tree.compare), self.events.buffer_writes.eq(accept),
            self.events.buffer_reads.eq(issue), self.events.divisions.eq(divider.taken),
            self.events.divide_steps.eq(divider.step), self.events.multiplies.eq(multiplies),
        ]
        return m

    def _front(self, m: Module, tree: RangeTree, divider: Divider | Dividers, write: memory.WritePort, issue: Value
               ) -> Value:
        """Counts beats, groups and tokens of the job, fills the ring buffer. What a beat is, its token's last or its
        group's, and whether it is taken is known before it comes: `*_next` of a register is what it says in the next
        cycle.

        Returns whether a beat is taken.
        """
        p = self.params
        running = Signal()
        token_end = Signal()
        group_full = Signal()  # the group's last one, if the token does not end before
        token_single = Signal(reset_less=True)  # tokens have a single beat
        group_single = Signal(reset_less=True)
        full = Signal()  # no room in the ring buffer
        ready = Signal()
        job = Signal(job_layout(p), reset_less=True)
        tokens_left = countdown("tokens_left", (1 << SCALE_TOKEN_WIDTH) - 1)
        token_last = Signal(range(p.max_beats), reset_less=True)  # the beat in front of a token's last
        group_last = Signal(range(p.max_beats), reset_less=True)
        token_beat = Signal(range(p.max_beats))
        group_beat = Signal(range(p.max_beats))
        write_at = Signal(range(p.buffer_beats))
        used = Signal(range(p.buffer_beats + 1))  # beats in the ring buffer
        waiting = Signal(range(p.groups_in_flight + 1))  # groups without a quotient
        starts = Signal()
        accept = Signal()
        group_end = Signal()
        running_next, token_end_next, group_full_next, full_next, waiting_next = (
            Signal.like(now, name=f"{now.name}_next") for now in (running, token_end, group_full, full, waiting))
        coming = self.job.payload
        m.d.comb += [
            self.job.ready.eq(~running),
            starts.eq(self.job.valid & self.job.ready),
            group_end.eq(token_end | group_full),
            self.i.ready.eq(ready),
            accept.eq(self.i.valid & self.i.ready),
            running_next.eq(running), token_end_next.eq(token_end), group_full_next.eq(group_full), full_next.eq(full),
            waiting_next.eq(waiting + (accept & group_end) - divider.taken),
        ]
        with m.If(starts):
            m.d.comb += [running_next.eq(1), token_end_next.eq(coming.beats == 1),
                         group_full_next.eq(coming.group_beats == 1)]
            m.d.sync += [job.eq(coming), tokens_left.eq(coming.tokens - 2),
                         token_single.eq(coming.beats == 1), group_single.eq(coming.group_beats == 1),
                         token_last.eq(coming.beats - 2), group_last.eq(coming.group_beats - 2)]
        with m.If(accept):
            m.d.comb += [token_end_next.eq(Mux(token_end, token_single, token_beat == token_last)),
                         group_full_next.eq(Mux(group_end, group_single, group_beat == group_last))]
            m.d.sync += [token_beat.eq(Mux(token_end, 0, token_beat + 1)),
                         group_beat.eq(Mux(group_end, 0, group_beat + 1)),
                         write_at.eq(after(write_at, p.buffer_beats))]
            with m.If(token_end):
                m.d.comb += running_next.eq(~is_last(tokens_left))
                m.d.sync += tokens_left.eq(tokens_left - 1)
        with m.If(accept ^ issue):
            m.d.comb += full_next.eq(accept & (used == p.buffer_beats - 1))
        m.d.sync += [
            running.eq(running_next), token_end.eq(token_end_next), group_full.eq(group_full_next), full.eq(full_next),
            waiting.eq(waiting_next), used.eq(used + accept - issue),
            ready.eq(running_next & ~full_next & ~((token_end_next | group_full_next)
                                                   & (waiting_next == p.groups_in_flight))),
        ]
        m.d.comb += [write.en.eq(accept), write.addr.eq(write_at), write.data.eq(self.i.payload.values)]

        m.d.comb += [
            tree.valid.eq(accept), tree.values.eq(self.i.payload.values), tree.first.eq(group_beat == 0),
            tree.final.eq(group_end), tree.info.hi.eq(self.i.payload.hi), tree.info.symmetric.eq(job.symmetric),
            tree.info.beats.eq(group_beat), tree.info.tail.eq(job.tail), tree.info.last.eq(token_end),
            tree.info.single.eq(group_beat == 0),
            divider.valid.eq(tree.group_valid), divider.group.eq(tree.group),
        ]
        if p.block_beats:
            m.d.comb += tree.info.zeros.eq(job.zeros)
        return accept

    def _read(self, m: Module, divider: Divider | Dividers, read: memory.ReadPort, move: Value, issue: Signal
              ) -> dict[str, Any]:
        """Reads the beats of a group again, while the divider's output register holds it.

        Returns what goes along with each to the quantizer.
        """
        p = self.params
        result = divider.o.payload
        read_at = Signal(range(p.buffer_beats))
        read_beat = Signal(range(p.max_beats))
        group, final = result.group, result.final
        m.d.comb += [issue.eq(divider.o.valid & move), divider.o.ready.eq(move & final), divider.reads.eq(issue),
                     divider.final_next.eq(read_beat + 1 == group.info.beats), read.en.eq(issue), read.addr.eq(read_at)]
        with m.If(issue):
            m.d.sync += [read_beat.eq(Mux(final, 0, read_beat + 1)), read_at.eq(after(read_at, p.buffer_beats))]
        of_blocks = {"zeros": group.info.zeros, "group_ends": final} if p.block_beats else {}
        # While none is read nothing moves here, and so nothing behind it: the divider's register shows its quotients on
        # the way, which would turn the multipliers in every cycle of a division that is waited for.
        at_read = stage(m, "read", enable=issue, lo=group.lo, span=group.span, hi=group.info.hi,
                        symmetric=group.info.symmetric, tail=group.info.tail, last=final & group.info.last,
                        lz=result.lz, recip=result.recip, **of_blocks)
        return at_read | stage(m, "read", enable=move, valid=issue)

    def _quantize(self, m: Module, beat: Value, at_read: dict[str, Any], move: Value) -> Value:
        """From what the ring buffer gives, and what belongs to it, to the output register.

        Returns whether a beat is multiplied.
        """
        values, at_value = self._values(m, beat, at_read, move)
        multiplicands, at_shift = self._multiplicands(m, values, at_value, move)
        products, at_product = self._products(m, multiplicands, at_shift, move)
        self._codes(m, products, at_product, move)
        multiplied: Value = at_shift["valid"] & move
        return multiplied

    def _values(self, m: Module, beat: Value, at_read: dict[str, Any], move: Value
                ) -> tuple[list[Value], dict[str, Any]]:
        """Registers behind the ring buffer: a block RAM's read takes most of a cycle.

        Returns the coefficients, and what goes along.
        """
        p = self.params
        at_value = stage(m, "value", enable=move, **at_read)
        values = [late(m, f"value{lane}", beat[lane], enable=move) for lane in range(p.lanes)]
        for _ in range(p.near_stages):
            at_value = stage(m, "near", enable=move, **at_value)
            values = [late(m, f"near{lane}", value, enable=move) for lane, value in enumerate(values)]
        return values, at_value

    def _multiplicands(self, m: Module, values: list[Value], at_value: dict[str, Any], move: Value
                       ) -> tuple[list[Value], dict[str, Any]]:
        """Difference, and the shift by whole bytes.

        Returns (c − lo) << lz, or |c| << lz, of every lane, and what goes along.
        """
        p = self.params
        distances, signs = [value - at_value["lo"] for value in values], {}
        if p.block_beats:  # |c| may take its place; lo goes along as one lane more, whose steps are z
            zeros = at_value["zeros"]
            distances = [distance(value, at_value["lo"], zeros) for value in [*values, at_value["lo"]]]
            signs = {"below": Cat(is_below(value, zeros) for value in values)}
        lz = at_value["lz"]
        at_difference = stage(m, "difference", enable=move, **without(at_value, "lz"), lz=lz[:FINE], **signs)
        differences = [late(m, f"difference{lane}", shifted_coarsely(value[:p.width], lz), p.width, enable=move)
                       for lane, value in enumerate(distances)]

        # Shift, by what is left.
        at_shift = stage(m, "shift", enable=move, **without(at_difference, "lz"))
        multiplicands = [late(m, f"multiplicand{lane}", value << at_difference["lz"], p.width, enable=move)
                         for lane, value in enumerate(differences)]
        return multiplicands, at_shift

    def _products(self, m: Module, multiplicands: list[Value], at_shift: dict[str, Any], move: Value
                  ) -> tuple[list[Value], dict[str, Any]]:
        """The products without the bits below the half, and registers for the multipliers to spread over.

        Returns the products, and what goes along.
        """
        p = self.params
        recip, at_product = at_shift["recip"], without(at_shift, "recip")
        kept = slice(p.frac - 1, p.frac + CODE_WIDTH)
        products: list[Value]
        if p.dsp is None:
            products = [(value * recip)[kept] for value in multiplicands]
        else:
            products = [of_slice(m, f"multiplier{lane}", value, recip, p.product_stages, move)[kept]
                        for lane, value in enumerate(multiplicands)]
        for number in range(p.product_stages):
            if number == p.product_stages - 1:  # what is padding is known before its codes are
                tail = at_product["tail"]
                padded = Cat(range_tree.is_padding(lane, at_product["last"], tail) for lane in range(p.lanes))
                at_product = without(at_product, "tail") | {"padded": padded}
            at_product = stage(m, f"product{number}", enable=move, **at_product)
            if p.dsp is None:
                products = [late(m, f"product{number}_{lane}", value, enable=move)
                            for lane, value in enumerate(products)]
        return products, at_product

    def _codes(self, m: Module, products: list[Value], at_product: dict[str, Any], move: Value) -> None:
        """Rounded, and moved to their middle. With blocks the steps of every lane have a register of their own before
        they meet z."""
        p = self.params
        mid = Signal(CODE_WIDTH)
        at_code, padding, codes = at_product, C(0, CODE_WIDTH), [half_up(product) - mid for product in products]
        if p.block_beats:
            at_code = stage(m, "round", enable=move, **at_product)
            *steps, z = [late(m, f"steps{lane}", half_up(product), CODE_WIDTH, enable=move)
                         for lane, product in enumerate(products)]
            at_code["zero"] = padding = zero = Signal(CODE_WIDTH)
            m.d.comb += zero.eq(Mux(at_code["zeros"], z, mid))
            codes = [from_zero(value, below, z, at_code["hi"])
                     for value, below in zip(steps, at_code["below"], strict=True)]

        # The output register.
        code = Signal(output_layout(p), reset_less=True)
        m.d.comb += [self.o.payload.eq(code), mid.eq(midpoint(at_code["hi"], at_code["symmetric"]))]
        with m.If(move):
            m.d.sync += self.o.valid.eq(at_code["valid"])
            m.d.sync += [code[name].eq(at_code[name]) for name in code.shape().members if name != "codes"]
            m.d.sync += [
                code.codes[lane].eq(Mux(at_code["padded"][lane], padding, value)) for lane, value in enumerate(codes)]
