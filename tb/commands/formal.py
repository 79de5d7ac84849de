"""`stamp-hw verify formal`: proves the named properties, all if none is named; fails unless all of them hold."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass

from stamp_hw.cli.arguments import runs
from stamp_hw.errors import ConfigError
from stamp_hw.exits import BROKEN, FOUND, OK
from stamp_hw.formats.files import write_json
from stamp_hw.text import align
from tb.commands.common import clock, explain, judged, say
from tb.formal import PROVE, Property, solver
from tb.formal.proof import ROOT, Verdict, settle
from tb.formal.table import PROPERTIES
from tb.run.processes import pool
from tb.run.simulator import check_folder

PROCESSES = 2
REPORT = ROOT.parent / "formal.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of `stamp-hw verify formal`; no name stands for all properties."""

    names: Sequence[str]
    list: bool


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options; `run` is a function of them."""
    explain(parser, "Prove properties of the generated Verilog for every input; each has a cover that must be reached "
            "and a seeded bug that must break it. All take about 15 minutes of processor time. All figures: "
            "build/formal.json.", "formal queue_order")
    parser.add_argument("names", metavar="NAME", nargs="*", help="a property; all if none is named")
    parser.add_argument("--list", action="store_true", help="prove nothing: say what the properties are")
    runs(parser, Options, run)


def chosen(names: Sequence[str]) -> list[Property]:
    """The properties of these names, all if there are none; ConfigError for an unknown one."""
    known = {prop.name: prop for prop in PROPERTIES}
    for name in names:
        if name not in known:
            raise ConfigError("unknown property", where="formal", got=name, expected=" or ".join(known))
    return [known[name] for name in names or known]


def table(verdicts: Sequence[Verdict]) -> str:
    """One line a property, columns aligned."""
    rows: list[tuple[str, ...]] = []
    for verdict in verdicts:
        how = f"proved, k = {verdict.depth}" if verdict.proved else f"for {verdict.depth} cycles"
        rows.append((verdict.name, verdict.block, "NO" if verdict.depth < 0 else how, _cycle(verdict.cover),
                     _cycle(verdict.bug), verdict.bug_name, f"{verdict.seconds:.1f}"))
    return align(("property", "block", "holds", "cover", "bug", "seeded bug", "seconds"), rows, left=3)


def listing(properties: Sequence[Property]) -> str:
    """One line a property: how it is shown, and what it says."""
    return "\n".join(f"{prop.name}, {'by induction' if prop.mode == PROVE else f'for {prop.depth} cycles'}: {prop.says}"
                     for prop in properties)


def _cycle(step: int) -> str:
    return "NO" if step < 0 else f"{step}"


def settled(name: str) -> Verdict:
    """The verdict on the property of that name: a checker is made where it is proved, for it cannot be sent."""
    return settle(chosen([name])[0])


def prove(properties: Sequence[Property]) -> list[Verdict]:
    """Verdicts in the order of `properties`; what takes longest begins first. Raises ToolError."""
    solver.require()
    found: dict[str, Verdict] = {}
    with pool(min(PROCESSES, os.cpu_count() or 1)) as workers:
        running = [workers.submit(settled, prop.name) for prop in sorted(properties, key=lambda prop: -prop.seconds)]
        for done, future in enumerate(as_completed(running), 1):
            verdict = future.result()
            found[verdict.name] = verdict
            how = f"WRONG: {verdict.wrong}" if verdict.wrong else "as it should"
            say(f"{done} of {len(running)}, {verdict.seconds:.0f} s: {verdict.name}, {how}")
    return [found[prop.name] for prop in properties]


def run(options: Options) -> int:
    """Prove, say and write what holds; 1 if a property does not, a cover is not reached or a bug not caught, 3 if a
    checker or a solver broke."""
    return judged(lambda: _run(options))


def _run(options: Options) -> int:
    wanted = chosen(options.names)
    if options.list:
        say(listing(wanted))
        return OK
    check_folder()
    spent = clock()
    verdicts = prove(wanted)
    write_json(REPORT, {"seconds": spent(), "properties": [verdict.to_dict() for verdict in verdicts]})
    say(table(verdicts))
    wrong = [verdict for verdict in verdicts if verdict.wrong]
    for verdict in wrong:
        say(f"wrong: {verdict.name}: {verdict.wrong}")
    say(f"{len(verdicts) - len(wrong)} of {len(verdicts)} properties as they should be")
    if wrong:
        say(f"again: stamp-hw verify formal {' '.join(verdict.name for verdict in wrong)}")
    if any(not verdict.broken for verdict in wrong):
        return FOUND
    return BROKEN if wrong else OK
