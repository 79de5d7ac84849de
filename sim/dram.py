"""The external memory as the engine's streams see it: in which cycles it offers a beat (docs/contract.md §5).

One object a stream is the truth for both cycle models and, as bits, for the benches.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from stamp_hw.config import HwConfig
from stamp_hw.engine.wire import beat_bytes

#: Bits of a rate's pattern beyond which no bench takes it.
MAX_PERIOD = 1 << 16


@dataclass(frozen=True, slots=True)
class Rate:
    """A stall pattern (`sim.pipeline.Pattern`): `num` beats in `den` cycles, in lowest terms and at most one a cycle.

    By the end of cycle c the memory had time for floor((c + 1)·num / den) beats of the stream; in a cycle in which that
    number grows it offers one. While a beat waits to be taken the memory reads no other: that time is lost.
    """

    num: int
    den: int

    def __call__(self, cycle: int) -> bool:
        return (cycle + 1) * self.num // self.den > cycle * self.num // self.den

    @classmethod
    def of(cls, beats: Fraction) -> Rate:
        """`beats` a cycle, or one where the memory could give more."""
        beats = min(beats, Fraction(1))
        return cls(beats.numerator, beats.denominator)

    @property
    def full(self) -> bool:
        """A beat in every cycle."""
        return self.num == self.den

    @property
    def bits(self) -> tuple[int, ...]:
        """Cycles 0 to `den` − 1; they repeat. Raises ValueError for a pattern longer than MAX_PERIOD."""
        if self.den > MAX_PERIOD:
            raise ValueError(f"a pattern of {self.den} cycles; at most {MAX_PERIOD}")
        return tuple(int(self(cycle)) for cycle in range(self.den))

    def take(self, last: int, earliest: int, count: int) -> int:
        """Cycle of the last of `count` beats, the first taken not before `earliest`, after one taken in `last`:
        `sim.engine.front.Source.take` in closed form."""
        first = max(self._offer(self._before(last + 1)), earliest)
        return first if count == 1 else self._offer(self._before(first + 1) + count - 2)

    def after(self, last: int) -> int:
        """Cycle from which a beat is offered behind one taken in `last`."""
        return self._offer(self._before(last + 1))

    def _before(self, cycle: int) -> int:
        """Cycles before this one in which a beat is offered."""
        return cycle * self.num // self.den

    def _offer(self, number: int) -> int:
        """The cycle before which that many others have offered a beat, and which offers one."""
        return -(-(number + 1) * self.den // self.num) - 1


FULL = Rate(1, 1)


@dataclass(frozen=True, slots=True)
class Memory:
    """Rates of the streams `i`, `w`, `p`. Each has the memory to itself: what they move at the same time is counted
    over the whole layer, see `cycles`. Results are written as they come and count there as well."""

    i: Rate
    w: Rate
    p: Rate

    @classmethod
    @lru_cache(maxsize=64)
    def of(cls, hw: HwConfig) -> Memory:
        """Of `dram_bytes_per_s` at `freq_hz`."""
        return cls(**{name: Rate.of(_bytes_a_cycle(hw) / size) for name, size in beat_bytes(hw).items()})

    @property
    def patterns(self) -> dict[str, Rate]:
        """By the names of the ports."""
        return {"i": self.i, "w": self.w, "p": self.p}


def cycles(moved: int, hw: HwConfig) -> int:
    """Cycles that `moved` bytes take at the external memory's rate."""
    rate = _bytes_a_cycle(hw)
    return -(-moved * rate.denominator // rate.numerator)


@lru_cache(maxsize=64)
def _bytes_a_cycle(hw: HwConfig) -> Fraction:
    """At the peak, or where `hw.memory` says it what its port moves."""
    part = Fraction(1) if hw.memory is None else Fraction(hw.memory.efficiency)
    return Fraction(hw.dram_bytes_per_s) * part / Fraction(hw.freq_hz)
