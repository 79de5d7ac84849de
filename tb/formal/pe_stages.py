"""What is known of a step in each stage of a PE, and how many steps of its tile have left one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from amaranth.hdl import Cat, Module, Mux, Signal, Value

from stamp_hw.params import MacParams
from tb.formal.checker import Checker


class PeChecker(Checker):
    """A PE of either kind; `flags` are those of its control registers, with their values after a reset."""

    params: MacParams
    flags: ClassVar[Mapping[str, int]]

    def stage(self, m: Module, name: str, control: str, **values: Value) -> dict[str, Signal]:
        """Registers beside those of a stage of the PE, whose register `control` they tell."""
        held = {key: Signal(value.shape(), name=f"{name}_{key}", init=self.flags.get(key, 0),
                            reset_less=key not in (*self.flags, "counted")) for key, value in values.items()}
        m.d.sync += [held[key].eq(value) for key, value in values.items()]
        self.must(m, self.internal(control) == Cat(held[flag] for flag in self.flags))
        return held

    def steps(self, m: Module) -> Signal:
        """How many steps of its tile are in front of the one that comes; a tile has `max_k` at most."""
        control, limit = self.unit.control_i, self.params.max_k
        count: Signal = Signal(range(limit + 1), name="count")
        with m.If(control.valid):
            m.d.sync += count.eq(Mux(control.last, 0, count + 1))
        self.given(m, ~control.valid | (count < limit))
        return count

    def counts(self, m: Module, before: Value, at: dict[str, Signal]) -> None:
        """A step counts once it has left a stage, and there is room for it."""
        after = Mux(at["valid"], Mux(at["last"], 0, at["counted"] + 1), at["counted"])
        self.must(m, (before == after) & (before <= self.params.max_k))
        self.must(m, ~at["valid"] | (at["counted"] < self.params.max_k))
