"""`stamp_board`: `stamp_npu` in front of a memory in block RAM, and what runs its layer and reports.

    program → runner → registers of stamp_npu, checker → serial line
                       stamp_npu → AXI4 → RAM ← checker ← wanted words

The memories are outside, since their contents are files: `rtl_gen.board.ulx3s` puts them, clock and pins around it.
"""

from __future__ import annotations

from amaranth.hdl import Cat, ClockSignal, Module, Mux, ResetSignal, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.board.axi_ram import AxiRam, ram_ports
from rtl_gen.board.checker import Checker
from rtl_gen.board.lite_master import LiteMaster
from rtl_gen.board.params import BoardParams
from rtl_gen.board.program import WIDTH
from rtl_gen.board.runner import Runner
from rtl_gen.board.uart import Uart
from rtl_gen.dma.top import Npu
from rtl_gen.tops import NPU_TOP
from rtl_gen.verilog.emit import Shared

LEDS = {"alive": 0, "running": 1, "passed": 2, "failed": 3, "sending": 4, "runs": 5}  # the last one has three
HEARTBEAT_WIDTH = 25  # bits of the counter whose highest one blinks


class Board(wiring.Component):
    """Runs the program once reset is over, and again at every press of the button.

    Parameters
    ----------
    params : BoardParams

    Members
    -------
    button : In, high while it is pressed; asynchronous
    tx : Out, the serial line
    led : Out, the bits of `LEDS`
    ram_* : of `ram_ports`
    want_addr, program_addr : Out, want_data, program_data : In, as of `Checker` and `Runner`
    """

    def __init__(self, params: BoardParams) -> None:
        self.params = params
        ram = ram_ports(params.ram_width, params.npu.bus_width)
        super().__init__({
            "button": In(1), "tx": Out(1), "led": Out(8), **{f"ram_{name}": member for name, member in ram.items()},
            "want_addr": Out(params.want_width), "want_data": In(params.npu.bus_width),
            "program_addr": Out(params.program_width), "program_data": In(WIDTH)})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        params = self.params
        m.submodules.npu = npu = Shared(lambda: Npu(params.npu), NPU_TOP)
        m.submodules.ram = ram = AxiRam(params.npu, params.ram_width)
        m.submodules.compare = checker = Checker(params.ram_width, params.npu.bus_width)
        m.submodules.master = master = LiteMaster()
        m.submodules.runner = runner = Runner(params.program_width)
        m.submodules.uart = uart = Uart(params.divisor)
        m.d.comb += [npu.aclk.eq(ClockSignal()), npu.aresetn.eq(~ResetSignal())]
        for outer, inner, turned in ((npu, ram, ("m_axi", "s_axi")), (master, npu, ("m_axil", "s_axil"))):
            connect(m, outer, inner, *turned)
        wiring.connect(m, runner.say, uart.i)
        m.d.comb += [
            self.tx.eq(uart.tx), self.program_addr.eq(runner.program_addr),
            runner.program_data.as_value().eq(self.program_data),
            master.write.eq(runner.write), master.read.eq(runner.read), master.address.eq(runner.address),
            master.data.eq(runner.data), runner.done.eq(master.done), runner.value.eq(master.value),
            runner.irq.eq(npu.irq), checker.fill.eq(runner.fill), checker.check.eq(runner.check),
            checker.first.eq(runner.first), checker.count.eq(runner.count), runner.checking.eq(checker.busy),
            runner.wrong.eq(checker.wrong), self.want_addr.eq(checker.want_addr),
            checker.want_data.eq(self.want_data),
        ]
        # The checker is at work while the chain is not.
        for name in ("read_en", "read_addr", "write_addr", "write_strb", "write_data"):
            own, bus = getattr(checker, f"ram_{name}"), getattr(ram, f"ram_{name}")
            m.d.comb += getattr(self, f"ram_{name}").eq(Mux(checker.busy, own, bus))
        m.d.comb += [checker.ram_read_data.eq(self.ram_read_data), ram.ram_read_data.eq(self.ram_read_data)]
        self._button_and_lamps(m, runner, uart)
        return m

    def _button_and_lamps(self, m: Module, runner: Runner, uart: Uart) -> None:
        pressed = Signal(2)
        beats = Signal(HEARTBEAT_WIDTH)
        m.d.sync += [
            pressed.eq(Cat(self.button, pressed[0])), beats.eq(beats + 1),
            self.led.eq(Cat(beats[-1], runner.running, ~runner.running & ~runner.failed, runner.failed, ~uart.i.ready,
                            runner.runs)),
        ]
        m.d.comb += runner.again.eq(pressed[1])


def connect(m: Module, master: wiring.Component | Shared, slave: wiring.Component | Shared, prefix: str, turned: str
            ) -> None:
    """The ports `prefix`_… of one and `turned`_… of the other."""
    for name, member in master.signature.members.items():
        if name.startswith(f"{prefix}_"):
            mine, theirs = getattr(master, name), getattr(slave, name.replace(prefix, turned))
            mine, theirs = (port if isinstance(port, Signal) else port.as_value() for port in (mine, theirs))
            m.d.comb += theirs.eq(mine) if member.flow == Out else mine.eq(theirs)
