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
from tb.commands.common import explain, judged, say
from tb.faults import blocks, table
from tb.run.block import BrokenBenchError, catch, fresh_seed
from tb.run.processes import pool
from tb.run.simulator import BUILD_ROOT, check_root

REPORT = BUILD_ROOT / "faults.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of `stamp-hw verify faults`; no block stands for all."""

    blocks: Sequence[str]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options; `run` is a function of them."""
    explain(parser, "Seed every named mistake into the generated RTL, one at a time; the regression must catch each at "
            "its block. Takes about 20 minutes on two cores; which were caught goes to build/faults.json.",
            "faults rescale")
    parser.add_argument("blocks", metavar="BLOCK", nargs="*", help=f"{', '.join(blocks())}; all if none is named")
    runs(parser, Options, run)


def attempt(block: str, index: int, seed: int) -> str:
    """How the regression caught a fault: its first message. Raises AssertionError when it did not."""
    return catch(table(block)[index], seed).failures[0].splitlines()[0]


def run(options: Options) -> int:
    """Run the faults of the wanted blocks; 0 when every one was caught, 1 when one was missed, 3 when a bench broke."""
    return judged(lambda: _run(options.blocks))


def _run(wanted: Sequence[str]) -> int:
    unknown = sorted(set(wanted) - set(blocks()))
    if unknown:
        raise ConfigError("no faults for block", where="faults", got=", ".join(unknown), expected=" or ".join(blocks()))
    check_root()
    seed = fresh_seed()
    how_it_went: list[dict[str, str | bool]] = []
    missed: list[str] = []
    broken: list[str] = []
    say(f"seed {seed}")
    jobs = [(block, index) for block in dict.fromkeys(wanted or blocks()) for index in range(len(table(block)))]
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
    write_json(REPORT, {"seed": seed, "faults": sorted(how_it_went, key=lambda one: (one["block"], one["name"]))})
    again = " ".join(("stamp-hw verify faults", *wanted))
    say(f"{len(jobs) - len(missed) - len(broken)} of {len(jobs)} faults caught"
        + (f"; not: {', '.join(missed + broken)}; again: STAMP_SEED={seed} {again}" if missed or broken else ""))
    return FOUND if missed else BROKEN if broken else OK
