"""Register file behind an AXI4-Lite port, made from a table of registers (`rtl_gen.axi.registers`).

Address and data of a write are held until both are there, in either order. Every output comes from a register. A read
or a write takes two cycles at least.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.axi.registers import ADDRESS_WIDTH, WORD_BYTES, Access, Field, Register
from rtl_gen.lib.handshake import can_move

DATA_WIDTH = 8 * WORD_BYTES
OKAY, SLVERR = 0b00, 0b10


def fields_of(table: Sequence[Register], *kinds: Access) -> Iterator[tuple[Register, Field, str]]:
    """(register, field, name of the field in the register file's ports) of each field with one of these accesses."""
    for register in table:
        for field in register.fields:
            if field.access in kinds:
                name = register.name if register.whole else f"{register.name}_{field.name}"
                yield register, field, name.lower()


def field_layout(table: Sequence[Register], *kinds: Access) -> data.StructLayout:
    """One member a field with one of these accesses."""
    return data.StructLayout({name: field.width for _, field, name in fields_of(table, *kinds)})


def write_layout() -> data.StructLayout:
    """The W channel: `data`, and `strb`, which of its bytes count."""
    return data.StructLayout({"data": DATA_WIDTH, "strb": WORD_BYTES})


def read_layout() -> data.StructLayout:
    """The R channel."""
    return data.StructLayout({"data": DATA_WIDTH, "resp": 2})


def strobed(strb: Value) -> Value:
    """A bit of the data word for each bit that is written."""
    return Cat(bit.replicate(8) for bit in strb)


class RegisterFile(wiring.Component):
    """The registers of `table`.

    Parameters
    ----------
    table : registers; a field with `w1c` or `pulse` is one bit

    Members
    -------
    aw, ar : In(stream of an address); w : In(stream of write_layout); b : Out(stream of a response); r : Out(stream of
        read_layout)
    state : In, values of the `ro` fields
    held : Out, values of the `rw` and `w1c` fields
    set : In, which `w1c` bits are set in this cycle; setting one wins over clearing it
    pulse : Out, 1 in the cycle in which a `pulse` bit is written
    excess : Out, in this cycle a register with `rw` fields is written with ones beyond them

    A byte whose strobe is 0 is not written. An address that is unaligned or not in the table, and a write to a register
    that has nothing to write, is answered with SLVERR and does nothing; such a read gives 0.
    """

    def __init__(self, table: Sequence[Register]) -> None:
        self.table = tuple(table)
        super().__init__({
            "aw": In(stream.Signature(ADDRESS_WIDTH)), "w": In(stream.Signature(write_layout())),
            "b": Out(stream.Signature(2)), "ar": In(stream.Signature(ADDRESS_WIDTH)),
            "r": Out(stream.Signature(read_layout())),
            "state": In(field_layout(table, "ro")), "held": Out(field_layout(table, "rw", "w1c")),
            "set": In(field_layout(table, "w1c")), "pulse": Out(field_layout(table, "pulse")), "excess": Out(1),
        })

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        self._write(m)
        self._read(m)
        return m

    def _write(self, m: Module) -> None:
        address, address_valid = self._holder(m, self.aw, "write_address")
        word, word_valid = self._holder(m, self.w, "write_word")
        write = Signal()
        m.d.comb += write.eq(address_valid & word_valid & can_move(self.b.valid, self.b.ready))
        strobe = Signal(DATA_WIDTH)
        written = Signal(DATA_WIDTH)
        m.d.comb += strobe.eq(strobed(word.strb))
        m.d.comb += written.eq(word.data & strobe)
        for _, _, name in fields_of(self.table, "w1c"):
            with m.If(self.set[name]):
                m.d.sync += self.held[name].eq(1)
        writable = [register for register in self.table if register.writable]
        known = self._decoded(m, address, writable, "written")
        for register, hit in zip(writable, known, strict=True):
            with m.If(write & hit):
                self._write_fields(m, register, written, strobe)
        with m.If(self.b.ready):
            m.d.sync += self.b.valid.eq(0)
        with m.If(write):
            m.d.sync += [self.b.valid.eq(1), self.b.payload.eq(Mux(known.any(), OKAY, SLVERR)), address_valid.eq(0),
                         word_valid.eq(0)]

    def _write_fields(self, m: Module, register: Register, written: Value, strobe: Value) -> None:
        rest = (1 << DATA_WIDTH) - 1
        for _, field, name in fields_of((register,), "rw", "w1c", "pulse"):
            bits = slice(field.low, field.low + field.width)
            rest &= ~field.mask
            if field.access == "rw":
                kept = self.held[name] & ~strobe[bits]
                m.d.sync += self.held[name].eq(kept | written[bits])
            elif field.access == "w1c":
                with m.If(written[bits] & ~self.set[name]):
                    m.d.sync += self.held[name].eq(0)
            else:
                m.d.comb += self.pulse[name].eq(written[bits])
        if any(field.access == "rw" for field in register.fields):
            m.d.comb += self.excess.eq((written & rest).any())

    def _read(self, m: Module) -> None:
        address, address_valid = self._holder(m, self.ar, "read_address")
        known = self._decoded(m, address, self.table, "read")
        words = [Mux(hit, self._word(register), 0) for register, hit in zip(self.table, known, strict=True)]
        with m.If(self.r.ready):
            m.d.sync += self.r.valid.eq(0)
        with m.If(address_valid & can_move(self.r.valid, self.r.ready)):
            m.d.sync += [self.r.valid.eq(1), self.r.payload.data.eq(reduce(or_, words)),
                         self.r.payload.resp.eq(Mux(known.any(), OKAY, SLVERR)), address_valid.eq(0)]

    def _word(self, register: Register) -> Value:
        """What a register reads."""
        parts: list[Value] = []
        at = 0
        for _, field, name in fields_of((register,), "const", "ro", "rw", "w1c", "pulse"):
            value: Value = Const(0, field.width)
            if field.access == "const":
                value = Const(field.reset, field.width)
            elif field.access == "ro":
                value = self.state[name]
            elif field.access in ("rw", "w1c"):
                value = self.held[name]
            parts += [Const(0, field.low - at), value]
            at = field.low + field.width
        return Cat(*parts)

    @staticmethod
    def _decoded(m: Module, address: Value, table: Sequence[Register], name: str) -> Signal:
        """A bit for each register of a table: 1 where the address is its own."""
        known = Signal(len(table), name=f"{name}_register")
        m.d.comb += known.eq(Cat(address == register.offset for register in table))
        return known

    @staticmethod
    def _holder(m: Module, channel: stream.Interface, name: str) -> tuple[Signal, Signal]:
        """(register that holds a beat of a channel, whether it does)."""
        held = Signal(channel.signature.members["payload"].shape, reset_less=True, name=name)
        valid = Signal(name=f"{name}_valid")
        m.d.comb += channel.ready.eq(~valid)
        with m.If(channel.valid & ~valid):
            m.d.sync += [held.eq(channel.payload), valid.eq(1)]
        return held, valid
