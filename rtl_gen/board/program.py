"""What a board does, as instructions in a memory: a run of the layer, and its report over the serial line.

The machine (`rtl_gen.board.runner`) has one number, `value`, and one verdict, `failed`. `said` runs a program with the
numbers it would find, and gives the text that the line must carry.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from amaranth.lib import enum

from rtl_gen.axi.registers import events
from rtl_gen.dma.registers import npu_registers
from stamp_hw.dma.params import DmaParams

OP_WIDTH, ADDRESS_WIDTH, DATA_WIDTH = 4, 12, 32
WIDTH = OP_WIDTH + ADDRESS_WIDTH + DATA_WIDTH
CYCLES, WRONG = "cycles", "mismatches"  # numbers that are in no register
END_OF_LINE = "\r\n"


class Op(enum.Enum, shape=OP_WIDTH):  # type: ignore[call-arg]  # which Amaranth's metaclass takes
    """What an instruction does."""

    END = 0  # wait for the button, then begin anew
    SAY = 1  # send the byte `data`
    SAY_PASSED = 2  # the same, unless failed
    SAY_FAILED = 3  # the same, if failed
    WRITE = 4  # write `data` into the register at `address`; cycles are counted from when it is on the bus
    WAIT = 5  # until the interrupt; failed if `data` cycles pass without
    READ = 6  # value = the register at `address`
    CYCLES = 7  # value = cycles that the last WAIT took
    WRONG = 8  # value = mismatches of the last CHECK
    SHOW = 9  # send value in decimal digits
    EXPECT = 10  # failed unless value is `data`
    FILL = 11  # make the wanted words wrong in the memory; `data` is first word << 16 | words
    CHECK = 12  # compare them


class Instruction(NamedTuple):
    """One word of the program."""

    op: Any  # an Op, which Amaranth's metaclass makes
    data: int = 0
    address: int = 0

    @property
    def word(self) -> int:
        """Its bits: `data` the lowest, then `address`, then `op`."""
        return self.data | self.address << DATA_WIDTH | int(self.op.value) << DATA_WIDTH + ADDRESS_WIDTH


class Report(NamedTuple):
    """A board's report: its first lines, the words of the results (first, count) in the memory, how many results
    there are, the cycles from START to the interrupt, the totals of events that are shown, by name, and the cycles
    after which a run is given up."""

    head: Sequence[str]
    words: tuple[int, int]
    results: int
    cycles: int
    events: Mapping[str, int]
    limit: int


def program(params: DmaParams, chain: int, report: Report) -> tuple[Instruction, ...]:
    """A run of the chain at an address, and its report."""
    register = {one.name: one for one in npu_registers(params)}

    def write(name: str, data: int) -> Instruction:
        return Instruction(Op.WRITE, data, register[name].offset)

    def mask(name: str, *fields: str) -> int:
        return sum(field.mask for field in register[name].fields if field.name in fields)

    first, count = report.words
    words = first << 16 | count
    made = [Instruction(Op.FILL, words)]
    for name, data in (("ERROR", 0xFFFFFFFF), ("IRQ_STATUS", mask("IRQ_STATUS", "done", "layer")),
                       ("IRQ_ENABLE", mask("IRQ_ENABLE", "done", "error")), ("CTRL", mask("CTRL", "clear_events")),
                       ("CHAIN_LOW", chain & 0xFFFFFFFF), ("CHAIN_HIGH", chain >> 32), ("START", 1)):
        made.append(write(name, data))
    made += [Instruction(Op.WAIT, report.limit), Instruction(Op.CHECK, words)]
    for line in report.head:
        made += say(line + END_OF_LINE)
    made += [*say(f"results {report.results}{END_OF_LINE}"), *say(f"{WRONG} "), Instruction(Op.WRONG),
             Instruction(Op.SHOW), Instruction(Op.EXPECT, 0), *say(f"{END_OF_LINE}{CYCLES} "), Instruction(Op.CYCLES),
             Instruction(Op.SHOW), Instruction(Op.EXPECT, report.cycles), *say(f"{END_OF_LINE}error "),
             Instruction(Op.READ, 0, register["ERROR"].offset), Instruction(Op.SHOW), Instruction(Op.EXPECT, 0),
             *say(END_OF_LINE)]
    numbers = {name: number for number, name in enumerate(events(params.engine))}
    for name, total in report.events.items():
        made += [*say(f"{name} "), write("EVENT_SELECT", numbers[name]),
                 Instruction(Op.READ, 0, register["EVENT_LOW"].offset), Instruction(Op.SHOW),
                 Instruction(Op.EXPECT, total), *say(END_OF_LINE)]
    made += [*say(f"PASS{END_OF_LINE}", Op.SAY_PASSED), *say(f"FAIL{END_OF_LINE}", Op.SAY_FAILED), Instruction(Op.END)]
    return tuple(made)


def say(text: str, op: Any = Op.SAY) -> list[Instruction]:
    """A character an instruction."""
    return [Instruction(op, byte) for byte in text.encode("ascii")]


def said(report: Report) -> str:
    """What the line carries of a run that passes."""
    numbers = {"results": report.results, WRONG: 0, CYCLES: report.cycles, "error": 0, **report.events}
    return "".join(line + END_OF_LINE for line in (*report.head, *_numbered(numbers), "PASS"))


def _numbered(numbers: Mapping[str, int]) -> Iterator[str]:
    return (f"{name} {number}" for name, number in numbers.items())
