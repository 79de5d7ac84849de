"""The engine's deep regression, `python -m tb.regress` (`make regress`).

It draws 500 cases over every generated array, and takes every layer of the shipped trace through the largest one;
values, cycles and events must all be equal. A case is one run of one to three random layers, some with stalls on
every stream; seeds are fresh, and a failure prints the one command that repeats it.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from stamp_hw.errors import StampError
from stamp_hw.files import write_json
from stamp_hw.trace import Trace
from tb import tb_engine
from tb.harness import TRACE
from tb.regression import fresh_seed, run_block
from tb.runner import Result

TRACE_SET = "16x16"  # the array that takes the trace
RANDOM_TESTS = ("jobs_in_a_row_equal_the_models", "jobs_under_stalls_equal_the_models")
TRACE_TEST = "a_layer_of_the_trace_equals_the_golden_model"
WORDS = 15_000  # output words of one round of a parameter set
_LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class Totals:
    """What all runs add up to. `products` are multiplications behind the compared outputs of the trace's layers."""

    cases: int = 0
    words: int = 0
    cycles: int = 0
    timed_beats: int = 0
    mismatches: int = 0
    cycle_differences: int = 0
    event_differences: int = 0
    products: int = 0
    seconds: float = 0.0

    def add(self, result: Result) -> None:
        self.cases += result.runs
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


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tb.regress", description="Deep regression of the engine's RTL.")
    parser.add_argument("--cases", type=int, default=500, metavar="N", help="random cases (default 500)")
    parser.add_argument("--seed", type=int, default=None, metavar="N", help="first seed (default: a fresh one)")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    logging.getLogger("tb.regression").setLevel(logging.WARNING)
    totals, seed = Totals(), fresh_seed() if args.seed is None else args.seed
    try:
        random_cases(totals, args.cases, seed)
        trace_layers(totals, seed)
    except AssertionError as error:
        _LOG.error("%s", error)
        return 1
    except StampError as error:
        _LOG.error("error: %s", error)
        return 2
    _LOG.info("%d cases over %d arrays: %d words, %d mismatches; %d beats, %d cycle differences; %d event differences",
              totals.cases, len(tb_engine.PARAMETER_SETS), totals.words, totals.mismatches, totals.timed_beats,
              totals.cycle_differences, totals.event_differences)
    _LOG.info("%d products behind the trace's outputs; %d cycles in %.0f s", totals.products, totals.cycles,
              totals.seconds)
    write_json(Path("build/regress.json"), {"seed": seed} | asdict(totals))
    return 0


if __name__ == "__main__":
    sys.exit(main())
