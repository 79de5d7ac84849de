"""What an access of each on-chip memory costs: that of the bank which it wakes, by its size and the bits of a word."""

from __future__ import annotations

from typing import Any

from sim.banks import Banks, banks
from sim.cost.energy import ACCESS, EnergySet, Event
from stamp_hw.config import HwConfig


def event(one: Banks, read: int, written: int = 0) -> Event:
    """So many accesses of a memory's banks, a word of one bank each."""
    return Event(name=one.name, constant=ACCESS, count=read + written, at=one.bank_bytes, bits=one.bits,
                 words=one.words, written=written)


def described(hw: HwConfig, energy_set: EnergySet) -> dict[str, dict[str, Any]]:
    """Memory → its banks, and pJ an access, as a report holds them (nine digits); of a set with a table of memories pJ
    of a read and of a write, and the leakage of all banks."""
    return {one.name: {"banks": one.count, "words": one.words, "bits": one.bits,
                       "access_pj": nine_digits(energy_set.price(event(one, 1))), **_of_table(one, energy_set)}
            for one in banks(hw)}


def leakage_uw(hw: HwConfig, energy_set: EnergySet) -> dict[str, float]:
    """Memory → µW of all its banks; none of a set without a table of memories."""
    memories = energy_set.memories
    return {} if memories is None else {
        one.name: one.count * memories.leakage_times * memories.table.bank(one.words, one.bits).leakage_uw
        for one in banks(hw)}


def _of_table(one: Banks, energy_set: EnergySet) -> dict[str, float]:
    if energy_set.memories is None:
        return {}
    bank = energy_set.memories.table.bank(one.words, one.bits)
    return {"write_pj": nine_digits(energy_set.price(event(one, 0, 1))),
            "leakage_uw": nine_digits(one.count * energy_set.memories.leakage_times * bank.leakage_uw)}


def nine_digits(value: float) -> float:
    """As reports hold a figure that is no count."""
    return float(f"{value:.9g}")
