"""`stamp-hw verify coverage`: measures the coverage of every build and fails on any point that is missing."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass

from stamp_hw.cli.arguments import runs
from stamp_hw.cli.common import count, seed
from stamp_hw.formats.files import write_json
from tb.commands.common import clock, explain, judged, say
from tb.coverage.builds import measured
from tb.coverage.measure import measure
from tb.coverage.report import Sample, judge, table
from tb.coverage.waivers import WAIVERS
from tb.run import plan
from tb.run.block import fresh_seed
from tb.run.blocks import blocks
from tb.run.processes import pool
from tb.run.simulator import BUILD_ROOT, check_root

WORDS = 60_000  # output words of each build's random tests, at most; the directed ones come on top


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of `stamp-hw verify coverage`; no block stands for all, `seed` is None for a fresh one."""

    blocks: Sequence[str]
    seed: int | None
    words: int


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options; `run` is a function of them."""
    explain(parser, "Measure line, branch and toggle coverage of the generated Verilog under every testbench; every "
            "point must be reached or waived with its reason, and the tests of every point of the plan must compare "
            "something. Takes about 25 minutes. All figures: build/coverage.json.",
            "coverage rescale --words 5000")
    parser.add_argument("blocks", metavar="BLOCK", nargs="*", help=f"{', '.join(blocks())}; all if none is named")
    parser.add_argument("--seed", type=seed, metavar="N", help="seed of the random tests; a fresh one if absent")
    parser.add_argument("--words", type=count, metavar="N", default=WORDS,
                        help="output words of a build's random tests, at most those of its regression")
    runs(parser, Options, run)


def samples(wanted: Sequence[str], seed: int, words: int) -> list[Sample]:
    """Measure the builds of the wanted blocks, as many at a time as there are cores, saying what came."""
    jobs = [(block, name) for block in wanted for name in measured(block)]
    found: dict[tuple[str, str], Sample] = {}
    with pool() as workers:
        running = {workers.submit(measure, block, name, seed, words): (block, name) for block, name in jobs}
        for done, future in enumerate(as_completed(running), 1):
            sample = found[running[future]] = future.result()
            both = sample.of("line", "branch")
            say(f"{done} of {len(jobs)}: {sample.block} {sample.set_name}, {sum(point.hit for point in both)} of "
                f"{len(both)} lines and branches, {sample.seconds:.0f} s")
    return [found[job] for job in jobs]


def run(options: Options) -> int:
    """Measure, print the table; 0 if everything is covered, 1 if not."""
    return judged(lambda: _run(options))


def _run(options: Options) -> int:
    wanted = tuple(dict.fromkeys(options.blocks)) or blocks()
    for block in wanted:
        measured(block)
    check_root()
    seed = fresh_seed() if options.seed is None else options.seed
    again = " ".join(("stamp-hw verify coverage", *options.blocks, "--seed", f"{seed}", "--words", f"{options.words}"))
    say(f"seed {seed}; again: {again}")
    spent = clock()
    report = judge(samples(wanted, seed, options.words), WAIVERS, plan.entries())
    target = BUILD_ROOT / "coverage.json"
    write_json(target, {"seed": seed, "seconds": spent(), "words": options.words, "blocks": report.blocks,
                        "errors": report.errors})
    for line in (*table(report), *report.errors, f"all figures: {target}"):
        say(line)
    if report.errors:
        say(f"{len(report.errors)} things are not covered; again: {again}")
    return int(bool(report.errors))
