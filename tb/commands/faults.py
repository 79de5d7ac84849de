"""`stamp-hw verify faults`: seeds every named fault, and fails unless the regression catches each at its block."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass

from stamp_hw.cli.arguments import runs
from stamp_hw.errors import ConfigError
from stamp_hw.exits import BROKEN, FOUND, OK
from stamp_hw.formats.files import write_json
from tb.commands.common import clock, explain, judged, say
from tb.faults import blocks, table
from tb.run.block import BrokenBenchError, catch, fresh_seed
from tb.run.processes import pool
from tb.run.simulator import BUILD_ROOT, check_root

REPORT = BUILD_ROOT / "faults.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of `stamp-hw verify faults`: blocks, and single faults as `block.name`; none stands for all."""

    wanted: Sequence[str]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options; `run` is a function of them."""
    explain(parser, "Seed every named mistake into the generated RTL, one at a time; the regression must catch each at "
            "its block. Takes about 20 minutes on two cores; which were caught goes to build/faults.json.",
            "faults rescale engine.t_of_rows_below")
    parser.add_argument("wanted", metavar="BLOCK[.FAULT]", nargs="*",
                        help=f"{', '.join(blocks())}, or one fault of one of them; all if none is named")
    runs(parser, Options, run)


def attempt(block: str, index: int, seed: int) -> str:
    """How the regression caught a fault: its first message. Raises AssertionError when it did not."""
    return catch(table(block)[index], seed).failures[0].splitlines()[0]


def chosen(wanted: Sequence[str]) -> list[tuple[str, int]]:
    """Block and place in its table of each fault that is wanted, each once, in the order of the words.

    Raises ConfigError for a word that is neither a block nor a fault of one.
    """
    found: dict[tuple[str, int], None] = {}
    for word in wanted or blocks():
        block, _, name = word.partition(".")
        if block not in blocks():
            raise ConfigError("no faults for block", where="faults", got=block, expected=" or ".join(blocks()))
        names = [fault.name for fault in table(block)]
        if "." in word and name not in names:
            raise ConfigError("unknown fault", where=f"faults of {block}", got=name or "''",
                              expected=" or ".join(names))
        found |= {(block, index): None for index, one in enumerate(names) if "." not in word or one == name}
    return list(found)


def run(options: Options) -> int:
    """Run the wanted faults; 0 when every one was caught, 1 when one was missed, 3 when a bench broke."""
    return judged(lambda: _run(options.wanted))


def _run(wanted: Sequence[str]) -> int:
    jobs = chosen(wanted)
    check_root()
    seed = fresh_seed()
    how_it_went: list[dict[str, str | bool]] = []
    missed: list[str] = []
    broken: list[str] = []
    spent = clock()
    say(f"seed {seed}")
    with pool() as workers:
        running = {workers.submit(attempt, block, index, seed): table(block)[index] for block, index in jobs}
        for done, future in enumerate(as_completed(running), 1):
            fault = running[future]
            name = f"{fault.block}.{fault.name}"
            try:
                how = f"caught: {future.result()}"
            except BrokenBenchError as error:
                how = f"BROKEN: {error}"
                broken.append(name)
            except AssertionError as error:
                how = f"MISSED: {error}"
                missed.append(name)
            say(f"{done} of {len(jobs)}: {name}, {how}")
            how_it_went.append({"block": fault.block, "name": fault.name, "caught": how.startswith("caught")})
    how_it_went.sort(key=lambda one: (one["block"], one["name"]))
    write_json(REPORT, {"seed": seed, "seconds": spent(), "faults": how_it_went})
    again = " ".join(("stamp-hw verify faults", *missed, *broken))
    say(f"{len(jobs) - len(missed) - len(broken)} of {len(jobs)} faults caught"
        + (f"; not: {', '.join(missed + broken)}; again: STAMP_SEED={seed} {again}" if missed or broken else ""))
    return FOUND if missed else BROKEN if broken else OK
