"""A flush that takes effect in every state of the DMA's machines. A bench of its own, whose DUT has one more port, by
which it sees them; `tests/tb/test_dma.py` runs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import cocotb
from amaranth.hdl import Cat, Fragment, Module, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from cocotb.triggers import RisingEdge

from rtl_gen.dma.sequencer import State
from rtl_gen.dma.top import Npu
from stamp_hw.dma.image import Image
from stamp_hw.dma.params import DmaParams
from stamp_hw.engine.params import EngineParams
from tb.bench.harness import TOTALS
from tb.dma.bench import NpuBench, npu_test
from tb.dma.cases import DrawnLayer, chain
from tb.dma.halts import SMALL, partly
from tb.formal.checker import Elaborated, named_signals

PARAMETER_SETS = {"states": DmaParams(bus_width=64, burst_words=4, fifo_words=8, address_width=32, engine=EngineParams(
    rows=1, cols=8, lanes=2, axes=1, max_levels=2, max_k=16, max_tokens=16, act_slots=16, rescale_lanes=2, in_width=8,
    acc_width=24, recip_frac=8, z_frac=4, mul_stages=1))}
WORDS = 1
DRAWS = 20  # of a chain, until it goes through all states
_SIGNALS = {"halted": "halt.halted", "state": "sequencer.state", "words": "write_port.count",
            "granted": "write_port.granted", "open": "write_port.open", "aw": "write_port.aw__valid",
            "w": "write_port.w__valid", "end": "write_port.bursts.end", "begin": "write_port.bursts.begin",
            "fill": "packer.gear.fill", "ended": "packer.gear.ended", "opened": "packer.gear.opened",
            "ar": "read_port.ar__valid", "owed": "read_port.on_their_way", "chain": "chain_reader.left",
            "act": "act_reader.left"}


class Now(NamedTuple):
    """The signals of `_SIGNALS` in a cycle."""

    halted: int
    state: int
    words: int
    granted: int
    open: int
    aw: int
    w: int
    end: int
    begin: int
    fill: int
    ended: int
    opened: int
    ar: int
    owed: int
    chain: int
    act: int


class Watched(wiring.Component):
    """`stamp_npu` with `probe`, the signals of `Now` side by side, the first one in the low bits.

    Attributes
    ----------
    widths : bits of each
    """

    def __init__(self, params: DmaParams) -> None:
        self._npu = Npu(params)
        self._fragment = Fragment.get(self._npu, None)
        signals = named_signals(self._fragment)
        seen = [Value.cast(signals[_SIGNALS[name]][0]) for name in Now._fields]
        self.widths = [len(signal) for signal in seen]
        self._seen = Cat(*seen)
        super().__init__({**self._npu.signature.members, "probe": Out(
            data.StructLayout(dict(zip(Now._fields, self.widths, strict=True))))})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        m.submodules.npu = Elaborated(self._fragment)
        for name, member in self._npu.signature.members.items():
            inner, outer = Value.cast(getattr(self._npu, name)), Value.cast(getattr(self, name))
            m.d.comb += inner.eq(outer) if member.flow is In else outer.eq(inner)
        m.d.comb += self.probe.as_value().eq(self._seen)
        return m


build = Watched


def _at(value: int) -> Callable[[Now], bool]:
    return lambda now: now.state == value


#: Machine and state → whether it is in it. The sequencer's are those of its own table.
STATES: dict[str, Callable[[Now], bool]] = {
    **{f"sequencer at {name}": _at(one.value) for name, one in State.__members__.items()},
    "packer empty": lambda now: not (now.fill or now.ended or now.opened),
    "packer in a token": lambda now: bool(now.opened),
    "packer behind a token's last beat": lambda now: bool(now.ended),
    "write port at rest": lambda now: not now.open and now.words == 1,
    "write port in a burst that is not whole": lambda now: now.words != 1,
    "write port with an address on offer": lambda now: bool(now.aw),
    "write port with a word on offer": lambda now: bool(now.w),
    "write port with nothing but a response to come":
        lambda now: bool(now.open and not now.granted and now.end == now.begin),
    "read port at rest": lambda now: not now.owed,
    "read port with an address on offer": lambda now: bool(now.ar),
    "read port with words on their way": lambda now: bool(now.owed and not now.ar),
    "a reader within a descriptor": lambda now: bool(now.chain),
    "a reader within a token": lambda now: bool(now.act),
}


@npu_test
async def a_flush_in_every_state_leaves_nothing_behind(bench: NpuBench) -> None:
    """A chain runs once to show in which cycle which state is; then for each state a flush is aimed at such a cycle."""
    bench.mood(0)
    log: list[Now] = []
    cocotb.start_soon(_record(bench, log))
    for _ in range(DRAWS):
        drawn, image = chain(bench.params, bench.rng, 2, **SMALL)
        first = (await _flushed(bench, log, image, drawn, 0))[1]  # the earliest cycle that a flush can be aimed at
        whole = await _whole(bench, log, image, drawn)
        places = {name: [cycle for cycle in range(first, len(whole)) if holds(whole[cycle])]
                  for name, holds in STATES.items()}
        if all(places.values()):
            break
    missed = [name for name, cycles in places.items() if not cycles]
    for name, cycles in places.items():
        if cycles:
            aim = int(bench.rng.choice(cycles))
            at, _ = await _flushed(bench, log, image, drawn, aim - first)
            missed += [] if STATES[name](at) else [name]
            again, other = chain(bench.params, bench.rng, 1, **SMALL)
            await bench.run(other, again, f"after a flush with the {name}, cycle {aim}")
    assert not missed, f"no flush took effect with the {', '.join(missed)}"


async def _record(bench: NpuBench, log: list[Now]) -> None:
    """Every cycle."""
    made = Watched(bench.params)
    made._MustUse__used = True  # only its widths are read; Amaranth warns of what is never elaborated
    while True:
        await RisingEdge(bench.dut.aclk)
        bits, found = int(bench.dut.probe.value), []
        for width in made.widths:
            found.append(bits & (1 << width) - 1)
            bits >>= width
        log.append(Now(*found))


async def _whole(bench: NpuBench, log: list[Now], image: Image, drawn: Sequence[DrawnLayer]) -> list[Now]:
    """The cycles of a chain, from the first one in which there is one to the first one at rest."""
    before = len(log)
    await bench.run(image, drawn, "the chain")
    busy = [cycle for cycle, one in enumerate(log) if cycle >= before and one.state]
    return log[busy[0] : busy[-1] + 2]


async def _flushed(bench: NpuBench, log: list[Now], image: Image, drawn: Sequence[DrawnLayer], wait: int
                   ) -> tuple[Now, int]:
    """Flush a chain so many cycles behind its start; the cycle in which the flush takes effect, and its number."""
    wanted = bench.fill(image, drawn)
    before, start = bench.memory.data.copy(), len(log)
    await bench.launch(image.base)
    await bench.cycles(wait)
    await bench.do(bench.calls.flush())
    await bench.ended()
    partly(bench, f"flushed after {wait} cycles", before, wanted)
    assert await bench.do(bench.calls.recover()) == ()
    begin = start + next(cycle for cycle, one in enumerate(log[start:]) if one.state)
    halted = begin + next(cycle for cycle, one in enumerate(log[begin:]) if one.halted)
    TOTALS.runs += 1
    return log[halted - 1], halted - 1 - begin
