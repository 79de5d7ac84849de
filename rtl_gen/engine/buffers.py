"""Activation, weight, scale and output buffers of the engine (docs/contract.md §4, "Memory").

The activation buffer has a bank for each row of the array. A word of a bank is one beat of one row slot, `lanes` bytes,
in two planes: the low nibbles, with the row's mode, and the high ones. A token that opens a row slot writes both, so
that the high one is known whatever follows; a second 4-bit token writes the high one. A beat's first step reads the
same word of both banks of every row that holds a token, and `lanes` steps take a byte each.

On an FPGA the way to the many memories of the activation and the weight buffer is long, so their addresses, enables and
words pass a register first, those of the activation buffer another one in front of every `HOP_ROWS` rows. Writes do as
well as reads: what was written before a step was issued is there for it. The read of a block RAM takes most of a cycle,
so that what it gives passes a register before anything else.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Value
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.engine.layouts import weight_layout, word_layout
from rtl_gen.engine.rows import scale_address, scale_layout
from rtl_gen.haar.inverse import fetch_layout
from rtl_gen.lib.bits import chosen, up_to
from rtl_gen.lib.delay import delayed, late
from stamp_hw.engine.params import HOP_ROWS, EngineParams
from stamp_hw.params import CODE_WIDTH


class ActBuffer(wiring.Component):
    """Codes of two super-tiles.

    Members
    -------
    write_at, low, high : In, word, and the banks whose planes are written
    codes, hi : In, a beat of codes; a 4-bit code is in the low nibble
    read_at, read_en : In, word, and the rows whose banks are read; lane : In, the step's byte of the last one
    act, mode4 : Out, of every row, `params.feed_cycles` later
    zero : In, of the beat's block; zeros : Out, of every row: with blocks, a further nibble in the words of each plane
    """

    def __init__(self, params: EngineParams) -> None:
        self.params = params
        address = up_to(2 * params.act_tiles * params.max_beats - 1)
        super().__init__({
            "write_at": In(address), "low": In(params.rows), "high": In(params.rows),
            "codes": In(data.ArrayLayout(CODE_WIDTH, params.lanes)), "hi": In(1), "read_at": In(address),
            "read_en": In(params.rows), "lane": In(up_to(params.lanes - 1)),
            "act": Out(data.ArrayLayout(CODE_WIDTH, params.rows)), "mode4": Out(data.ArrayLayout(1, params.rows)),
            **({"zero": In(CODE_WIDTH), "zeros": Out(data.ArrayLayout(CODE_WIDTH, params.rows))} if params.block
               else {}),
        })

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        params, half = self.params, CODE_WIDTH // 2
        depth = max(2, 2 * params.act_tiles * params.max_beats)
        codes = [*self.codes, self.zero] if params.block else list(self.codes)
        words = {"low": Cat(Cat(code[:half] for code in codes), ~self.hi),
                 "high": Cat(Mux(self.hi, code[half:], code[:half]) for code in codes)}
        read_at, read_en, write_at = self.read_at, self.read_en, self.write_at
        enables = {"low": self.low, "high": self.high}
        for row in range(params.rows):
            hop, inside = divmod(row, HOP_ROWS)
            if not inside:  # what goes to the banks passes a register in front of every few of them
                if hop:
                    read_en, enables = read_en[HOP_ROWS:], {plane: one[HOP_ROWS:] for plane, one in enables.items()}
                read_at, write_at = late(m, f"bank_read_at{hop}", read_at), late(m, f"bank_write_at{hop}", write_at)
                read_en = late(m, f"bank_read_en{hop}", read_en, control=True)
                words = {plane: late(m, f"{plane}_word{hop}", word) for plane, word in words.items()}
                enables = {plane: late(m, f"{plane}_en{hop}", enable, control=True)
                           for plane, enable in enables.items()}
                lane = delayed(m, f"lanes_asked{hop}", self.lane, 3 + hop)  # of the word that these banks gave
            nibbles: list[list[Value]] = []
            for plane, word in words.items():
                bank = m.submodules[f"{plane}{row}"] = memory.Memory(shape=len(word), depth=depth, init=[])
                write, read = bank.write_port(), bank.read_port()
                m.d.comb += [write.addr.eq(write_at), write.data.eq(word), write.en.eq(enables[plane][inside]),
                             read.addr.eq(read_at), read.en.eq(read_en[inside])]
                found = late(m, f"{plane}{row}_read", read.data)
                nibbles.append([found.word_select(n, half) for n in range(len(codes))])
                if plane == "low":
                    mode4 = found[-1]
            values = [Cat(pair) for pair in zip(*nibbles, strict=True)]
            given = {"act": chosen(values[: params.lanes], lane), "mode4": mode4}
            if params.block:
                given["zeros"] = values[-1]
            for name, value in given.items():  # the banks that were reached first wait for the others
                m.d.comb += getattr(self, name)[row].eq(delayed(m, f"{name}{row}", value, 1 + params.hops - hop))
        return m


class WeightBuffer(wiring.Component):
    """Weights of two passes, `max_k` words each.

    Members
    -------
    write_at, en, step : In, a k-step of weights
    read_at, read_en : In, word of a step
    wgt : Out, its weights, `params.feed_cycles` later
    """

    def __init__(self, params: EngineParams) -> None:
        self.params = params
        layout, address = weight_layout(params), up_to(2 * params.max_k - 1)
        super().__init__({"write_at": In(address), "en": In(1), "step": In(layout), "read_at": In(address),
                          "read_en": In(1), "wgt": Out(layout)})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        m.submodules.words = words = memory.Memory(shape=weight_layout(self.params), depth=2 * self.params.max_k,
                                                   init=[])
        write, read = words.write_port(), words.read_port()
        m.d.comb += [
            write.addr.eq(late(m, "word_write_at", self.write_at)),
            write.data.as_value().eq(late(m, "word", self.step.as_value())),
            write.en.eq(late(m, "word_en", self.en, control=True)),
            read.addr.eq(late(m, "word_read_at", self.read_at)),
            read.en.eq(late(m, "word_read_en", self.read_en, control=True)),
        ]
        m.d.comb += self.wgt.eq(delayed(m, "words_read", read.data, 2 + self.params.hops))
        return m


class ScaleBuffer(wiring.Component):
    """Scale, precision and place of the tokens of two super-tiles.

    Members
    -------
    en, write_at, word : In, half that is written, address and word, which pass a register first: a token's scale is
        read long after its codes
    half, read_at : In, half that is read, and address
    token : Out, the word, two cycles later
    """

    def __init__(self, params: EngineParams) -> None:
        self.params = params
        address, layout = scale_address(params), scale_layout(params)
        super().__init__({"en": In(2), "write_at": In(address), "word": In(layout), "half": In(1),
                          "read_at": In(address), "token": Out(layout)})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        second = delayed(m, "halves_read", self.half, 2)
        en, write_at, written = (late(m, f"{name}_late", value, control=name == "en") for name, value in (
            ("en", self.en), ("write_at", self.write_at.as_value()), ("word", self.word.as_value())))
        layout, words = scale_layout(self.params), []
        for number in range(2):
            bank = m.submodules[f"half{number}"] = memory.Memory(shape=layout, depth=1 << len(self.read_at.as_value()),
                                                                 init=[])
            write, read = bank.write_port(), bank.read_port()
            m.d.comb += [write.addr.eq(write_at), write.data.eq(layout(written)), write.en.eq(en[number]),
                         read.addr.eq(self.read_at.as_value()), read.en.eq(self.half == number)]
            words.append(late(m, f"word{number}", read.data.as_value()))
        m.d.comb += self.token.as_value().eq(Mux(second, words[1], words[0]))
        return m


class OutBuffer(wiring.Component):
    """Output coefficients of two passes, addressed by their places; the inverse unit reads it in step with its own line
    memories.

    Members
    -------
    word : In(word_layout), what the drain writes
    select, select_en : In, half that is read from the next `fetch` on
    fetch : In, the inverse unit's `fetch_layout`
    c : Out, the coefficients, `params.inverse.read_stages` cycles with `fetch.en` later
    """

    def __init__(self, params: EngineParams) -> None:
        self.params = params
        word = word_layout(params)
        super().__init__({"word": In(word), "select": In(1), "select_en": In(1),
                          "fetch": In(fetch_layout(params.inverse)), "c": Out(word.members["z"])})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        params, word, fetch = self.params, self.word, self.fetch
        half = late(m, "half", self.select, enable=self.select_en)
        stages = params.inverse.read_stages
        second = delayed(m, "half_read", half, stages, enable=fetch.en)
        words = []
        for number in range(2):
            store = m.submodules[f"half{number}"] = memory.Memory(
                shape=word.z.shape(), depth=params.out_slots << len(word.chunk), init=[])
            write, read = store.write_port(), store.read_port()
            m.d.comb += [write.addr.eq(Cat(word.chunk, word.place)), write.data.eq(word.z),
                         write.en.eq(word.valid & (word.half == number)),
                         read.addr.eq(Cat(fetch.index[: len(word.chunk)], fetch.place)),
                         read.en.eq(fetch.en & (half == number))]
            words.append(delayed(m, f"half{number}_read", read.data, stages - 1, enable=fetch.en))
        for lane in range(params.rescale_lanes):
            m.d.comb += self.c[lane].eq(Mux(second, words[1][lane], words[0][lane]))
        return m
