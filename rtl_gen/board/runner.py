"""The machine that runs a board's program (`rtl_gen.board.program`)."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.axi.lite import DATA_WIDTH
from rtl_gen.axi.registers import ADDRESS_WIDTH
from rtl_gen.board.checker import COUNT_WIDTH
from rtl_gen.board.decimal import DIGITS, Decimal
from rtl_gen.board.program import ADDRESS_WIDTH as PLACE_WIDTH
from rtl_gen.board.program import Op

ZERO = ord("0")


class State(enum.Enum, shape=unsigned(3)):  # type: ignore[call-arg]  # which Amaranth's metaclass takes
    """What an instruction is at."""

    FETCH = 0  # its address is at the memory
    BEGIN = 1  # it is there
    ACCESS = 2  # a register is being read or written
    PASS = 3  # the checker is at work
    CONVERT = 4
    DIGIT = 5
    DONE = 6  # the program is over


def instruction_layout() -> data.StructLayout:
    """A word of the program."""
    return data.StructLayout({"data": DATA_WIDTH, "address": PLACE_WIDTH, "op": Op})


class Runner(wiring.Component):
    """Parameters
    ----------
    address_width : bits of an instruction's address

    Members
    -------
    program_addr : Out, program_data : In, an instruction comes in the cycle behind its address
    write, read, address, data : Out, done, value : In, an access to a register (`rtl_gen.board.lite_master`)
    irq : In, the interrupt
    fill, check, first, count : Out, checking, wrong : In, of the checker (`rtl_gen.board.checker`)
    say : Out(stream of a byte), for the line
    again : In, in the cycle of its rise the program begins anew, once it is over
    running, failed : Out, the program is not over; what it says so far. runs : Out, how often it has begun anew

    An instruction takes two cycles and those of what it waits for.
    """

    def __init__(self, address_width: int) -> None:
        super().__init__({
            "program_addr": Out(address_width), "program_data": In(instruction_layout()),
            "write": Out(1), "read": Out(1), "address": Out(ADDRESS_WIDTH), "data": Out(DATA_WIDTH), "done": In(1),
            "value": In(DATA_WIDTH), "irq": In(1), "fill": Out(1), "check": Out(1), "first": Out(COUNT_WIDTH),
            "count": Out(COUNT_WIDTH), "checking": In(1), "wrong": In(DATA_WIDTH), "say": Out(stream.Signature(8)),
            "again": In(1), "running": Out(1), "failed": Out(1), "runs": Out(3)})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        m.submodules.decimal = decimal = Decimal()
        instruction = self.program_data
        state = Signal(State)
        at = Signal.like(self.program_addr, name="at")
        value, cycles = (Signal(DATA_WIDTH, name=name, reset_less=True) for name in ("number", "cycles"))
        counting, pressed, begun = Signal(), Signal(), Signal()
        digit = Signal(range(DIGITS))
        digits = Signal(4 * DIGITS, reset_less=True)
        over = Signal()  # the instruction is
        m.d.comb += [
            self.program_addr.eq(at), self.running.eq(state != State.DONE),
            self.address.eq(instruction.address), self.data.eq(instruction.data),
            Cat(self.count, self.first).eq(instruction.data),
            decimal.value.eq(value), self.say.payload.eq(instruction.data),
        ]
        m.d.sync += pressed.eq(self.again)
        with m.If(counting):
            m.d.sync += cycles.eq(cycles + 1)
        with m.Switch(state):
            with m.Case(State.FETCH):
                m.d.sync += state.eq(State.BEGIN)
            with m.Case(State.BEGIN), m.Switch(instruction.op):
                with m.Case(Op.SAY, Op.SAY_PASSED, Op.SAY_FAILED):
                    wanted = Mux(self.failed, instruction.op != Op.SAY_PASSED, instruction.op != Op.SAY_FAILED)
                    m.d.comb += [self.say.valid.eq(wanted), over.eq(self.say.ready | ~wanted)]
                with m.Case(Op.WRITE, Op.READ):
                    m.d.comb += [self.write.eq(instruction.op == Op.WRITE), self.read.eq(instruction.op == Op.READ)]
                    m.d.sync += [state.eq(State.ACCESS), cycles.eq(0), counting.eq(1)]
                with m.Case(Op.WAIT):
                    late = cycles == instruction.data
                    m.d.comb += over.eq(self.irq | late)
                    with m.If(over):
                        m.d.sync += [counting.eq(0), cycles.eq(cycles)]
                    with m.If(late & ~self.irq):
                        m.d.sync += self.failed.eq(1)
                with m.Case(Op.CYCLES):
                    m.d.comb += over.eq(1)
                    m.d.sync += value.eq(cycles)
                with m.Case(Op.WRONG):
                    m.d.comb += over.eq(1)
                    m.d.sync += value.eq(self.wrong)
                with m.Case(Op.EXPECT):
                    m.d.comb += over.eq(1)
                    with m.If(value != instruction.data):
                        m.d.sync += self.failed.eq(1)
                with m.Case(Op.SHOW):
                    m.d.comb += decimal.start.eq(1)
                    m.d.sync += state.eq(State.CONVERT)
                with m.Case(Op.FILL, Op.CHECK):
                    m.d.comb += [self.fill.eq(instruction.op == Op.FILL), self.check.eq(instruction.op == Op.CHECK)]
                    m.d.sync += state.eq(State.PASS)
                with m.Default():
                    m.d.sync += state.eq(State.DONE)
            with m.Case(State.ACCESS):
                m.d.comb += over.eq(self.done)
                with m.If(self.done & (instruction.op == Op.READ)):
                    m.d.sync += value.eq(self.value)
            with m.Case(State.PASS):
                m.d.comb += over.eq(~self.checking)
            with m.Case(State.CONVERT), m.If(~decimal.busy):
                m.d.sync += [state.eq(State.DIGIT), digits.eq(decimal.digits), digit.eq(DIGITS - 1), begun.eq(0)]
            with m.Case(State.DIGIT):
                # Zeros in front are not sent, but for the last digit.
                shown = begun | (digits[-4:] != 0) | (digit == 0)
                m.d.comb += [self.say.payload.eq(Cat(digits[-4:], Const(ZERO >> 4, 4))), self.say.valid.eq(shown),
                             over.eq((digit == 0) & self.say.ready)]
                with m.If(self.say.ready | ~shown):
                    m.d.sync += [digit.eq(digit - 1), digits.eq(Cat(Const(0, 4), digits)), begun.eq(shown)]
            with m.Case(State.DONE), m.If(self.again & ~pressed):
                m.d.sync += [state.eq(State.FETCH), at.eq(0), self.failed.eq(0), self.runs.eq(self.runs + 1)]
        with m.If(over):
            m.d.sync += [at.eq(at + 1), state.eq(State.FETCH)]
        return m
