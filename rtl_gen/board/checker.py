"""Compares a part of the memory with the words that must be there, and makes sure beforehand that they are not."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.board.axi_ram import ram_ports

RESULT_BITS = 16
COUNT_WIDTH = 16  # bits of a number of words


class Checker(wiring.Component):
    """Two passes over `count` words from `first` on: `fill` writes the complement of each wanted word, so that no
    result of an earlier run is taken for one of this run; `check` counts the results that differ.

    Members
    -------
    fill, check : In, begin; `first`, `count` : In, steady until the end
    busy : Out; wrong : Out, results of the last `check` that differ, of `RESULT_BITS` each
    want_addr : Out, want_data : In, the wanted words; they come in the cycle behind their address
    ram_* : as of `ram_ports`, of a RAM that nobody else uses while this is busy
    """

    def __init__(self, address_width: int, width: int) -> None:
        self.address_width, self.width = address_width, width
        ram = {f"ram_{name}": member for name, member in ram_ports(address_width, width).items()}
        super().__init__({
            "fill": In(1), "check": In(1), "first": In(COUNT_WIDTH), "count": In(COUNT_WIDTH), "busy": Out(1),
            "wrong": Out(32), "want_addr": Out(COUNT_WIDTH), "want_data": In(width), **ram})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        active, filling, come, compared = (Signal(name=name) for name in ("active", "filling", "come", "compared"))
        number = Signal(COUNT_WIDTH, reset_less=True)
        place, before = (Signal(self.address_width, name=name, reset_less=True) for name in ("place", "before"))
        got, wanted = (Signal(self.width, name=name, reset_less=True) for name in ("got", "wanted"))
        lanes = self.width // RESULT_BITS
        differ = Signal(lanes)
        m.d.comb += [
            self.busy.eq(active | come | compared), self.want_addr.eq(number),
            self.ram_read_en.eq(1), self.ram_read_addr.eq(place),
            self.ram_write_addr.eq(before), self.ram_write_data.eq(~self.want_data),
            self.ram_write_strb.eq((come & filling).replicate(self.width // 8)),
            *(differ[lane].eq(got.word_select(lane, RESULT_BITS) != wanted.word_select(lane, RESULT_BITS))
              for lane in range(lanes)),
        ]
        with m.If(self.fill | self.check):
            m.d.sync += [active.eq(1), filling.eq(self.fill), number.eq(0), place.eq(self.first), self.wrong.eq(0)]
        with m.If(active):
            m.d.sync += [number.eq(number + 1), place.eq(place + 1), active.eq(number + 1 != self.count)]
        m.d.sync += [come.eq(active), before.eq(place), compared.eq(come & ~filling), got.eq(self.ram_read_data),
                     wanted.eq(self.want_data)]
        with m.If(compared):
            m.d.sync += self.wrong.eq(self.wrong + sum(Cat(differ)[lane] for lane in range(lanes)))
        return m
