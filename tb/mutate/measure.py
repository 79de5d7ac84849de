"""A unit's mutants under its bench, and proofs about those that it did not notice."""

from __future__ import annotations

import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from tb.layout import Port
from tb.mutate.mutation import Mutation
from tb.mutate.netlist import CONTROL, Netlist, make
from tb.mutate.proof import equivalent
from tb.mutate.units import Unit
from tb.regression import bench_module, elaborate
from tb.runner import BUILD_ROOT, Result, simulate

KILLED, EQUIVALENT, SURVIVED, CRASHED = "killed", "equivalent", "survived", "crashed"
PROOF_SECONDS = 20.0  # of each of the two steps of a proof
PATIENCE = 10  # times the time of the original, after which a run counts as a hang
_LEAST_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A unit whose netlist is built, and whose original passed the bench in `seconds`."""

    unit: Unit
    netlist: Netlist
    ports: tuple[Port, ...]
    seed: int
    seconds: float
    words: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of a mutant, and `how`: the bench's message, or the proof."""

    unit: str
    mutation: Mutation
    fate: str
    how: str
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        return {"fate": self.fate, "how": self.how, "name": str(self.mutation), "seconds": round(self.seconds, 1),
                **asdict(self.mutation)}


def prepare(unit: Unit, seed: int, count: int | None = None, bench: ModuleType | None = None, root: Path = BUILD_ROOT
            ) -> Prepared:
    """Make and build the netlist; the original in it must pass, else AssertionError: no verdict would mean anything."""
    bench = bench or bench_module(unit.block)
    top = f"stamp_{unit.block}"
    files, ports = elaborate(bench, unit.params, top)
    modules = [name.removesuffix(".v") for name in files]
    folder = root / "mutate" / unit.name
    shutil.rmtree(folder, ignore_errors=True)
    netlist = make(files, top, [name for name in modules if unit.mutated(name)], count or unit.count, seed, folder)
    start, words = time.monotonic(), 0
    for turn in range(len(unit.rounds)):
        prepared = Prepared(unit=unit, netlist=netlist, ports=ports, seed=seed, words=0, seconds=0.0)
        result = play(prepared, 0, turn, None, bench, root)
        words += result.words
        if not result.passed or not result.words:
            raise AssertionError(f"{unit.name}: the original fails its bench: {' || '.join(result.failures)}; "
                                 f"log: {result.log}")
        start += result.build_seconds
    return Prepared(unit=unit, netlist=netlist, ports=ports, seed=seed, words=words,
                    seconds=time.monotonic() - start)


def play(prepared: Prepared, number: int, turn: int, limit: float | None, bench: ModuleType, root: Path) -> Result:
    """The whole bench on one mutant, 0 for the original, up to its first failure."""
    unit, netlist = prepared.unit, prepared.netlist
    return simulate(netlist.files, netlist.top, bench.__name__, prepared.ports, unit.params, block=unit.block,
                    set_name=unit.name, seed=prepared.seed + turn, words=unit.rounds[turn], root=root,
                    plusargs=(f"+{CONTROL}={number}",), failures_most=1, limit=limit)


def attempt(prepared: Prepared, number: int, bench: ModuleType | None = None, root: Path = BUILD_ROOT) -> Verdict:
    """Run the bench on mutant `number`, round after round until one fails; prove what none has noticed."""
    bench = bench or bench_module(prepared.unit.block)
    start, limit = time.monotonic(), max(_LEAST_SECONDS, PATIENCE * prepared.seconds)
    fate, how = SURVIVED, ""
    for turn in range(len(prepared.unit.rounds)):
        result = play(prepared, number, turn, limit, bench, root)
        if not result.passed:
            fate, how = CRASHED if result.crashed else KILLED, result.failures[0]
            if fate == KILLED:
                how = how.splitlines()[0]
                shutil.rmtree(result.log.parent)
            break
    if fate == SURVIVED:
        how = equivalent(prepared.netlist, number, PROOF_SECONDS)
        fate = EQUIVALENT if how else SURVIVED
    return Verdict(unit=prepared.unit.name, mutation=prepared.netlist.mutations[number - 1], fate=fate, how=how,
                   seconds=time.monotonic() - start)
