"""Energy of a netlist's activity: what its nets, gates and flip-flops take, and an estimate of the clock tree.

Of each phase, in fJ a cycle, with zero delay (no glitches):

- a net that changes takes ½·C·V², where C are the capacitances of the pins it drives and `wire_ff` of wire for each;
- a gate's output that changes takes its internal energy, the mean of its tables, half of rising and falling, at the
  library's slew and the net's load. Both outputs of a flip-flop change, connected or not;
- a flip-flop's clock pin takes both edges of every cycle: its tables are those in which the state stays, or changes,
  as often as it does; its data pins take theirs when they change, in either half of a cycle as often;
- the clock tree: the clock pins and their wire, C·V² a cycle, and buffers of `fanout`, level upon level, each with its
  internal energy of both edges, its own pin and wire. It is never gated.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain

from rtl_gen.asic import boolean
from rtl_gen.asic.library import Cell, Library, Pin, Power
from rtl_gen.asic.mapping import Netlist
from rtl_gen.asic.simulate import Activity


@dataclass(frozen=True, slots=True, kw_only=True)
class Wires:
    """Assumed: `ff` fF of wire a pin driven, and `fanout` flip-flops a buffer of the clock tree."""

    ff: float
    fanout: int = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Energy:
    """fJ a cycle: of `nets`, of `gates` inside, of flip-flops' data (`registers`), and of the clock: `clock_pins`,
    inside the flip-flops, and `clock_tree`."""

    nets: float
    gates: float
    registers: float
    clock_pins: float
    clock_tree: float

    @property
    def clock(self) -> float:
        return self.clock_pins + self.clock_tree

    @property
    def total(self) -> float:
        return self.nets + self.gates + self.registers + self.clock


@dataclass(frozen=True, slots=True, kw_only=True)
class _Output:
    """Of a cell: `nets` of its outputs, fJ of a `change` of them, (net, fJ a change) of a flip-flop's `data` pins, and
    its clock pin's fJ a cycle in which the state `stays` or `turns`, None for a gate."""

    nets: tuple[int, ...]
    change: float
    data: tuple[tuple[int, float], ...]
    clock: tuple[float, float] | None


class Meter:
    """The energy of a netlist's phases: what its nets and cells take is looked up once. Memories and modules that the
    netlist keeps take none here."""

    def __init__(self, netlist: Netlist, library: Library, wires: Wires) -> None:
        loads = loads_of(netlist, library, wires)
        clocks, half = _clocks(netlist, library), library.voltage ** 2 / 2
        self._nets = {net: half * load for net, load in loads.items() if net not in clocks}
        self._tree = _tree(netlist, library, wires)
        self._outputs: list[_Output] = []
        clock_of: dict[str, tuple[float, float]] = {}
        for kind, connected, _ in netlist.cells.values():
            cell = library.cells.get(kind)
            if cell is None:
                continue
            if cell.ff is not None and kind not in clock_of:
                clock_of[kind] = _clock_pin(cell, library.slew)
            nets = {name: next((bit for bit in connected.get(name, ()) if isinstance(bit, int)), None)
                    for name in cell.outputs}
            change = sum(_mean(cell.outputs[name].power, library.slew, 0.0 if net is None else loads.get(net, 0.0))
                         for name, net in nets.items())
            data = () if cell.ff is None else tuple(
                (bit, _mean(cell.inputs[name].power, library.slew, 0.0)) for name, bits in connected.items()
                if name in cell.inputs and name != cell.ff.clock for bit in bits if isinstance(bit, int))
            self._outputs.append(_Output(nets=tuple(net for net in nets.values() if net is not None), change=change,
                                         data=data, clock=clock_of.get(kind)))

    def energy(self, activity: Activity) -> Energy:
        """Of one phase."""
        rate = {net: count / activity.cycles for net, count in activity.toggles.items()}
        inside = registers = pins = 0.0
        for cell in self._outputs:
            changes = max((rate.get(net, 0.0) for net in cell.nets), default=0.0)
            if cell.clock is None:
                inside += changes * cell.change
            else:
                registers += changes * cell.change + sum(rate.get(net, 0.0) * each for net, each in cell.data)
                stays, turns = cell.clock
                pins += (1 - changes) * stays + changes * turns
        return Energy(nets=sum(each * rate.get(net, 0.0) for net, each in self._nets.items()), gates=inside,
                      registers=registers, clock_pins=pins, clock_tree=self._tree)


def energy(netlist: Netlist, library: Library, activity: Activity, wires: Wires) -> Energy:
    """Of one phase."""
    return Meter(netlist, library, wires).energy(activity)


def flip_flops(netlist: Netlist, library: Library) -> list[Cell]:
    """Those of a netlist, one entry each."""
    cells = (library.cells.get(kind) for kind, _, _ in netlist.cells.values())
    return [cell for cell in cells if cell is not None and cell.ff is not None]


def loads_of(netlist: Netlist, library: Library, wires: Wires) -> dict[int, float]:
    """Net → fF that drive on it sees: pins of cells, and a gate's pin for each port, memory and kept module."""
    outside = next(iter(library.gate().inputs.values())).cap
    loads: dict[int, float] = {}
    ends: Iterable[tuple[int | str, float]] = chain(
        ((bit, outside) for direction, bits in netlist.ports.values() if direction == "output" for bit in bits),
        ((bit, cell.inputs[name].cap if cell is not None else outside)
         for kind, connected, _ in netlist.cells.values() for cell in (library.cells.get(kind),)
         for name, bits in connected.items() if _is_input(netlist, kind, cell, name)
         for bit in (bits if cell is not None else dict.fromkeys(bits))))  # a bank has an enable, not one a bit
    for bit, cap in ends:
        if isinstance(bit, int):
            loads[bit] = loads.get(bit, 0.0) + cap + wires.ff
    return loads


def _is_input(netlist: Netlist, kind: str, cell: Cell | None, name: str) -> bool:
    if cell is not None:
        return name in cell.inputs
    return netlist.kept[kind][name] == "input" if kind in netlist.kept else name != "RD_DATA"


def _clocks(netlist: Netlist, library: Library) -> set[int]:
    """Nets that clock flip-flops."""
    return {bit for kind, connected, _ in netlist.cells.values() for cell in (library.cells.get(kind),)
            if cell is not None and cell.ff is not None for bit in connected[cell.ff.clock] if isinstance(bit, int)}


def _mean(power: tuple[Power, ...], slew: float, load: float) -> float:
    """Of an edge: the mean of all tables, half of rising and falling ones."""
    if not power:
        return 0.0
    return sum(each.rise.at(slew, load) + each.fall.at(slew, load) for each in power) / (2 * len(power))


def _clock_pin(cell: Cell, slew: float) -> tuple[float, float]:
    """Both edges of a cycle in which the state stays, and of one in which it turns."""
    assert cell.ff is not None
    stays: list[float] = []
    turns: list[float] = []
    for each in cell.inputs[cell.ff.clock].power:
        edges = each.rise.at(slew, 0.0) + each.fall.at(slew, 0.0)
        for wanted, found in ((False, stays), (True, turns)):
            if each.when is None or _possible(cell, each, wanted):
                found.append(edges)
    still, turned = (sum(found) / len(found) if found else 0.0 for found in (stays, turns))
    return still, turned


def _possible(cell: Cell, power: Power, turns: bool) -> bool:
    """Whether the state can stay, or turn, at the next edge where `power.when` holds."""
    assert cell.ff is not None and power.when is not None
    states = {name: pin.function for name, pin in cell.outputs.items()}
    names = tuple(dict.fromkeys([*cell.inputs, *cell.outputs]))
    for pins in boolean.assignments(names):
        own = {cell.ff.state[0]: True, cell.ff.state[-1]: False}
        held = None
        for now in (True, False):
            own = {name: now if index == 0 else not now for index, name in enumerate(cell.ff.state)}
            if all(function is None or function.value(own | pins) == pins[name] for name, function in states.items()):
                held = now
        if held is not None and power.when.value(pins) and (cell.ff.next_state.value(pins) != held) == turns:
            return True
    return False


def _tree(netlist: Netlist, library: Library, wires: Wires) -> float:
    """fJ a cycle of the wires to the clock pins, those pins, and the buffers before them."""
    square = library.voltage ** 2
    flops = flip_flops(netlist, library)
    clocked = [cell.inputs[cell.ff.clock] for cell in flops if cell.ff is not None]
    taken = square * sum(pin.cap + wires.ff for pin in clocked)
    if not clocked:
        return 0.0
    load = wires.fanout * (sum(pin.cap for pin in clocked) / len(clocked) + wires.ff)
    buffer = _buffer(library, load)
    pin: Pin = next(iter(buffer.inputs.values()))
    each = square * (pin.cap + wires.ff) + 2 * _mean(next(iter(buffer.outputs.values())).power, library.slew, load)
    level = len(clocked) / wires.fanout
    while level > 1:
        taken += level * each
        level /= wires.fanout
    return taken + each


def _buffer(library: Library, load: float) -> Cell:
    """The smallest buffer whose delay at the load is at most twice that of the fastest one."""
    buffers = library.buffers()
    times = [max(table.at(library.slew, load) for arc in pin.arcs for table in arc.delay)
             for buffer in buffers for pin in buffer.outputs.values()]
    return next(buffer for buffer, time in zip(buffers, times, strict=True) if time <= 2 * min(times))


def leakage_uw(counts: Mapping[str, int], library: Library) -> float:
    """µW of all cells at their mean leakage."""
    return sum(library.cells[kind].leakage * count for kind, count in counts.items() if kind in library.cells) / 1000
