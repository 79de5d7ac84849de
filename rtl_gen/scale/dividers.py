"""Several dividers, which take groups in turn, so that groups follow each other faster than a quotient is made."""

from __future__ import annotations

from functools import reduce
from operator import or_

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.lib.bits import chosen, up_to
from rtl_gen.lib.counter import go_round
from rtl_gen.scale.divider import Divider, group_layout, result_layout
from stamp_hw.params import ScaleParams


class Dividers(wiring.Component):
    """As one `Divider`: group k goes to divider k mod `dividers`, and quotients leave in order.

    A group follows the one before it by a cycle at least, a division takes always as long, and a quotient waits for
    those before it only. So the dividers end their divisions in the order of the groups, one in a cycle: of up to
    3 · `dividers` groups between the sender's input and `taken` none has more than three, and `taken` is one bit.

    Parameters
    ----------
    params : ScaleParams, `dividers` ≥ 2

    Members
    -------
    group, valid : In, a group's range; never refused: the sender keeps at most `groups_in_flight` groups between its
        input and `taken`
    o : Out stream, the group with `recip` and `lz`, in the order of the groups; `reads`, `final_next` : In, as of one
    taken : Out, a quotient moved to its divider's output register
    step : Out, quotient bits that were made

    Latency: 2 + `recip_width` cycles. Throughput: `dividers` groups in `recip_width` cycles. Back-pressure: as of one.
    """

    def __init__(self, params: ScaleParams) -> None:
        self.params = params
        super().__init__({"group": In(group_layout(params)), "valid": In(1),
                          "o": Out(stream.Signature(result_layout(params))), "reads": In(1), "final_next": In(1),
                          "taken": Out(1), "step": Out(up_to(params.dividers))})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        count = self.params.dividers
        dividers = [Divider(self.params) for _ in range(count)]
        entering = Signal(range(count))  # the divider of the next group
        leaving = Signal(range(count))  # that of the next quotient
        for number, divider in enumerate(dividers):
            m.submodules[f"divider{number}"] = divider
            m.d.comb += [divider.group.eq(self.group), divider.valid.eq(self.valid & (entering == number)),
                         divider.o.ready.eq(self.o.ready & (leaving == number)),
                         divider.reads.eq(self.reads & (leaving == number)), divider.final_next.eq(self.final_next)]
        m.d.comb += [
            self.o.valid.eq(chosen([divider.o.valid for divider in dividers], leaving)),
            self.o.payload.eq(chosen([divider.o.payload.as_value() for divider in dividers], leaving)),
            self.taken.eq(reduce(or_, [divider.taken for divider in dividers])),
            self.step.eq(sum(divider.step for divider in dividers)),
        ]
        go_round(m, entering, count, self.valid)
        go_round(m, leaving, count, self.o.valid & self.o.ready)
        return m
