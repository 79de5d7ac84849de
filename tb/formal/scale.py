"""The scale unit's ring buffer and the groups on their way through its divider: nothing over- or underflows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace as replace_fields

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data

from rtl_gen.scale.divider import group_layout, info_layout
from rtl_gen.scale.unit import Scale, job_layout
from stamp_hw.config import HwConfig
from stamp_hw.params import ScaleParams
from tb.formal import Property, known
from tb.formal.checker import Checker
from tb.run.fault import Fault, replace


def legal(job: data.View, params: ScaleParams) -> Value:
    """What the unit is promised of a job's registers."""
    return ((job.tokens != 0) & (job.group_beats != 0) & (job.group_beats <= job.beats)
            & (job.beats <= params.max_beats) & (job.tail != 0) & (job.tail <= params.lanes))


class Ring(Checker):
    """Every beat in the ring buffer belongs to the group that comes in or to one of those that wait or leave.

    Beside the groups on their way from the input to the output go the numbers of beats that are still to be read until
    a group has left: `until`, a register for each of theirs. They tell how far apart two groups are.
    """

    def __init__(self, params: ScaleParams) -> None:
        self.params = params
        super().__init__(Scale(params))

    def check(self, m: Module) -> None:
        params, unit = self.params, self.unit
        job = data.View(job_layout(params), self.internal("job"))
        running, used, waiting = (self.internal(name) for name in ("running", "used", "waiting"))
        group_beat, token_beat, read_beat = (self.internal(f"{name}_beat") for name in ("group", "token", "read"))
        accept, issue, taken = self.internal("accept"), self.internal("issue"), self.internal("divider.taken")
        self.given(m, ~unit.job.valid | legal(unit.job.payload, params))

        # the group that comes in
        self.must(m, ~running | legal(job, params))
        self.must(m, Mux(running, (token_beat < job.beats) & (group_beat < job.group_beats), token_beat == 0))
        self.must(m, group_beat <= token_beat)

        self.must(m, known.of_scale(self, params))

        # groups on their way, the last one first: each begins where the one before it ends
        count, before = Value.cast(0), Value.cast(0)
        for number, (exists, info, start, until) in enumerate(self._groups(m, used, issue)):
            beats = Signal(range(params.max_beats + 1), name=f"beats{number}")
            m.d.comb += beats.eq(info.beats + 1)
            self.must(m, ~exists | ((beats != 0) & (beats <= params.max_beats) & known.is_single(info)))
            if number == 0:
                self.must(m, ~exists | known.of_group(self, params))
                self.must(m, Mux(exists, (read_beat < beats) & (until == beats - read_beat), read_beat == 0))
                self.reached(m, exists & (read_beat != 0) & (waiting >= params.groups_in_flight))
            else:
                self.must(m, ~exists | ((start == before) & (until == start + beats)))
                count = count + exists
            before = Mux(exists, until, before)
        self.must(m, (used == before + group_beat) & (waiting == count))

        # so neither overflows, nothing is read that is not there, and the divider never has to refuse a group
        self.must(m, (used <= params.buffer_beats) & ~(accept & (used == params.buffer_beats)))
        self.must(m, ~issue | (used != 0))
        self.must(m, (waiting <= params.groups_in_flight) & (~taken | (waiting != 0)))
        self.must(m, ~(self.internal("tree.bound_valid") & self.internal("divider.range_valid")
                       & ~self.internal("divider.zeros_free")))
        write_at, read_at = self.internal("write_at"), self.internal("read_at")
        ahead = read_at + used
        self.must(m, (write_at < params.buffer_beats) & (read_at < params.buffer_beats))
        self.must(m, write_at == Mux(ahead >= params.buffer_beats, ahead - params.buffer_beats, ahead))
        self.reached(m, used == params.buffer_beats)

    def _groups(self, m: Module, used: Signal, issue: Signal) -> Iterator[tuple[Value, data.View, Signal, Signal]]:
        """(exists, info, `start`, `until`) of each place for a group, from the divider's output back to the input."""
        group_beat = self.internal("group_beat")
        levels = [f"level{level}" for level in range(1, self.params.tree_levels + 1)]
        places: list[tuple[Value, data.View, Value]] = []  # and when the group of the place before it moves there
        for name in ("input", *levels):
            valid = self.internal(f"tree.{name}_valid")
            places.append((valid & self.internal(f"tree.{name}_final"), self._info(f"tree.{name}"), Value.cast(1)))
        for name in ("run", "bound"):
            places.append((self.internal(f"tree.{name}_valid"), self._info(f"tree.{name}"), Value.cast(1)))
        for name, moved in (("range", "tree.bound_valid"), ("zeros", "divider.zeros_free"),
                            ("divide", "divider.divide_free")):
            places.append((self.internal(f"divider.{name}_valid"), self._group(f"divider.{name}_group").info,
                           self.internal(moved)))
        places.append((self.internal("divider.o__valid"), self._group("divider.result").info,
                       self.internal("divider.result_free")))
        ghosts: list[tuple[Signal, Signal]] = []
        sources: tuple[Value, Value] = (used - group_beat, used + 1)
        for number, (_, _, moves) in enumerate(places):
            pair = tuple(Signal(used.shape(), name=f"{name}{number}") for name in ("start", "until"))
            m.d.sync += [held.eq(Mux(moves, source, held) - issue) for held, source in zip(pair, sources, strict=True)]
            ghosts.append(pair)
            sources = pair
        for (exists, info, _), (start, until) in reversed(list(zip(places, ghosts, strict=True))):
            yield exists, info, start, until

    def _info(self, stage: str) -> data.View:
        return data.View(info_layout(self.params), self.internal(f"{stage}_info"))

    def _group(self, register: str) -> data.View:
        """A group in a register of the divider, which it begins with."""
        layout = group_layout(self.params)
        return data.View(layout, self.internal(register)[: layout.size])


class Waiting(Checker):
    """With blocks: the groups counted are those between the input and their quotients, so a group comes to the dividers
    where fewer than `groups_in_flight` have none, as `tb.formal.dividers` asks. What that shows of the cycle is given:
    one quotient at most, and no group refused.
    """

    def __init__(self, params: ScaleParams) -> None:
        self.params = params
        super().__init__(Scale(params))

    def check(self, m: Module) -> None:
        params, waiting, coming = self.params, self.internal("waiting"), self.internal("tree.bound_valid")
        job, running = data.View(job_layout(params), self.internal("job")), self.internal("running")
        self.given(m, ~self.unit.job.valid | legal(self.unit.job.payload, params))
        self.must(m, ~running | legal(job, params))
        token_end, group_full, ready = (self.internal(name) for name in ("token_end", "group_full", "i__ready"))
        crowded = (token_end | group_full) & (waiting == params.groups_in_flight)
        self.must(m, ~ready | (running & ~crowded))
        levels = ["input", *(f"level{level}" for level in range(1, params.tree_levels + 1))]
        in_tree = [self.internal(f"tree.{name}_valid") & self.internal(f"tree.{name}_final") for name in levels]
        in_tree += [self.internal("tree.run_valid"), coming]
        dividers = [f"dividers.divider{number}" for number in range(params.dividers)]
        without = sum(self.internal(f"{divider}.{name}_valid") for divider in dividers
                      for name in ("range", "zeros", "divide"))
        self.given(m, sum(self.internal(f"{divider}.taken") for divider in dividers) <= 1)
        for number, divider in enumerate(dividers):
            enters = coming & (self.internal("dividers.entering") == number)
            self.given(m, ~(enters & self.internal(f"{divider}.range_valid") & ~self.internal(f"{divider}.zeros_free")))
        self.must(m, (self.internal("dividers.entering") < params.dividers) & (waiting == sum(in_tree) + without))
        self.must(m, (waiting <= params.groups_in_flight) & (~coming | (without < params.groups_in_flight)))
        self.reached(m, coming & (waiting >= params.dividers + 1))


SMALL = ScaleParams(lanes=1, width=4, recip_frac=0, max_beats=8, mul_stages=1)
PROPERTIES = (
    Property(
        name="scale_ring", block="scale", build=Ring, params=ScaleParams.of(HwConfig()), small=SMALL, depth=2, cover=40,
        says="ring buffer and waiting groups never over- or underflow, and the divider never has to refuse a group",
        bug=Fault(name="take_a_fourth_group", block="scale", why="a group is taken in while three of them wait",
                  edit=replace("waiting == 2'd3", "waiting > 2'd3")), bug_depth=12, seconds=90),
    Property(
        name="scale_waiting", block="scale", build=Waiting, params=ScaleParams.of(HwConfig(block=64)),
        small=replace_fields(SMALL, block_beats=8), depth=1, cover=10,
        says="with blocks a group comes to the dividers where fewer than three for each of them have no quotient",
        bug=Fault(name="beats_are_counted", block="scale", why="every beat of a group is counted as a group",
                  edit=replace("{2'd0, events_buffer_writes & group_end}", "{2'd0, events_buffer_writes}")),
        bug_depth=8, seconds=10),
)
