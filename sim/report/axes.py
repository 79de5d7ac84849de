"""Scales of drawings: where a value lies, and the places that are labelled."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Log:
    """A logarithmic axis from `low` to `high`, both above 0."""

    low: float
    high: float

    @classmethod
    def around(cls, values: list[float], margin: float = 1.6) -> Log:
        """All values (at least one), and some room on both sides."""
        return cls(min(values) / margin, max(values) * margin)

    def place(self, value: float) -> float:
        """0 at the low end, 1 at the high one."""
        return math.log(value / self.low) / math.log(self.high / self.low)

    def ticks(self) -> list[float]:
        """Powers of ten, of many decades every second or third; and 2 and 5 of each where there are few."""
        first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
        step = max(1, -(-(last - first + 1) // 8))
        steps = (1, 2, 5) if last - first < 2 else (1,)
        found = [times * 10.0**decade for decade in range(first - 1, last + 1) for times in steps
                 if (decade - first) % step == 0]
        return [tick for tick in found if self.low <= tick <= self.high]


@dataclass(frozen=True, slots=True)
class Linear:
    """A linear axis from `low` to `high`."""

    low: float
    high: float

    @classmethod
    def around(cls, values: list[float]) -> Linear:
        """All values (at least one) between whole steps, with room for a mark at either end."""
        low, high = min(values), max(values)
        margin = 0.04 * (high - low) or 1.0
        return cls(low - margin, high + margin)

    def place(self, value: float) -> float:
        """0 at the low end, 1 at the high one."""
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Up to eight multiples of 1, 2 or 5 times a power of ten."""
        rough = (self.high - self.low) / 7
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(times * power for times in (1, 2, 5, 10) if times * power >= rough)
        return [step * number for number in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]
