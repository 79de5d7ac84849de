"""`python -m tb.coverage [BLOCK …]` measures the coverage of every build and fails on any point that is missing."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed

from stamp_hw.cli.arguments import Parser
from stamp_hw.exits import HELP
from stamp_hw.formats.files import write_json
from tb.coverage.builds import measured
from tb.coverage.measure import measure
from tb.coverage.report import Sample, judge, table
from tb.coverage.waivers import WAIVERS
from tb.run import plan
from tb.run.block import fresh_seed
from tb.run.blocks import blocks
from tb.run.exits import count, ended, seed
from tb.run.simulator import BUILD_ROOT, check_root

WORDS = 60_000  # output words of each build's random tests, at most; the directed ones come on top
_LOG = logging.getLogger("tb.coverage")


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = Parser(prog="python -m tb.coverage", description=__doc__, epilog=HELP)
    parser.add_argument("blocks", metavar="BLOCK", nargs="*", help=f"{', '.join(blocks())}; all if none is named")
    parser.add_argument("--seed", type=seed, metavar="N", help="seed of the random tests; a fresh one if absent")
    parser.add_argument("--words", type=count, metavar="N", default=WORDS,
                        help="output words of a build's random tests, at most those of its regression")
    return parser.parse_args(argv)


def samples(wanted: Sequence[str], seed: int, words: int) -> list[Sample]:
    """Measure the builds of the wanted blocks, as many at a time as there are cores, saying what came."""
    jobs = [(block, name) for block in wanted for name in measured(block)]
    found: dict[tuple[str, str], Sample] = {}
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        running = {pool.submit(measure, block, name, seed, words): (block, name) for block, name in jobs}
        for done, future in enumerate(as_completed(running), 1):
            sample = found[running[future]] = future.result()
            both = sample.of("line", "branch")
            _LOG.info("%d of %d: %s %s, %d of %d lines and branches, %.0f s", done, len(jobs), sample.block,
                      sample.set_name, sum(point.hit for point in both), len(both), sample.seconds)
    return [found[job] for job in jobs]


def run(argv: Sequence[str]) -> int:
    """Measure, print the table; 0 if everything is covered, 1 if not."""
    args = arguments(argv)
    wanted = tuple(dict.fromkeys(args.blocks)) or blocks()
    for block in wanted:
        measured(block)
    check_root()
    seed = fresh_seed() if args.seed is None else args.seed
    again = f"python -m tb.coverage {' '.join(args.blocks)} --seed {seed} --words {args.words}".replace("  ", " ")
    _LOG.info("seed %d; again: %s", seed, again)
    report = judge(samples(wanted, seed, args.words), WAIVERS, plan.entries())
    target = BUILD_ROOT / "coverage.json"
    write_json(target, {"seed": seed, "words": args.words, "blocks": report.blocks, "errors": report.errors})
    for line in (*table(report), *report.errors, f"all figures: {target}"):
        _LOG.info("%s", line)
    if report.errors:
        _LOG.info("%d things are not covered; again: %s", len(report.errors), again)
    return int(bool(report.errors))


def main(argv: Sequence[str]) -> int:
    """`run`, with a user's errors and failing tests as one line."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout)
    _LOG.setLevel(logging.INFO)
    return ended(_LOG, lambda: run(argv))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
