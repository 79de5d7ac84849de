"""What an access of each on-chip memory costs: that of the bank which it wakes, by its size and the bits of a word."""

from __future__ import annotations

from typing import Any

from sim.banks import Banks, banks
from sim.cost.energy import EnergySet, Event
from stamp_hw.config import HwConfig


def event(one: Banks, count: int) -> Event:
    """So many accesses of a memory's banks, a word of one bank each."""
    return Event(name=one.name, constant="memory.access", count=count, at=one.bank_bytes, bits=one.bits)


def described(hw: HwConfig, energy_set: EnergySet) -> dict[str, dict[str, Any]]:
    """Memory → its banks, and pJ an access, as a report holds them (nine digits)."""
    return {one.name: {"banks": one.count, "words": one.words, "bits": one.bits,
                       "access_pj": float(f"{energy_set.price(event(one, 1)):.9g}")} for one in banks(hw)}
