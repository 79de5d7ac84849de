"""The AXI ports around the engine, whatever the engine does: beats on offer stay, no answer and no job is lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from amaranth.hdl import Cat, ClockSignal, Const, DomainRenamer, Module, Mux, ResetSignal, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import Out

from rtl_gen.axi.lite import field_layout
from rtl_gen.axi.registers import registers
from rtl_gen.axi.top import EngineAxi
from rtl_gen.engine.layouts import output_layout
from stamp_hw.engine.params import EngineParams
from tb.formal import Property
from tb.formal.checker import Checker
from tb.formal.streams import HW
from tb.run.fault import Fault

ENGINE = "stamp_engine"


class Port(NamedTuple):
    """A stream made of single signals."""

    payload: Value
    valid: Value
    ready: Value


class Clocked(wiring.Component):
    """A top with AXI ports on the checker's clock and reset in place of its own two ports."""

    def __init__(self, top: wiring.Component) -> None:
        self._axi: Any = top
        members = dict(self._axi.signature.members)
        del members["aclk"], members["aresetn"]
        super().__init__(members)

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        m.submodules.axi = DomainRenamer("axi")(self._axi)
        m.d.comb += [self._axi.aclk.eq(ClockSignal()), self._axi.aresetn.eq(~ResetSignal())]
        for name, member in self.signature.members.items():
            inner, outer = Value.cast(getattr(self._axi, name)), Value.cast(getattr(self, name))
            m.d.comb += outer.eq(inner) if member.flow is Out else inner.eq(outer)
        return m


class Edge(Checker):
    """The AXI ports with any engine behind them: `axi` is the top in the names of the unit's signals."""

    def __init__(self, params: Any, top: Callable[[Any], wiring.Component] = EngineAxi,
                 ghost: dict[str, Any] | None = None) -> None:
        self.params = params
        super().__init__(Clocked(top(params)), ghost)

    def axis(self, name: str, *fields: str) -> Port:
        """The AXI stream or channel of that prefix, with these fields as its payload."""
        def part(field: str) -> Value:
            return Value.cast(getattr(self.unit, f"{name}{field}"))
        return Port(Cat(part(field) for field in fields), part("valid"), part("ready"))


class Results(Edge):
    """A waiting result stays as it is, with everything that goes along."""

    def check(self, m: Module) -> None:
        self.must(m, self.stalls(m, self.axis("m_axis_out_t", "data", "keep", "last", "user"), "out"))


class Halts(Edge):
    """What a halt leaves behind: no beat, no job, no packet without its end."""

    def check(self, m: Module) -> None:
        out, halted = self.axis("m_axis_out_t", "last"), self.internal("axi.halt.halted")
        was_halted, unended = Signal(), Signal()
        m.d.sync += was_halted.eq(halted)
        with m.If(out.valid & out.ready):
            m.d.sync += unended.eq(~out.payload)
        beat = output_layout(self.params)
        slice_ = "axi.m_axis_out_slice"
        held, spare = (data.View(beat, self.internal(f"{slice_}.{name}")) for name in ("o__payload", "spare"))
        spare_valid, is_open = self.internal(f"{slice_}.spare_valid"), self.internal("axi.results.open")
        newest = Mux(spare_valid, spare.last, held.last)
        self.must(m, ~spare_valid | out.valid)
        self.must(m, is_open == Mux(out.valid, ~newest, unended))
        beats = Cat(self.internal(f"axi.s_axis_{name}_slice.{valid}") for name in ("act", "wgt", "par")
                    for valid in ("o__valid", "spare_valid"))
        self.must(m, ~was_halted | ~beats.any() & ~self.internal("axi.pending"))
        self.must(m, ~(was_halted & ~halted) | ~out.valid & ~unended)
        self.reached(m, was_halted & ~halted)


class Answers(Edge):
    """A waiting answer stays as it is, and each address that was taken, with its word, gets one."""

    def check(self, m: Module) -> None:
        b, r = self.axis("s_axil_b", "resp"), self.axis("s_axil_r", "data", "resp")
        self.must(m, self.stalls(m, b, "b") & self.stalls(m, r, "r"))
        for taken, held, answer in (("aw", "write_address", b), ("w", "write_word", b), ("ar", "read_address", r)):
            port = self.axis(f"s_axil_{taken}")
            owed = Signal(2, name=f"{taken}_owed")
            m.d.sync += owed.eq(owed + (port.valid & port.ready) - (answer.valid & answer.ready))
            self.must(m, owed == self.internal(f"axi.registers.{held}_valid") + answer.valid)
            self.must(m, ~(answer.valid & answer.ready) | (owed != 0))
        self.reached(m, b.valid & (b.payload == 0) & r.valid & self.internal("axi.registers.read_address_valid"))


class Jobs(Edge):
    """A job that START handed over waits unchanged until the engine takes it or is halted."""

    def check(self, m: Module) -> None:
        table = registers(self.params)
        pending, sent = self.internal("axi.pending"), Value.cast(self.internal("axi.sent"))
        taken = data.View(field_layout(table, "w1c"), self.internal("axi.set")).irq_status_taken
        start = data.View(field_layout(table, "pulse"), self.internal("axi.registers.pulse")).start_start
        waited, before = Signal(), Signal.like(sent)
        m.d.sync += [waited.eq(pending & ~taken & ~self.internal("axi.halt.halted")), before.eq(sent)]
        self.must(m, (~taken | pending) & (~waited | (pending & (sent == before))))
        self.reached(m, waited & start & sent.any())


DEFAULT = EngineParams.of(HW)
PROPERTIES = (
    Property(
        name="axi_results_hold", block="axi", build=Results, params=DEFAULT, free=(ENGINE,), depth=2, cover=8,
        says="a result on the AXI4-Stream stays, with TKEEP, TLAST and TUSER, until it is taken",
        bug=Fault(name="overwrite_a_waiting_beat", block="axi", why="a register slice loads while its beat waits",
                  patch=("rtl_gen.axi.stream.can_move", lambda valid, ready: Const(1))), bug_depth=8, seconds=10),
    Property(
        name="axi_halts", block="axi", build=Halts, params=DEFAULT, free=(ENGINE,), depth=2, cover=10,
        says="a halt ends with no beat at an input, no job that waits, and every packet of results ended and taken",
        bug=Fault(name="leave_with_results", block="axi", why="a halt ends while results wait",
                  patch=("rtl_gen.axi.halt.stays_halted", lambda flush, stands, drained: flush | stands)), bug_depth=12,
        seconds=20),
    Property(
        name="axi_answers", block="axi", build=Answers, params=DEFAULT, free=(ENGINE,), depth=2, cover=8,
        says="every AXI4-Lite read and write gets one answer, which stays until it is taken",
        bug=Fault(name="overwrite_an_answer", block="axi", why="the next answer is given while one waits",
                  patch=("rtl_gen.axi.lite.can_move", lambda valid, ready: Const(1))), bug_depth=8, seconds=10),
    Property(
        name="axi_jobs", block="axi", build=Jobs, params=DEFAULT, free=(ENGINE,), depth=2, cover=10,
        says="a job that START handed over waits, unchanged, until the engine takes it or is halted",
        bug=Fault(name="overwrite_a_waiting_job", block="axi", why="START replaces the registers of a job that waits",
                  patch=("rtl_gen.axi.top.accepted", lambda start, waiting: start | Const(0))), bug_depth=10,
             seconds=10),
)
