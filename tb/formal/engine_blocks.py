"""The engine's gates in hardware with blocks: blocks and array tiles end as far apart as array and combine unit need,
and no T is written, or read to be added to, in the bank that is being read.
"""

from __future__ import annotations

from dataclasses import replace

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data

from rtl_gen.combine import place_layout, read_layout
from stamp_hw.config import HwConfig
from stamp_hw.engine.params import EngineParams
from tb.formal import BOUND, Property, known
from tb.formal.engine import OfEngine, all_but
from tb.formal.streams import TINY
from tb.run.fault import Fault


class Ends(OfEngine):
    """`min_tile_cycles` between the last steps of two blocks, `min_read_cycles` between those of two array tiles."""

    def check(self, m: Module) -> None:
        params, ends, last = self.params, self.internal("issue.block_issued"), self.internal("issue.last_")
        blocks = self._apart(m, "block", ends, params.mac.min_tile_cycles, self.internal("issue.gap"))
        tiles = self._apart(m, "tile", ends & last, params.min_read_cycles, self.internal("issue.read_gap"))
        _, may_go = known.of_step(self, m)
        may_end = last & may_go
        self.must(m, ~may_end | (tiles == params.min_read_cycles))
        self.reached(m, ends & last & (tiles == params.min_read_cycles))
        self.reached(m, ends & ~last & (blocks == params.mac.min_tile_cycles))

    def _apart(self, m: Module, name: str, ends: Value, least: int, gap: Signal) -> Signal:
        """Cycles since the last end, `least` at most; there it must be when the next one comes."""
        age = Signal(range(least + 1), init=least, name=f"age_of_{name}")
        m.d.sync += age.eq(Mux(ends, 1, Mux(age == least, least, age + 1)))
        self.must(m, (age != 0) & (age <= least))
        self.must(m, gap.as_signed() == least - age - 1)
        self.must(m, ~ends | (age == least))
        return age


class Banks(OfEngine):
    """The place of each of the last sums, by how many cycles ago column 0 had it: column c works on it c later."""

    def check(self, m: Module) -> None:
        params, unit = self.params, self.params.combine
        place = data.View(place_layout(unit), self.internal("drain.place"))
        reads = self.internal("drain.reads")
        bank = data.View(read_layout(unit), self.internal("drain.read")).bank
        adds_at, written_at = 1 + unit.mul_stages, unit.latency
        before: list[data.View] = [place]
        for number in range(1, written_at + params.cols):
            late = Signal(place_layout(unit), name=f"place{number}")
            m.d.sync += late.eq(before[-1])
            before.append(late)
        for column in range(params.cols):
            adds, writes = before[adds_at + column], before[written_at + column]
            self.must(m, ~(reads & adds.valid & ~adds.first & (adds.bank == bank)))
            self.must(m, ~(reads & writes.valid & (writes.bank == bank)))
        self.must(m, ~self.internal("drain.internal"))
        self.reached(m, reads & before[written_at].valid & (before[written_at].bank != bank))


LINE = EngineParams.of(replace(TINY, cols=2, block=1))  # two T a token, read one by one, which takes longer than a tile
DEFAULT = EngineParams.of(HwConfig(block=64))
PROPERTIES = (
    Property(
        name="engine_block_ends", block="engine_issue", build=Ends, params=DEFAULT, small=LINE,
        free=all_but("issue"), depth=1, cover=25,
        says="blocks end at least min_tile_cycles apart, and array tiles min_read_cycles",
        bug=Fault(name="forget_the_block_gap", block="engine", why="blocks end so closely that their drains meet",
                  patch=("rtl_gen.engine.issue.block_gap", lambda params: 1)), bug_depth=15, seconds=10),
    Property(
        name="engine_combine_banks", block="engine_issue", build=Banks, params=LINE, mode=BOUND,
        free=(*all_but("issue", "mac", "drain"), "stamp_pe", "stamp_rescale_lane", "stamp_combine_column"), depth=32,
        cover=25, says="no T is written, or read to be added to, in the bank that is read, and no queue of the drain "
                       "breaks",
        bug=Fault(name="forget_the_tile_gap", block="engine", why="a tile ends before the combine unit has a bank",
                  patch=("rtl_gen.engine.issue.tile_gap", lambda params: 1)), bug_depth=32, seconds=60),
)
