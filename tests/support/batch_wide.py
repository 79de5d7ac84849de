"""Registers of every width that Verilator stores differently, side by side, and events of every kind of field."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Module, Mux, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from tb.batch.bench import BatchBench, batch_test
from tb.bench.harness import Expect, Feed
from tb.bench.patterns import throttles

EVENTS = data.StructLayout({"taken": 4, "change": signed(5), "wide": signed(63), "lanes": data.ArrayLayout(7, 9)})


@dataclass(frozen=True, slots=True, kw_only=True)
class WideParams:
    """Widths of the streams, in bits."""

    widths: tuple[int, ...]


def payload(width: int) -> data.StructLayout:
    """`width` bits: one, and fields of at most 61 bits."""
    fields = {"first": 1} if width % 61 else {}
    return data.StructLayout(fields | {f"f{place}": min(61, width - place) for place in range(len(fields), width, 61)})


class Wide(wiring.Component):
    """Each stream through a register of its own; `events` count what is taken, in every kind of field."""

    def __init__(self, params: WideParams) -> None:
        self.params = params
        members = {f"{side}_{width}": flow(stream.Signature(payload(width))) for width in params.widths
                   for side, flow in (("in", In), ("out", Out))}
        super().__init__(members | {"events": Out(EVENTS)})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        taken = 0
        for width in self.params.widths:
            source, sink = getattr(self, f"in_{width}"), getattr(self, f"out_{width}")
            m.d.comb += source.ready.eq(~sink.valid | sink.ready)
            with m.If(source.ready):
                m.d.sync += [sink.valid.eq(source.valid), sink.payload.eq(source.payload)]
            taken = taken + (source.valid & source.ready)
        m.d.comb += [self.events.taken.eq(taken), self.events.change.eq(-taken),
                     self.events.wide.eq(Mux(taken[0], -(1 << 53) - 3, 0))]
        m.d.comb += [lane.eq(taken * (number + 1)) for number, lane in enumerate(self.events.lanes)]
        return m


PARAMETER_SETS = {"wide": WideParams(widths=(1, 8, 9, 17, 33, 61, 64, 65, 129))}
build = Wide


@batch_test
async def every_width_passes_under_stalls(bench: BatchBench) -> None:
    """Values and events of many streams at once, each under patterns of its own."""
    feeds, expects, count = {}, {}, 200
    for width in bench.params.widths:
        valid, ready = throttles(bench.rng)
        layout = bench.ports[f"in_{width}"].layout
        fields = {leaf.name: bench.rng.integers(leaf.limits()[0], leaf.limits()[1], count, endpoint=True)
                  for leaf in layout.leaves}
        feeds[f"in_{width}"], expects[f"out_{width}"] = Feed(fields, valid), Expect(fields, ready)
    run = await bench.run(feeds, expects)
    for width in bench.params.widths:
        given, came = feeds[f"in_{width}"].fields, run.fields[f"out_{width}"]
        assert all(np.array_equal(given[name], came[name]) for name in given)
    taken = np.bincount(np.concatenate([run.timing[name] for name in feeds]))
    assert run.events == {"taken": count * len(feeds), "change": -count * len(feeds),
                          "wide": (-(1 << 53) - 3) * int(np.count_nonzero(taken % 2)),
                          "lanes": int(sum((taken * lane % 128).sum() for lane in range(1, 10)))}


@batch_test
async def an_unknown_stream_is_refused(bench: BatchBench) -> None:
    try:
        await bench.run({"out_1": Feed({})}, {})
    except ValueError as error:
        assert str(error) == "no such stream: ['out_1']"
    else:
        raise AssertionError("an output was fed")
