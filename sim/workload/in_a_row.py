"""Jobs of a phase one behind the other on the engine, as a sensible host gives them (docs/contract.md §5).

A job's registers are written while the one before it runs. Its tokens come when that one's results are there, its
weights and parameters as soon as the engine takes them; but for the first job of an operation whose weights are
activations, the results of the operation before. A phase begins with an engine at rest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sim.engine import closed_form
from sim.engine.closed_form import EngineCycles
from sim.engine.early import Early
from sim.engine.handover import Handover
from sim.task import Task
from stamp_hw.config import HwConfig
from stamp_hw.engine.super_tile import Size


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Link:
    """A job of the operation `name`; `early` what of it may come before the results of the job before. Equal to itself
    alone, so that it is found fast where a chain has it many times."""

    name: str
    task: Task
    size: Size
    early: Early


@dataclass(frozen=True, slots=True)
class Chain:
    """`parts` one behind the other, all of them so many `times`."""

    parts: tuple[Link | Chain, ...]
    times: int = 1


#: Of each operation how many jobs of which cycles.
Tally = Counter[tuple[str, EngineCycles]]


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """What a job left, one for each handover that differs: equal to itself alone, so that it is found fast."""

    handover: Handover


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """A line of a tally, likewise."""

    name: str
    cycles: EngineCycles


class Row:
    """Follows chains on hardware; a job that finds what it found before takes as long."""

    def __init__(self, hw: HwConfig) -> None:
        self._hw = hw
        self._known: dict[tuple[Link, Past | None], tuple[Entry, Past]] = {}
        self._pasts: dict[Handover, Past] = {}
        self._entries: dict[tuple[str, EngineCycles], Entry] = {}

    def follow(self, chain: Chain) -> tuple[Tally, Handover | None]:
        """Its jobs' cycles from an engine at rest on, and what the last one leaves."""
        found, past = self._chain(chain, None)
        return (Counter({(entry.name, entry.cycles): count for entry, count in found.items()}),
                None if past is None else past.handover)

    def _chain(self, chain: Chain, before: Past | None) -> tuple[Counter[Entry], Past | None]:
        """The same behind other jobs. What begins as an earlier repeat did is not followed again."""
        found: Counter[Entry] = Counter()
        begun: dict[Past | None, int] = {}  # by what they found: numbers of the repeats that were followed
        tallies: list[Counter[Entry]] = []
        left = chain.times
        while left > 0:
            if before in begun:
                period = tallies[begun[before]:]
                rounds, left = divmod(left, len(period))
                for tally in period:
                    _add(found, tally, rounds)
                for tally in period[:left]:
                    _add(found, tally, 1)
                return found, before if not left else self._after(chain, before, left)
            begun[before] = len(tallies)
            tally, before = self._once(chain.parts, before)
            tallies.append(tally)
            _add(found, tally, 1)
            left -= 1
        return found, before

    def _after(self, chain: Chain, before: Past | None, times: int) -> Past | None:
        """What so many repeats leave."""
        for _ in range(times):
            _, before = self._once(chain.parts, before)
        return before

    def _once(self, parts: Sequence[Link | Chain], before: Past | None) -> tuple[Counter[Entry], Past | None]:
        found: Counter[Entry] = Counter()
        for part in parts:
            if isinstance(part, Chain):
                tally, before = self._chain(part, before)
                _add(found, tally, 1)
            else:
                entry, before = self._job(part, before)
                found[entry] += 1
        return found, before

    def _job(self, link: Link, before: Past | None) -> tuple[Entry, Past]:
        found = self._known.get((link, before))
        if found is None:
            now = None if before is None else replace(before.handover, early=link.early)
            cycles, left = closed_form.follow(link.task, self._hw, link.size, now)
            found = self._known[link, before] = (
                self._entries.setdefault((link.name, cycles), Entry(link.name, cycles)),
                self._pasts.setdefault(left, Past(left)))
        return found


def _add(found: Counter[Entry], tally: Counter[Entry], times: int) -> None:
    for entry, count in tally.items():
        found[entry] += count * times
