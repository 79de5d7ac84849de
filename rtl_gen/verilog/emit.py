"""Verilog of a component: one file a module, the same text on every machine, in the order and with the reasons of the
Python source.

Amaranth writes one module for each *instance*. `Shared` is the switch for a component that occurs many times (a PE):
while `verilog` emits, it becomes an `Instance` of a module that is written once; anywhere else, in Amaranth's own
simulator for one, it is simply that component.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field, is_dataclass
from importlib.metadata import version

from amaranth import ClockSignal, Instance, Module, ResetSignal
from amaranth.lib import wiring

from rtl_gen.verilog import source
from rtl_gen.verilog.module import module_text
from rtl_gen.verilog.netlist import Design, Scope
from stamp_hw.hw_config import PACKED


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """`field_wires`: keep the wires that only name the fields of a struct (for waveforms; lint calls them unused).
    `memory_attributes`: ask vendors' tools for block RAM where a memory is large."""

    field_wires: bool = False
    memory_attributes: bool = True


PLAIN = Style()


@dataclass(slots=True)
class _Emission:
    """What one call of `verilog` has met so far: shared module → its component's identity, and all module texts."""

    style: Style
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
        # only the first of many is elaborated; Amaranth would warn of the others
        self._inner._MustUse__used = True
        identity = (type(self._inner), self._inner.signature, getattr(self._inner, "params", None))
        if emission.identity.setdefault(self._module, identity) != identity:
            raise ValueError(f"two different components would be emitted as module {self._module}")
        if self._module not in emission.ports:
            emission.ports[self._module] = _convert(self._inner, self._module, emission, _parameters(self._inner))
        connections = {f"i_{name}": signal for name, signal in (("clk", ClockSignal()), ("rst", ResetSignal()))
                       if name in emission.ports[self._module]}  # a module without registers has no clock
        for path, member, mine in self.signature.flatten(self):
            name = "__".join(map(str, path))
            connections[f"{'i' if member.flow is wiring.In else 'o'}_{name}"] = mine
        return Instance(self._module, **connections)


def verilog(component: wiring.Component, name: str, parameters: Mapping[str, object] | None = None, *,
            style: Style = PLAIN) -> dict[str, str]:
    """File name → text, one file a module, the top `name`.v first, then in the order of instantiation.

    Parameters
    ----------
    component : an Amaranth component that was never elaborated
    name : module name of the top; submodules are called `name_<submodule>`
    parameters : what the header's parameter line shows; None takes the component's `params` if it is a dataclass. A
        shared module and its parts show their own component's, so that their text is the same in every top
    style : see `Style`

    The text holds no path, date or random name. It has no timescale: simulators are given `--timescale 1ns/1ps`.
    Raises ValueError when two modules would get the same name.
    """
    if parameters is None:
        parameters = _parameters(component)
    emission = _Emission(style)
    token = _emission.set(emission)
    try:
        _convert(component, name, emission, parameters)
    finally:
        _emission.reset(token)
    ordered = [name, *(module for module in emission.modules if module != name)]
    return {f"{module}.v": emission.modules[module] for module in ordered}


def _parameters(component: wiring.Component) -> dict[str, object]:
    own = getattr(component, "params", None)
    return asdict(own, dict_factory=_shown) if is_dataclass(own) and not isinstance(own, type) else {}


def _shown(fields: Iterable[tuple[str, object]]) -> dict[str, object]:
    """The fields of parameters, without a multiplier that is packed, as it is where nobody asks for another."""
    return {name: value for name, value in fields if (name, value) != ("multiplier", PACKED)}


def _convert(component: wiring.Component, name: str, emission: _Emission, parameters: Mapping[str, object]
             ) -> tuple[str, ...]:
    """Emit `component` and what lies below it into `emission`; returns the port names of its module."""
    design = Design(component, name)
    scopes = design.scopes()
    modules = {scope.index: scope.name for scope in scopes}
    for scope in scopes:
        if scope.name in emission.modules:
            raise ValueError(f"two modules would be called {scope.name}")
        text = module_text(design, scope, modules, **asdict(emission.style))
        emission.modules[scope.name] = _header(parameters, scope) + text
    return tuple(port.name for port in scopes[0].ports)


def _header(parameters: Mapping[str, object], scope: Scope) -> str:
    # What is off is not there, and is not shown.
    there = {key: value for key, value in parameters.items() if value is not None and value is not False}
    shown = " ".join(f"{key}={value}" for key, value in there.items()) or "none"
    return (f"// Generated by stamp-hw {version('stamp-hw')} (Amaranth {version('amaranth')}). The generated Verilog "
            "belongs to its user.\n"
            f"// Parameters: {shown}\n"
            "// No timescale here: simulate with --timescale 1ns/1ps.\n\n"
            f"{source.head(scope.component)}")
