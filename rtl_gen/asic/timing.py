"""The slowest way through a netlist between registers, from the tables of the liberty file.

Rising and falling edges apart, of each the latest arrival and the largest slew; ports, memories and kept modules arrive
with the clock's edge, at the library's slew, and take no time of their own. Wires have capacitance and no resistance.
"""

from __future__ import annotations

from collections import defaultdict

from rtl_gen.asic.energy import Wires, loads_of
from rtl_gen.asic.library import Cell, Library, Pin
from rtl_gen.asic.mapping import Netlist

Edges = tuple[tuple[float, float], tuple[float, float]]  # (arrival, slew) in ns of the rising and of the falling edge


def path_ps(netlist: Netlist, library: Library, wires: Wires) -> float:
    """The longest way, in ps, the time of a flip-flop in front and the setup of the one behind counted."""
    loads = loads_of(netlist, library, wires)
    start: Edges = ((0.0, library.slew), (0.0, library.slew))
    found: dict[int, Edges] = {}
    for cell, net, pin, pins in _in_order(netlist, library):
        arrivals = {name: start if cell.ff else found.get(bit, start) if isinstance(bit, int) else start
                    for name, bits in pins.items() if name in cell.inputs for bit in bits[:1]}
        found[net] = _through(pin, arrivals, loads.get(net, 0.0))
    longest = 0.0
    for net, setup in _ends(netlist, library):
        longest = max(longest, *(arrival + setup for arrival, _ in found.get(net, start)))
    return 1000 * longest


def _in_order(netlist: Netlist, library: Library) -> list[tuple[Cell, int, Pin, dict[str, list[int | str]]]]:
    """Outputs of cells, each behind what it depends on; a flip-flop's depend on nothing. Loops are left out."""
    readers: dict[int, list[int]] = defaultdict(list)
    outputs: list[tuple[Cell, int, Pin, dict[str, list[int | str]]]] = []
    waiting = []
    for kind, pins, _ in netlist.cells.values():
        cell = library.cells.get(kind)
        if cell is None:
            continue
        for name, pin in cell.outputs.items():
            outputs += [(cell, bit, pin, pins) for bit in pins.get(name, ()) if isinstance(bit, int)]
    driven = {net for _, net, _, _ in outputs}
    for index, (gate, _, _, pins) in enumerate(outputs):
        before = set() if gate.ff else {bit for name in gate.inputs for bit in pins.get(name, ())
                                        if isinstance(bit, int) and bit in driven}
        waiting.append(len(before))
        for net in before:
            readers[net].append(index)
    ready, order = [index for index, count in enumerate(waiting) if count == 0], []
    while ready:
        index = ready.pop()
        order.append(outputs[index])
        for reader in readers[outputs[index][1]]:
            waiting[reader] -= 1
            if waiting[reader] == 0:
                ready.append(reader)
    return order


def _through(pin: Pin, arrivals: dict[str, Edges], load: float) -> Edges:
    """The edges of an output."""
    rise, fall = [(0.0, 0.0)], [(0.0, 0.0)]
    for arc in pin.arcs:
        for out, edges in enumerate((rise, fall)):
            for into, (arrival, slew) in enumerate(arrivals.get(arc.start, ())):
                if arc.same if into == out else arc.other:
                    edges.append((arrival + arc.delay[out].at(slew, load), arc.slew[out].at(slew, load)))
    latest = [(max(time for time, _ in edges), max(slew for _, slew in edges)) for edges in (rise, fall)]
    return latest[0], latest[1]


def _ends(netlist: Netlist, library: Library) -> list[tuple[int, float]]:
    """Nets that a way ends at, and the setup time there."""
    ends = [(bit, 0.0) for direction, bits in netlist.ports.values() if direction == "output" for bit in bits]
    for kind, pins, _ in netlist.cells.values():
        cell = library.cells.get(kind)
        if cell is None:
            ends += [(bit, 0.0) for bits in pins.values() for bit in bits]
        elif cell.ff is not None:
            ends += [(bit, cell.ff.setup_ns) for name in cell.inputs if name != cell.ff.clock
                     for bit in pins.get(name, ())]
    return [(bit, setup) for bit, setup in ends if isinstance(bit, int)]
