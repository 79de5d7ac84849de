"""A unit with the ports it has and the things that must hold of it."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from amaranth.hdl import Assert, Assume, Const, Cover, Elaboratable, Fragment, Module, Mux, ResetSignal, Signal, Value
from amaranth.hdl._mem import MemoryInstance
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class Elaborated(Elaboratable):
    """A fragment as a submodule."""

    def __init__(self, fragment: Fragment) -> None:
        self._fragment = fragment

    def elaborate(self, _platform: object) -> Fragment:
        return self._fragment


def named_signals(fragment: Fragment, prefix: str = "") -> dict[str, list[Signal]]:
    """`submodule.signal` → every driven signal of that name; shared modules (`rtl_gen.verilog.emit.Shared`) stay
    closed."""
    found: dict[str, dict[int, Signal]] = {}
    for statements in fragment.statements.values():
        for statement in statements:
            for signal in filter(lambda found: isinstance(found, Signal), statement._lhs_signals()):
                found.setdefault(prefix + signal.name, {})[id(signal)] = signal
    signals = {name: list(same.values()) for name, same in found.items()}
    for inner, name, _ in fragment.subfragments:
        signals |= named_signals(inner, f"{prefix}{name}.")
    return signals


def named_memories(fragment: Fragment, prefix: str = "") -> dict[str, MemoryInstance]:
    """`submodule.memory` → every memory; shared modules stay closed."""
    found: dict[str, MemoryInstance] = {}
    for inner, name, _ in fragment.subfragments:
        if isinstance(inner, MemoryInstance):
            found[f"{prefix}{name}"] = inner
        else:
            found |= named_memories(inner, f"{prefix}{name}.")
    return found


class Checker(wiring.Component):
    """Frame of a checker: the unit with its ports led through, and what `check` adds.

    Nothing is asserted, assumed or covered in a cycle of reset. `ghost` names further inputs, of any value in each
    cycle unless `check` assumes something of them.

    Parameters
    ----------
    unit : the component to check, never elaborated before
    ghost : name → shape
    """

    def __init__(self, unit: wiring.Component, ghost: dict[str, Any] | None = None) -> None:
        self.unit = unit
        ports = {name: In(shape) for name, shape in (ghost or {}).items()}
        super().__init__(dict(unit.signature.members) | ports)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        fragment = Fragment.get(self.unit, platform)
        self._signals, self._memories = named_signals(fragment), named_memories(fragment)
        m.submodules.unit = Elaborated(fragment)
        self.connect(m)
        self._running = Signal()
        m.d.comb += self._running.eq(~ResetSignal())
        self.check(m)
        return m

    def connect(self, m: Module) -> None:
        """Lead the unit's ports through."""
        for name, member in self.unit.signature.members.items():
            inner, outer = getattr(self.unit, name), getattr(self, name)
            if member.is_signature:
                wiring.connect(m, wiring.flipped(outer), inner)
            elif member.flow is Out:
                m.d.comb += Value.cast(outer).eq(Value.cast(inner))
            else:
                m.d.comb += Value.cast(inner).eq(Value.cast(outer))

    def check(self, m: Module) -> None:
        """Add what must hold."""
        raise NotImplementedError

    def internal(self, name: str) -> Signal:
        """The unit's signal of that name, `submodule.signal` below it; KeyError unless there is exactly one."""
        found = self._signals.get(name, [])
        if len(found) != 1:
            others = get_close_matches(name, self._signals, n=5)
            raise KeyError(f"{len(found)} signals are called {name}; others: {', '.join(others)}")
        return found[0]

    def look(self, m: Module, memory: str, place: int) -> Value:
        """The word at a place of the unit's memory of that name, `submodule.memory`, which has one port that writes.

        A further port reads it, a cycle late as every port of a memory does, and what was written in that cycle goes
        around it. In a run that begins anywhere, as in an induction, it is right from the second cycle on.
        """
        instance = self._memories[memory]
        (port,) = instance._write_ports
        name = f"look{len(instance._read_ports)}"
        read, written = (Signal(len(port._data), name=f"{name}_{part}", reset_less=True)
                         for part in ("read", "written"))
        here = Signal(name=f"{name}_here", reset_less=True)
        instance.read_port(domain=port._domain, addr=Const(place, len(port._addr)), data=read, en=Const(1),
                           transparent_for=())
        m.d.sync += [here.eq(port._en.all() & (port._addr == place)), written.eq(port._data)]
        return Mux(here, written, read)

    def must(self, m: Module, holds: Value) -> None:
        """It holds in every cycle without reset."""
        with m.If(self._running):
            m.d.comb += Assert(holds)

    def given(self, m: Module, holds: Value) -> None:
        """The surroundings see to it in every cycle without reset."""
        with m.If(self._running):
            m.d.comb += Assume(holds)

    def reached(self, m: Module, event: Value) -> None:
        """It happens in some cycle of some run."""
        with m.If(self._running):
            m.d.comb += Cover(event)

    def constant(self, m: Module, name: str) -> None:
        """The ghost input keeps its value while there is no reset: any value, but one."""
        value = Value.cast(getattr(self, name))
        before, known = Signal(len(value), name=f"{name}_before"), Signal(name=f"{name}_known")
        m.d.sync += [before.eq(value), known.eq(1)]
        self.given(m, ~known | (value == before))

    def stalls(self, m: Module, port: Any, name: str) -> Value:
        """Whether a beat that waited in the cycle before is still offered and unchanged."""
        waited, word = Signal(name=f"{name}_waited"), Value.cast(port.payload)
        before = Signal(len(word), name=f"{name}_word")
        m.d.sync += [waited.eq(port.valid & ~port.ready), before.eq(word)]
        held = Signal(name=f"{name}_held")
        m.d.comb += held.eq(~waited | (port.valid & (word == before)))
        self.reached(m, waited & port.valid & port.ready)
        return held
