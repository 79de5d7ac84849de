"""A standard cell library as the flow needs it: of each cell its area, leakage, function, pins and energy.

Units here: µm², nW, fF, ns, fJ. Internal energy in a liberty file is in volt² times its unit of capacitance (Liberty
reference manual 2017.06, internal_power), and does not contain that of the load.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rtl_gen.asic import boolean, liberty, tables
from rtl_gen.asic.boolean import Function
from rtl_gen.asic.liberty import Group
from rtl_gen.asic.tables import Table
from stamp_hw.errors import ConfigError

_SECONDS = {"fs": 1e-6, "ps": 1e-3, "ns": 1.0, "us": 1e3}  # ns
_WATTS = {"fW": 1e-6, "pW": 1e-3, "nW": 1.0, "uW": 1e3, "mW": 1e6, "W": 1e9}  # nW
_FARADS = {"ff": 1.0, "pf": 1e3, "nf": 1e6}  # fF


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """Internal energy of a pin: `rise` and `fall` (fJ), where `when` holds; None is always."""

    rise: Table
    fall: Table
    when: Function | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Arc:
    """Time from the pin `start` to an output (ns): `delay` and `slew` of its rising and of its falling edge; `same`, an
    edge of the input makes the same one of the output, `other`, the other one; both where neither is said."""

    start: str
    delay: tuple[Table, Table]
    slew: tuple[Table, Table]
    same: bool
    other: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """`cap` (fF) of an input, 0 of an output; `function` and `arcs` of an output; `power` in the file's order."""

    name: str
    cap: float
    function: Function | None
    power: tuple[Power, ...]
    arcs: tuple[Arc, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FlipFlop:
    """`state` takes `next_state` at the rising edge of `clock`, before which its inputs are stable for `setup_ns`, the
    largest of the file at the library's slew."""

    state: tuple[str, ...]
    next_state: Function
    clock: str
    setup_ns: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One cell; `ff` None of a combinational one."""

    name: str
    area: float
    leakage: float
    inputs: dict[str, Pin]
    outputs: dict[str, Pin]
    ff: FlipFlop | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """`cells` that the flow can use, by name; `voltage`; `path` and `text` of the file, whose unit of time is `ns`;
    `slew` in ns at which tables are read."""

    name: str
    path: Path
    text: str
    voltage: float
    slew: float
    ns: float
    cells: dict[str, Cell]

    def gate(self) -> Cell:
        """The gate equivalent: the smallest NAND of two inputs."""
        return min((cell for cell in self.cells.values() if _is(cell, 2, _nand)), key=lambda cell: cell.area)

    def buffers(self) -> list[Cell]:
        """Buffers by their area."""
        return sorted((cell for cell in self.cells.values() if _is(cell, 1, bool)), key=lambda cell: cell.area)


def _nand(a: bool, b: bool) -> bool:
    return not (a and b)


def _is(cell: Cell, inputs: int, wanted: Callable[..., bool]) -> bool:
    """Whether a cell has so many inputs and one output, which is `wanted` of them."""
    functions = [pin.function for pin in cell.outputs.values() if pin.function is not None]
    if cell.ff is not None or len(cell.inputs) != inputs or len(functions) != 1 or len(cell.outputs) != 1:
        return False
    return all(functions[0].value(pins) == wanted(*pins.values()) for pins in boolean.assignments(tuple(cell.inputs)))


def load(path: Path, slew: float) -> Library:
    """A library from its file. Raises ConfigError naming file, cell and attribute."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ConfigError("cannot be read", where=str(path), got=error.strerror, expected="a liberty file") from error
    top = liberty.parse(text, str(path))
    reader = _Reader(top, str(path), slew)
    cells = {group.name: cell for group in top.of_kind("cell") if (cell := reader.cell(group)) is not None}
    library = Library(name=top.name, path=path, text=text, voltage=reader.voltage, slew=slew, ns=reader.ns,
                      cells=cells)
    for wanted, found in (("a NAND of two inputs", [c for c in cells.values() if _is(c, 2, _nand)]),
                          ("an inverter", [c for c in cells.values() if _is(c, 1, lambda a: not a)]),
                          ("a buffer", library.buffers()),
                          ("a flip-flop of a rising edge", [c for c in cells.values() if c.ff is not None])):
        if not found:
            raise ConfigError("a library that lacks a cell", where=str(path), expected=wanted)
    return library


class _Reader:
    """Reads cells of one file."""

    def __init__(self, top: Group, where: str, slew: float) -> None:
        self._where, self._slew = where, slew
        self._templates = {group.name: group for group in top.of_kind("lu_table_template", "power_lut_template")}
        self.ns = self._unit(top.attributes.get("time_unit"), _SECONDS, "time_unit")
        self._nw = self._unit(top.attributes.get("leakage_power_unit"), _WATTS, "leakage_power_unit")
        load_unit = top.complex.get("capacitive_load_unit", ("", ""))
        self._ff = self._unit("".join(load_unit).lower() or None, _FARADS, "capacitive_load_unit")
        self.voltage = self._number(top, "nom_voltage", "library")
        volt = self._unit(top.attributes.get("voltage_unit"), {"mV": 1e-3, "V": 1.0}, "voltage_unit")
        self._fj = self._ff * volt ** 2

    def _unit(self, text: str | None, known: dict[str, float], name: str) -> float:
        found = re.fullmatch(r"([\d.]+)\s*(\w+)", text or "")
        if found is None or found[2] not in known:
            raise ConfigError(f"no {name}" if text is None else f"unknown {name}", where=f"{self._where}: library",
                              got=text, expected=f"a number and one of {', '.join(known)}")
        return float(found[1]) * known[found[2]]

    def _number(self, group: Group, name: str, where: str) -> float:
        text = group.attributes.get(name)
        try:
            if text is None:
                raise ValueError
            return float(text)
        except ValueError:
            raise ConfigError(f"no attribute {name}" if text is None else f"{name} is no number",
                              where=f"{self._where}: {where}", got=text, expected=f"{name} : a number") from None

    def cell(self, group: Group) -> Cell | None:
        """A cell, None for one that the flow does not use: without outputs, tristate, latch, or two-edged."""
        pins = group.of_kind("pin")
        outputs = [pin for pin in pins if pin.attributes.get("direction") == "output"]
        flops = group.of_kind("ff")
        if not outputs or group.of_kind("latch", "statetable") or len(flops) > 1 or any(
                "three_state" in pin.attributes for pin in outputs) or group.attributes.get("dont_use") == "true":
            return None
        inputs = [pin for pin in pins if pin.attributes.get("direction") == "input"]
        where = f"cell {group.name}"
        area = self._number(group, "area", where)
        leakage = self._nw * self._number(group, "cell_leakage_power", where)
        read = {pin.name: self._pin(pin, where) for pin in (*inputs, *outputs)}
        found_in = {pin.name: read[pin.name] for pin in inputs}
        found_out = {pin.name: read[pin.name] for pin in outputs}
        ff = None
        if flops:
            if {"clear", "preset"} & set(flops[0].attributes):
                return None  # the generated Verilog has no such register
            ff = self._flip_flop(flops[0], inputs, outputs, where)
            if ff is None:
                return None
        known = {*found_in, *(ff.state if ff else ())}
        for pin in found_out.values():
            if pin.function is None:
                raise ConfigError("no attribute function", where=f"{self._where}: {where}, pin {pin.name}",
                                  expected='function : "…"')
            if not set(pin.function.pins()) <= known:
                raise ConfigError("a function of unknown pins", where=f"{self._where}: {where}, pin {pin.name}",
                                  got=", ".join(pin.function.pins()), expected=f"of {', '.join(sorted(known))}")
        return Cell(name=group.name, area=area, leakage=leakage, inputs=found_in, outputs=found_out, ff=ff)

    def _pin(self, pin: Group, where: str) -> Pin:
        own = f"{where}, pin {pin.name}"
        function = pin.attributes.get("function")
        is_input = pin.attributes["direction"] == "input"
        power = []
        for group in pin.of_kind("internal_power"):
            both = [self._power(group, kind, own) for kind in ("rise_power", "fall_power")]
            when = group.attributes.get("when")
            power.append(Power(rise=both[0], fall=both[1],
                               when=None if when is None else boolean.parse(when, f"{self._where}: {own}: when")))
        if not is_input and not power and (function or "").strip("()") not in ("0", "1"):
            raise ConfigError("no group internal_power", where=f"{self._where}: {own}",
                              expected="internal_power () { … }")
        return Pin(name=pin.name, cap=self._ff * self._number(pin, "capacitance", own) if is_input else 0.0,
                   function=None if function is None else boolean.parse(function, f"{self._where}: {own}: function"),
                   power=tuple(power), arcs=() if is_input else self._arcs(pin, own))

    def _power(self, group: Group, kind: str, where: str) -> Table:
        found = group.of_kind(kind, "power")
        if not found:
            raise ConfigError(f"no group {kind}", where=f"{self._where}: {where}",
                              expected=f"{kind} (template) {{ … }}")
        return tables.read(found[0], self._templates, self.ns, self._ff, self._fj, f"{self._where}: {where}: {kind}")

    def _flip_flop(self, group: Group, inputs: list[Group], outputs: list[Group], where: str) -> FlipFlop | None:
        texts = []
        for name in ("next_state", "clocked_on"):
            if name not in group.attributes:
                raise ConfigError(f"no attribute {name}", where=f"{self._where}: {where}, ff", expected=f'{name} : "…"')
            texts.append(boolean.parse(group.attributes[name], f"{self._where}: {where}: {name}"))
        next_state, clock = texts
        if clock.operator != "pin":
            return None  # of the falling edge
        setups = self._setups(inputs, where)
        return FlipFlop(state=group.names, next_state=next_state, clock=clock.pin, setup_ns=setups)

    def _setups(self, inputs: list[Group], where: str) -> float:
        """The largest setup time at the library's slew of both pins."""
        found = [tables.read(table, self._templates, self.ns, self.ns, self.ns, f"{self._where}: {where}: {table.kind}")
                 .at(self._slew, self._slew) for pin in inputs for arc in pin.of_kind("timing")
                 if arc.attributes.get("timing_type") == "setup_rising"
                 for table in arc.of_kind("rise_constraint", "fall_constraint")]
        if not found:
            raise ConfigError("no timing of type setup_rising", where=f"{self._where}: {where}",
                              expected="timing () { timing_type : setup_rising; … }")
        return max(found)

    def _arcs(self, pin: Group, where: str) -> tuple[Arc, ...]:
        arcs = []
        for group in pin.of_kind("timing"):
            if group.attributes.get("timing_type", "combinational") not in ("combinational", "rising_edge"):
                continue
            if "related_pin" not in group.attributes:
                raise ConfigError("no attribute related_pin", where=f"{self._where}: {where}, timing",
                                  expected='related_pin : "…"')
            read = {}
            for kind in ("cell_rise", "cell_fall", "rise_transition", "fall_transition"):
                found = group.of_kind(kind)
                if not found:
                    raise ConfigError(f"no group {kind}", where=f"{self._where}: {where}, timing",
                                      expected=f"{kind} (template) {{ … }}")
                read[kind] = tables.read(found[0], self._templates, self.ns, self._ff, self.ns,
                                         f"{self._where}: {where}: {kind}")
            sense = group.attributes.get("timing_sense", "non_unate")
            arcs += [Arc(start=start, delay=(read["cell_rise"], read["cell_fall"]),
                         slew=(read["rise_transition"], read["fall_transition"]), same=sense != "negative_unate",
                         other=sense != "positive_unate") for start in group.attributes["related_pin"].split()]
        return tuple(arcs)
