"""Stall patterns: in which cycles a source may raise `valid` and a sink is `ready`.

A pattern is a finite list of bits that repeats for ever, called with a cycle (0 is the first cycle of the run). The
same object drives the RTL in the simulator and is given to the cycle models of `sim/`, which ask only for a callable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sim.dram import Rate


@dataclass(frozen=True, slots=True)
class Pattern:
    """Bits (0 or 1) of cycle 0, 1, …; beyond the end they repeat. At least one is 1, so that nothing waits for ever."""

    bits: tuple[int, ...]
    name: str

    def __post_init__(self) -> None:
        if not set(self.bits) <= {0, 1} or not any(self.bits):
            raise ValueError(f"pattern {self.name}: bits must be 0 or 1, at least one of them 1")

    def __call__(self, cycle: int) -> bool:
        return bool(self.bits[cycle % len(self.bits)])

    def __str__(self) -> str:
        return self.name


ALWAYS = Pattern((1,), "always")


def periodic(on: int, off: int, first_off: bool = False) -> Pattern:
    """`on` cycles of 1 and `off` cycles of 0 in turn, beginning with the ones unless `first_off`."""
    ones, zeros = (1,) * on, (0,) * off
    return Pattern(zeros + ones if first_off else ones + zeros, f"{'0' if first_off else ''}{on}on{off}off")


def listed(bits: Sequence[int] | np.ndarray, name: str = "listed") -> Pattern:
    """The given bits."""
    return Pattern(tuple(int(bit) for bit in bits), name)


def rated(rate: Rate) -> Pattern:
    """A stream at the external memory's rate."""
    return listed(rate.bits, f"{rate.num}of{rate.den}")


def random_bits(rng: np.random.Generator, length: int = 997, density: float = 0.5) -> Pattern:
    """`length` bits, each 1 with probability `density`, the last one always; the prime 997 beats with every period."""
    bits = rng.random(length) < density
    bits[-1] = True
    return listed(bits, f"random{density:g}")


def sides(rng: np.random.Generator) -> dict[str, tuple[Pattern, Pattern]]:
    """Who stalls → (valid, ready): nobody, the source, the sink, both; the patterns that stall are drawn."""
    def one() -> Pattern:
        if rng.integers(2):
            return periodic(int(rng.integers(1, 4)), int(rng.integers(1, 4)), bool(rng.integers(2)))
        return random_bits(rng, density=float(rng.choice([0.3, 0.6, 0.9])))
    return {"none": (ALWAYS, ALWAYS), "source": (one(), ALWAYS), "sink": (ALWAYS, one()), "both": (one(), one())}


def throttles(rng: np.random.Generator) -> tuple[Pattern, Pattern]:
    """A pair (valid, ready), each side drawn on its own from no stalls, periodic ones and seeded lists."""
    def one() -> Pattern:
        kind = int(rng.integers(4))
        if kind == 0:
            return ALWAYS
        if kind == 1:
            return periodic(int(rng.integers(1, 6)), int(rng.integers(1, 6)), bool(rng.integers(2)))
        return random_bits(rng, density=float(rng.choice([0.2, 0.5, 0.8, 0.95])))
    return one(), one()
