"""Holds a census against the table of reasons: every bit that lacks something has one, and none is too wide."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from tb.census.registers import LACKS, Bit


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why bits of registers lack what they lack: `bits` of the registers whose name `name`, a regular expression, is,
    parameter set by parameter set, such as `3`, `1,4-6`, `5-` or, for all of them, an empty string."""

    lacks: str
    name: str
    bits: Mapping[str, str]
    why: str

    def means(self, set_name: str, bit: Bit) -> bool:
        """Whether the bit is one of them, whatever it lacks."""
        return (set_name in self.bits and re.fullmatch(self.name, bit.name) is not None
                and _holds(self.bits[set_name], bit.bit))


def _holds(ranges: str, bit: int) -> bool:
    for part in ranges.split(",") if ranges else ("0-",):
        low, dash, high = part.partition("-")
        if int(low) <= bit <= (int(high) if high else bit if dash else int(low)):
            return True
    return False


def judge(set_name: str, bits: Sequence[Bit], reasons: Sequence[Reason]) -> tuple[list[str], list[str]]:
    """(lines that tell what lacks and why, errors) of a parameter set."""
    lines, errors = [], []
    lacking = [bit for bit in bits if bit.lacks]
    mine = [reason for reason in reasons if set_name in reason.bits]
    for reason in mine:
        meant = [bit for bit in bits if reason.means(set_name, bit)]
        wrong = [bit for bit in meant if bit.lacks != reason.lacks]
        errors += [f"{set_name}: not so: {line} {LACKS[reason.lacks]}: {reason.why}" for line in _lines(wrong)]
        if not meant:
            errors.append(f"{set_name}: a reason without a bit: {reason.name}: {reason.why}")
        lines += [f"{set_name}: {line} {LACKS[reason.lacks]}: {reason.why}" for line in _lines(meant)]
    unexplained = [bit for bit in lacking
                   if not any(reason.lacks == bit.lacks and reason.means(set_name, bit) for reason in mine)]
    for kind, words in LACKS.items():
        errors += [f"{set_name}: {line} {words}, and nobody says why"
                   for line in _lines(bit for bit in unexplained if bit.lacks == kind)]
    return lines, errors


def _lines(bits: Iterable[Bit]) -> list[str]:
    """`name[bits]` of each register."""
    return [f"{name}[{','.join(str(bit.bit) for bit in group)}]"
            for name, group in groupby(bits, lambda bit: bit.name)]
