"""The one port of an external memory, `hw.memory`: what of it each stream of a job has (docs/contract.md §5).

Each stream is served as if it had a memory of its own at a guaranteed rate, behind a latency: a latency-rate server
(D. Stiliadis and A. Varma, IEEE/ACM Transactions on Networking 6(5), 1998). The rates of all add up to what the port
moves. They change with what a job does next, and so with the tokens that were taken:

    phase   until that many tokens were taken         shares are the bytes that are to move until then
    0       those of the first array tile             these tokens, a pass's weights and parameters
    1       those of the first super-tile             these tokens, a pass's weights and parameters
    2       all                                       these tokens; the others' of all super-tiles but one
    3                                                 weights, parameters, results of a super-tile

docs/adr/0018-one-port.md says why.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from sim.task import Task
from stamp_hw.config import HwConfig
from stamp_hw.engine.super_tile import SuperTile
from stamp_hw.engine.wire import OUT_BYTES, beat_bytes

TICKS = 256  # of a cycle: the resolution of a rate
STREAMS = ("i", "w", "p")  # that are read
WRITTEN = "o"
MAX_DEPTH = 4096  # bursts; more than any beat has bytes
#: Bursts of other streams that may be in a burst's way, one each.
OTHERS = len(STREAMS)


@dataclass(frozen=True, slots=True)
class Unit:
    """`beats` beats of `beat_bytes` that lie in bursts of their own: a token, the weights of a pass, its parameters.
    The last burst is whole, and what it has beyond the last beat is not used."""

    beats: int
    beat_bytes: int
    burst: int

    @property
    def bursts(self) -> int:
        """Bursts that the unit takes."""
        return -(-self.beats * self.beat_bytes // self.burst)

    @property
    def moved(self) -> int:
        """Bytes that the memory moves for it."""
        return self.bursts * self.burst

    def needs(self, beat: int) -> int:
        """The last burst that a beat has a part of."""
        return ((beat + 1) * self.beat_bytes - 1) // self.burst

    def done(self, beats: int) -> int:
        """Bursts that nobody needs behind so many beats: their places are free."""
        return self.bursts if beats == self.beats else beats * self.beat_bytes // self.burst


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A port in cycles: `burst` bytes, `rate` bytes a cycle of all streams together, `latency` ticks by which a burst
    comes later than its transfer would end."""

    burst: int
    rate: Fraction
    latency: int

    @classmethod
    @lru_cache(maxsize=64)
    def of(cls, hw: HwConfig) -> Port:
        """Of `hw.memory`, which must be there. A burst waits for one of each other stream at most, which is counted as
        latency of every burst."""
        assert hw.memory is not None
        freq = Fraction(hw.freq_hz)
        rate = Fraction(hw.memory.bytes_per_s) * Fraction(hw.memory.efficiency) / freq
        latency = Fraction(hw.memory.latency_ns) / 10**9 * freq + OTHERS * hw.memory.burst / rate
        return cls(burst=hw.memory.burst, rate=rate, latency=math.ceil(latency * TICKS))

    def depth(self, beat: int) -> int:
        """Bursts that a stream of `beat` bytes a beat may have on their way or waiting: so many that the latency does
        not show while a beat is taken in every cycle, or as fast as the port moves them; at most MAX_DEPTH."""
        covered = min(Fraction(beat), self.rate) * self.latency / TICKS
        return min(MAX_DEPTH, math.ceil(covered / self.burst) + -(-beat // self.burst) + 2)

    def spacing(self, moved: Mapping[str, int]) -> dict[str, int]:
        """Ticks from one burst of a stream to the next where of each are to move bytes in this proportion, rounded up;
        a stream of none has no entry."""
        whole = TICKS * self.burst * sum(moved.values()) * self.rate.denominator
        return {name: -(-whole // (part * self.rate.numerator)) for name, part in moved.items() if part}

    def cycles(self, moved: int) -> int:
        """Cycles that `moved` bytes take at least, the first of them behind the latency."""
        return math.ceil(Fraction(self.latency, TICKS) + moved / self.rate)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """A job at the port.

    `units` of each stream and their `counts`: tokens of `i`, passes of `w` and `p`; `depth` bursts of each; `latency`
    in ticks; `bounds` tokens behind which phases 1, 2, 3 begin; `spacing` of each phase, ticks from a burst of a stream
    to the next; `moved` bytes of all bursts and results, which take `cycles` at least.
    """

    units: Mapping[str, Unit]
    counts: Mapping[str, int]
    depth: Mapping[str, int]
    latency: int
    bounds: tuple[int, int, int]
    spacing: tuple[Mapping[str, int], ...]
    moved: int
    cycles: int

    @classmethod
    def of(cls, task: Task, hw: HwConfig, parts: Sequence[SuperTile], loaded: bool = False) -> Plan:
        """Of a layer that is cut into `parts`; `loaded` where the engine has a pass's weights and parameters before the
        first token may come: then phase 0 is the tokens', but for a burst of the others."""
        return cls.of_counts(task, hw, len(parts), len(parts[0].order), loaded)

    @classmethod
    def of_counts(cls, task: Task, hw: HwConfig, super_tiles: int, first: int, loaded: bool = False) -> Plan:
        """The same of so many `super_tiles`, the first of `first` tokens, sinks among them."""
        beats = -(-task.channels_in // hw.lanes), task.weights.beats(task.k), task.out_beats(hw)
        return cls._of(hw, task.tokens, task.columns(hw)[0], beats, super_tiles, first, loaded)

    @classmethod
    @lru_cache(maxsize=256)  # a layer's cycles, alone and behind others, and its cost ask for the same
    def _of(cls, hw: HwConfig, tokens: int, columns: int, each: tuple[int, int, int], super_tiles: int, first: int,
            loaded: bool) -> Plan:
        """`each` are beats of a token, of a pass's weights and of a token's results; `super_tiles` of them, the first
        of `first` tokens."""
        port, sizes = Port.of(hw), beat_bytes(hw)
        beats = {"i": each[0], "w": each[1], "p": hw.cols}
        units = {name: Unit(beats[name], sizes[name], port.burst) for name in STREAMS}
        passes = super_tiles * columns
        bounds = min(first, 2 * hw.rows), first, tokens
        token = units["i"].moved
        load = {name: units[name].moved for name in ("w", "p")}
        results = tokens * each[2] * hw.drain_lanes * OUT_BYTES
        behind = {**{name: passes * moved for name, moved in load.items()}, WRITTEN: results}  # of all super-tiles
        later = {name: (super_tiles - 1) * moved for name, moved in behind.items()}
        phases = (
            {"i": bounds[0] * token, **load}, {"i": (bounds[1] - bounds[0]) * token, **load},
            {"i": super_tiles * (bounds[2] - bounds[1]) * token, **later}, behind)
        moved = tokens * token + passes * sum(load.values()) + results
        spacing = [_together(port.spacing(phase), units) if sum(phase.values()) else {} for phase in phases]
        if loaded:
            spacing[0] = port.spacing({"i": bounds[0] * token, "w": port.burst, "p": port.burst})
        return cls(units=units, counts={"i": tokens, "w": passes, "p": passes},
                   depth={name: port.depth(sizes[name]) for name in STREAMS}, latency=port.latency, bounds=bounds,
                   spacing=tuple(spacing), moved=moved, cycles=port.cycles(moved))

    def phase(self, tokens: int) -> int:
        """The phase behind so many tokens."""
        return sum(tokens >= bound for bound in self.bounds)

    def left(self, tokens: int) -> int:
        """Tokens until the phase ends that is behind so many."""
        return next(bound for bound in self.bounds if tokens < bound) - tokens

    def fetch(self, name: str, phase: int) -> int:
        """Ticks that a unit of a stream takes the memory in a phase."""
        return self.units[name].bursts * self.spacing[phase][name]


def _together(spacing: dict[str, int], units: Mapping[str, Unit]) -> dict[str, int]:
    """The same, but that a pass's parameters take as long as its weights: rounded each for itself, one of the two would
    run ahead by a little more each pass, so that no pass would be like the one before."""
    return spacing | {"p": -(-units["w"].bursts * spacing["w"] // units["p"].bursts)}
