"""Proofs about the generated Verilog: what holds for every input, not only for those that a regression tries.

Each `tb/formal/<subject>.py` exports `PROPERTIES`, a tuple of `Property`: a checker component around a unit, how it is
proved, and a seeded bug that must break it. The unit's Verilog is the text that `rtl_gen.verilog.emit` writes for
users, after one cycle of reset from any state; reset may come again at any time. `stamp-hw verify formal` runs all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from amaranth.lib import wiring

from tb.run.fault import Fault

PROVE, BOUND = "prove", "bound"


@dataclass(frozen=True, slots=True, kw_only=True)
class Property:
    """One statement about a block.

    Parameters
    ----------
    name : unique among all properties, such as `mac_queue`
    block : stem of the unit's file in `rtl_gen`
    says : what holds, in one sentence
    build : parameters → checker (`tb.formal.checker.Checker`)
    params : the hardware for which it is proved
    small : the hardware on which the cover is reached and the bug is caught, None for the same: a proof may leave a
        wide data path aside, an example has to fill it with values
    free : modules of which nothing is used: their outputs take any value in every cycle
    mode : PROVE, by k-induction with k at most `depth`; BOUND, for the first `depth` cycles after reset
    depth : see `mode`
    cover : cycles within which every cover of the checker is reached
    bug : the mistake that must break the property; its patch is in force while the Verilog is emitted
    bug_depth : cycles within which it does
    seconds : processor time that all runs of the property took on a small machine; each of them may take twenty
        times that, and two minutes more
    """

    name: str
    block: str
    says: str
    build: Callable[[Any], wiring.Component]
    params: Any
    small: Any = None
    free: tuple[str, ...] = ()
    mode: str = PROVE
    depth: int
    cover: int
    bug: Fault
    bug_depth: int
    seconds: float

    def __post_init__(self) -> None:
        if self.mode not in (PROVE, BOUND):
            raise ValueError(f"property {self.name}: mode {self.mode}")
