"""Lint warnings that are accepted, each for a reason; `rtl_gen.lint` fails on any other and on a waiver without use."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiver:
    """`rule` is Verilator's name; `module` and `expression` are regular expressions for the whole module name and for
    a part of the message.
    """

    rule: str
    module: str
    expression: str
    reason: str

    def covers(self, rule: str, module: str, message: str) -> bool:
        """Whether this waiver accepts a warning."""
        return bool(rule == self.rule and re.fullmatch(self.module, module) and re.search(self.expression, message))


_FIELDS = ("a struct made field by field: Yosys connects the readers of some fields to what drives them and leaves the "
           "fields of the struct behind")

WAIVERS: tuple[Waiver, ...] = (
    Waiver(rule="UNUSEDSIGNAL", module=r"stamp_\w+", expression=r"(Bits of signal are|Signal is) not used: '_\d+_'",
           reason="an intermediate result that the source truncates or shifts out of, or the output of a last PE that "
                  "has no neighbour; Amaranth has no narrower expression for it, and synthesis drops the bits"),
    Waiver(rule="UNUSEDSIGNAL", module="stamp_haar_forward", expression=r"'next_plan'\[", reason=_FIELDS),
    Waiver(rule="UNUSEDSIGNAL", module="stamp_mac", expression=r"'operand_i'\[", reason=_FIELDS),
    Waiver(rule="UNUSEDSIGNAL", module="stamp_scale_divider", expression=r"'(loaded|normal)'\[", reason=_FIELDS),
    Waiver(rule="UNUSEDSIGNAL", module="stamp_pe", expression=r"'sum1'\[0\]",
           reason="the lowest bit of this sum only makes the carry that gives back the low product's borrow"),
)
