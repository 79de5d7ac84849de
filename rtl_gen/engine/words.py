"""Behind a drain: sums meet their token and their channel in the rescale unit, and become words of the output buffer
(docs/contract.md §3.6, §4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, memory

from rtl_gen.engine.layouts import factor_layout
from rtl_gen.lib.delay import delayed, late
from rtl_gen.rescale import Rescale
from stamp_hw.engine.params import PARAMETER_SETS


def factor_table(symmetric: Value, hi: Value) -> Value:
    """1 where a token takes the second table: a 4-bit one in symmetric mode."""
    return symmetric & ~hi


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """A beat that drains: its tile, its `chunk` of the columns, whether it is a token's, whether it `ends` its tile."""

    tile: data.View
    chunk: Signal
    is_token: Signal
    ends: Signal


def factors(m: Module, drain: Any, drained: Drained) -> list[data.View]:
    """The factors of the beat's channels, a cycle later; a memory for each lane."""
    params, layout = drain.params, factor_layout(drain.params)
    depth = PARAMETER_SETS << len(drained.chunk)
    words = []
    for lane in range(params.rescale_lanes):
        store = m.submodules[f"factors{lane}"] = memory.Memory(shape=layout, depth=depth, init=[])
        write, read = store.write_port(), store.read_port()
        m.d.comb += [write.en.eq(drain.parameter_en & (drain.channel.lane == lane)),
                     write.addr.eq(Cat(drain.channel.chunk, drain.channel.set)),
                     read.addr.eq(Cat(drained.chunk, drained.tile.set)), read.en.eq(1)]
        m.d.comb += [write.data[name].eq(drain.parameter[name]) for name in layout.members]
        words.append(read.data)
    return words


def words(m: Module, drain: Any, drained: Drained, unit: Rescale, sums: Callable[[], Value],
          wsum: Callable[[Value], Value] = lambda wsum: wsum) -> None:
    """The rescale unit, and what its words belong to in a line of registers beside it. What the memories give passes a
    register, since on an FPGA their read alone takes most of a cycle, and another one once it is chosen.

    Parameters
    ----------
    drain : the component, with `parameter_en`, `channel`, `parameter`, `token` and `word`
    sums : what is rescaled, three cycles after `drained`
    wsum : what the rescale unit takes of a channel's sum of weights, a cycle before
    """
    found = [late(m, f"factor{lane}", word) for lane, word in enumerate(factors(m, drain, drained))]
    tile, into = drained.tile, unit.i
    symmetric = delayed(m, "symmetric", tile.symmetric, 2)
    table = Signal()
    token = late(m, "token_late", drain.token)
    m.d.comb += [
        into.valid.eq(delayed(m, "valid_late", drained.is_token, 3, control=True)),
        into.payload.acc.eq(sums()),
        table.eq(factor_table(symmetric, drain.token.hi)),
        into.payload.symmetric.eq(late(m, "symmetric_late", symmetric)),
        into.payload.last.eq(0),
        unit.o.ready.eq(1),
    ]
    m.d.comb += [into.payload[name].eq(token[name]) for name in ("lo", "span", "hi", "sink_shift")]
    for lane, factor in enumerate(found):
        chosen = {"wsum": wsum(factor.wsum), "mant": Mux(table, factor.mant1, factor.mant0),
                  "shift": Mux(table, factor.shift1, factor.shift0)}
        m.d.comb += [into.payload[name][lane].eq(late(m, f"{name}{lane}", value)) for name, value in chosen.items()]
    ends_late = delayed(m, "ends_late", drained.ends & tile.pass_ends, 3, control=True)
    place = Cat(delayed(m, "half_late", tile.set[0], 3), token.place, delayed(m, "chunk_late", drained.chunk, 3))
    word, latency = drain.word, drain.params.rescale.latency
    m.d.comb += [
        word.z.eq(unit.o.payload.z),
        word.valid.eq(unit.o.valid),
        word.ends.eq(delayed(m, "ends_line", ends_late, latency, control=True)),
        Cat(word.half, word.place, word.chunk).eq(delayed(m, "place_line", place, latency)),
    ]
