"""A unit's mutants under its bench, and proofs about those that it did not notice."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from tb.bench.layout import Port
from tb.mutate.mutation import Mutation
from tb.mutate.netlist import Netlist, make
from tb.mutate.proof import equivalent
from tb.mutate.units import Unit
from tb.run.block import BrokenBenchError, bench_module, elaborate
from tb.run.simulator import BUILD_ROOT, Result, simulate

KILLED, EQUIVALENT, SURVIVED, CRASHED = "killed", "equivalent", "survived", "crashed"
PATIENCE, _LEAST_SECONDS = 10, 120.0  # a run hangs when it takes so many times what the original took, and so long


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A unit whose netlist is built; the original passed a round of its bench in at most `seconds`."""

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
    """Make and build the netlist; the original in it must pass, else AssertionError, BrokenBenchError where it
    crashes: no verdict would mean anything."""
    bench = bench or bench_module(unit.block)
    top = f"stamp_{unit.block}"
    files, ports = elaborate(bench, unit.params, top)
    folder = root / "mutate" / unit.name
    shutil.rmtree(folder, ignore_errors=True)
    modules = [name.removesuffix(".v") for name in files if unit.mutated(name.removesuffix(".v"))]
    netlist = make(files, top, modules, count or unit.count, seed, folder)
    words, longest = 0, 0.0
    for turn in range(len(unit.rounds)):
        prepared = Prepared(unit=unit, netlist=netlist, ports=ports, seed=seed, words=words, seconds=longest)
        outcome, result = _play(prepared, [0], turn, None, bench, root)
        if 0 not in outcome or outcome[0]["test"] or not result.words:
            said = outcome[0]["message"] if 0 in outcome else result.failures[0] if result.failures else "no words"
            raise (BrokenBenchError if result.crashed else AssertionError)(
                f"{unit.name}: the original fails its bench: {said.splitlines()[0]}; "
                f"log: {result.log}")
        words, longest = words + result.words, max(longest, result.seconds)
    return Prepared(unit=unit, netlist=netlist, ports=ports, seed=seed, words=words, seconds=longest)


def _play(prepared: Prepared, numbers: Sequence[int], turn: int, limit: float | None, bench: ModuleType, root: Path
          ) -> tuple[dict[int, dict[str, Any]], Result]:
    """Outcomes of one process that takes these mutants in turn, 0 for the original; fewer if it came to a bad end."""
    unit, netlist = prepared.unit, prepared.netlist
    outcomes = netlist.folder / f"outcomes-{turn}-{numbers[0]}.jsonl"
    outcomes.unlink(missing_ok=True)
    result = simulate(netlist.files, netlist.top, "tb.mutate.bench", prepared.ports, unit.params, block=unit.block,
                      set_name=unit.name, seed=prepared.seed + turn, words=unit.rounds[turn], root=root, limit=limit,
                      context={"bench": bench.__name__, "tests": unit.tests, "mutants": list(numbers),
                               "outcomes": str(outcomes)})
    lines = outcomes.read_text("utf-8").splitlines() if outcomes.is_file() else []
    return {found["number"]: found for found in map(json.loads, lines)}, result


def trial(prepared: Prepared, numbers: Sequence[int], turn: int, bench: ModuleType, root: Path
          ) -> dict[int, Mapping[str, Any]]:
    """Outcome of each mutant in one round of the bench; one at which the process hangs or dies is told from others."""
    found: dict[int, Mapping[str, Any]] = {}
    left = list(numbers)
    while left:
        limit = _LEAST_SECONDS + PATIENCE * prepared.seconds * len(left)
        outcomes, result = _play(prepared, left, turn, limit, bench, root)
        found |= outcomes
        rest = [number for number in left if number not in outcomes]
        if rest:
            hangs = result.hung
            found[rest[0]] = {"test": "the simulation", "seconds": result.seconds, "crashed": not hangs,
                              "message": f"no end within {limit:.0f} s" if hangs else f"it died, log: {result.log}"}
        else:
            shutil.rmtree(result.log.parent, ignore_errors=True)
        left = rest[1:]
    return found


def attempt(prepared: Prepared, numbers: Sequence[int], bench: ModuleType | None = None, root: Path = BUILD_ROOT
            ) -> list[Verdict]:
    """Verdicts on these mutants: a round of the bench, proofs about what it left, deeper rounds on what is not proved.
    """
    bench, left = bench or bench_module(prepared.unit.block), list(numbers)
    unit, mutations, spent = prepared.unit, prepared.netlist.mutations, dict.fromkeys(numbers, 0.0)
    verdicts = []

    def settle(number: int, fate: str, how: str) -> None:
        left.remove(number)
        verdicts.append(Verdict(unit=unit.name, mutation=mutations[number - 1], fate=fate, how=how,
                                seconds=spent[number]))

    for turn in range(len(unit.rounds)):
        for number, outcome in trial(prepared, left, turn, bench, root).items():
            spent[number] += outcome["seconds"]
            if outcome["test"]:
                message = outcome["message"].splitlines()[0]
                settle(number, CRASHED if outcome["crashed"] else KILLED, f"{outcome['test']}: {message}")
        for number in list(left) if turn == 0 else ():
            start = time.monotonic()
            how = equivalent(prepared.netlist, mutations[number - 1], unit.cut, unit.alarms, unit.seconds)
            spent[number] += time.monotonic() - start
            if how:
                settle(number, EQUIVALENT, how)
    for number in list(left):
        settle(number, SURVIVED, "")
    return verdicts
