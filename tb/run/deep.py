"""The engine's deep regression, `python -m tb.run.deep` (`make regress`).

It draws 500 cases over every generated array, and takes every layer of the shipped trace through the largest one;
values, cycles and events must all be equal. A case is one run of one to three random layers, some with stalls on
every stream. Then the bench runs on corners of legal hardware, and 1,000 times jobs are flushed in any cycle behind the
AXI ports, and the next one must be right. Seeds are fresh, and a failure prints the one command that repeats it.
"""

from __future__ import annotations

import logging
import os
import sys
from dataclasses import asdict, dataclass

from stamp_hw.cli.arguments import Parser
from stamp_hw.engine.params import EngineParams
from stamp_hw.exits import HELP
from stamp_hw.formats.files import write_json
from stamp_hw.formats.trace import Trace
from tb import tb_axi, tb_engine
from tb.bench.harness import TRACE
from tb.run.block import fresh_seed, run_block, tests_of
from tb.run.corners import CORNERS
from tb.run.exits import count, ended, seed
from tb.run.simulator import BUILD_ROOT, Result, check_root

TRACE_SET = "16x16"  # the array that takes the trace
RANDOM_TESTS = ("jobs_in_a_row_equal_the_models", "jobs_under_stalls_equal_the_models")
TRACE_TEST = "a_layer_of_the_trace_equals_the_golden_model"
FLUSH_TEST = "after_a_flush_at_any_moment_the_next_job_is_right"
WORDS = 15_000  # output words of one round of a parameter set
FLUSHES = 1_000
_LOG = logging.getLogger("tb.run.deep")


@dataclass(slots=True)
class Totals:
    """What all runs add up to. `products` are multiplications behind the compared outputs of the trace's layers."""

    cases: int = 0
    flushes: int = 0
    corners: int = 0
    words: int = 0
    cycles: int = 0
    timed_beats: int = 0
    mismatches: int = 0
    cycle_differences: int = 0
    event_differences: int = 0
    products: int = 0
    seconds: float = 0.0

    def add(self, result: Result) -> None:
        for name in ("words", "cycles", "timed_beats", "mismatches", "cycle_differences", "event_differences"):
            setattr(self, name, getattr(self, name) + getattr(result, name))
        self.seconds += result.seconds


def random_cases(totals: Totals, cases: int, seed: int) -> None:
    """Rounds over all arrays, a new seed each, until there were so many cases. Raises AssertionError on a difference.
    """
    turn = 0
    while totals.cases < cases:
        for name in tb_engine.PARAMETER_SETS:
            result = run_block("engine", name, seed + turn, words=WORDS, tests=RANDOM_TESTS)
            totals.add(result)
            totals.cases += result.runs
            _LOG.info("%-6s seed %d: %d cases, %d words, %d cycles, %.0f s; %d of %d cases", name, seed + turn,
                      result.runs, result.words, result.cycles, result.seconds, totals.cases, cases)
        turn += 1


def trace_layers(totals: Totals, seed: int) -> None:
    """Every layer of the trace through `TRACE_SET`. Raises AssertionError on a difference."""
    params = tb_engine.PARAMETER_SETS[TRACE_SET]
    with Trace(TRACE) as trace:
        names = [name for name in trace.layer_names if not tb_engine.unfit(trace, name, params, deep=True)]
        layers = [trace.layer(name) for name in names]
    os.environ["STAMP_DEEP"] = "1"
    result = run_block("engine", TRACE_SET, seed, tests=[TRACE_TEST])
    totals.add(result)
    totals.products += sum(layer.x.size * len(layer.weight) for layer in layers)
    _LOG.info("%d layers of %s: %d words, %d products behind them, %d cycles, %.0f s", len(layers), TRACE.name,
              result.words, totals.products, result.cycles, result.seconds)


def flushes(totals: Totals, wanted: int, seed: int) -> None:
    """Rounds over the AXI tops, a new seed each, until there were so many. Raises AssertionError on a difference."""
    turn = 0
    while totals.flushes < wanted:
        for name in tb_axi.PARAMETER_SETS:
            result = run_block("axi", name, seed + turn, words=WORDS, tests=[FLUSH_TEST])
            totals.add(result)
            totals.flushes += result.runs
            _LOG.info("%-6s seed %d: %d flushes, %d words, %d cycles, %.0f s; %d of %d flushes", name, seed + turn,
                      result.runs, result.words, result.cycles, result.seconds, totals.flushes, wanted)
        turn += 1


def corners(totals: Totals, seed: int) -> None:
    """The engine's bench on the corners of legal hardware. Raises AssertionError on a difference."""
    tests = [test for test in tests_of(tb_engine) if test != "thousands_of_column_tiles_are_counted"]  # takes minutes
    for name, hw in CORNERS.items():
        result = run_block("engine", "corner", seed, params=EngineParams.of(hw), words=300, tests=tests)
        totals.add(result)
        totals.corners += 1
        _LOG.info("%s: %d words, %d cycles, %.0f s", name, result.words, result.cycles, result.seconds)


def main() -> int:
    parser = Parser(prog="python -m tb.run.deep", description="Deep regression of the engine's RTL.",
                    epilog=HELP)
    parser.add_argument("--cases", type=count, default=500, metavar="N", help="random cases (default 500)")
    parser.add_argument("--flushes", type=count, default=FLUSHES, metavar="N", help=f"flushed jobs (default {FLUSHES})")
    parser.add_argument("--seed", type=seed, default=None, metavar="N", help="first seed (default: a fresh one)")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    logging.getLogger("tb.run.block").setLevel(logging.WARNING)
    return ended(_LOG, lambda: run(args.cases, args.flushes, fresh_seed() if args.seed is None else args.seed))


def run(cases: int, flushed: int, first: int) -> int:
    """Draw the cases, take the trace, flush jobs, say and write what came; 0."""
    check_root()
    totals = Totals()
    random_cases(totals, cases, first)
    trace_layers(totals, first)
    corners(totals, first)
    flushes(totals, flushed, first)
    _LOG.info("%d cases over %d arrays, %d corners of hardware and %d flushed jobs: %d words, %d mismatches; %d beats, "
              "%d cycle differences; %d event differences", totals.cases, len(tb_engine.PARAMETER_SETS), totals.corners,
              totals.flushes, totals.words, totals.mismatches, totals.timed_beats, totals.cycle_differences,
              totals.event_differences)
    _LOG.info("%d products behind the trace's outputs; %d cycles in %.0f s", totals.products, totals.cycles,
              totals.seconds)
    write_json(BUILD_ROOT / "regress.json", {"seed": first} | asdict(totals))
    return 0


if __name__ == "__main__":
    sys.exit(main())
