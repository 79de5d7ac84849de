"""`stamp-hw verify deep`: the engine's deep regression.

It draws 500 cases over every generated array, and takes every layer of the shipped trace through the largest one;
values, cycles and events must all be equal. A case is one run of one to three random layers, some with stalls on
every stream. Then the bench runs on corners of legal hardware, and 1,000 times jobs are flushed in any cycle behind the
AXI ports, and the next one must be right. Where `make smollm2` has made a real Llama, its first block runs too,
chained and layer by layer. Seeds are fresh, and a failure prints the one command that repeats it.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

from stamp_hw.cli.arguments import runs
from stamp_hw.cli.common import count, seed
from stamp_hw.config import NpuConfig
from stamp_hw.engine.params import EngineParams
from stamp_hw.formats.files import write_json
from stamp_hw.formats.trace import Trace
from tb import tb_axi, tb_engine
from tb.bench.harness import TRACE
from tb.commands.common import explain, judged, say
from tb.commands.prefill import PRESET
from tb.engine.fit import unfit
from tb.prefill.host import Host, HostError
from tb.prefill.pieces import BLOCK_0
from tb.prefill.run import go_on, start
from tb.run.block import fresh_seed, run_block, tests_of
from tb.run.corners import CORNERS
from tb.run.simulator import BUILD_ROOT, Result, check_root

TRACE_SET = "16x16"  # the array that takes the trace
RANDOM_TESTS = ("jobs_in_a_row_equal_the_models", "jobs_under_stalls_equal_the_models")
TRACE_TEST = "a_layer_of_the_trace_equals_the_golden_model"
FLUSH_TEST = "after_a_flush_at_any_moment_the_next_job_is_right"
WORDS = 15_000  # output words of one round of a parameter set
CASES, FLUSHES = 500, 1_000
REAL, REAL_TOKENS = "smollm2", 64  # the model whose first block runs, and so many tokens of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of `stamp-hw verify deep`; `seed` is None for a fresh one."""

    cases: int
    flushes: int
    seed: int | None


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options; `run` is a function of them."""
    explain(parser, "Random layers over every generated array, every layer of the shipped trace through the largest, "
            "corners of legal hardware, jobs flushed in any cycle behind the AXI ports, and the first block of "
            "SmolLM2 where `make smollm2` has made it: values, cycles and events must equal those of the models. "
            "Takes about 14 minutes of processor time. All figures: build/regress.json.",
            "deep --cases 20 --flushes 20 --seed 1")
    parser.add_argument("--cases", type=count, default=CASES, metavar="N", help=f"random cases (default {CASES})")
    parser.add_argument("--flushes", type=count, default=FLUSHES, metavar="N", help=f"flushed jobs (default {FLUSHES})")
    parser.add_argument("--seed", type=seed, metavar="N", help="first seed (default: a fresh one)")
    runs(parser, Options, run)


@dataclass(slots=True)
class Totals:
    """What all runs add up to. `products` are multiplications behind the compared outputs of the trace's layers,
    `block_products` those of the real model's block, None without it."""

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
    block_products: int | None = None
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
            say(f"{name:<6} seed {seed + turn}: {result.runs} cases, {_done(result)}; {totals.cases} of {cases} cases")
        turn += 1


def trace_layers(totals: Totals, seed: int) -> None:
    """Every layer of the trace through `TRACE_SET`. Raises AssertionError on a difference."""
    params = tb_engine.PARAMETER_SETS[TRACE_SET]
    with Trace(TRACE) as trace:
        names = [name for name in trace.layer_names if not unfit(trace, name, params, deep=True)]
        layers = [trace.layer(name) for name in names]
    os.environ["STAMP_DEEP"] = "1"
    result = run_block("engine", TRACE_SET, seed, tests=[TRACE_TEST])
    totals.add(result)
    totals.products += sum(layer.x.size * len(layer.weight) for layer in layers)
    say(f"{len(layers)} layers of {TRACE.name}: {result.words} words, {totals.products} products behind them, "
        f"{result.cycles} cycles, {result.seconds:.0f} s")


def flushes(totals: Totals, wanted: int, seed: int) -> None:
    """Rounds over the AXI tops, a new seed each, until there were so many. Raises AssertionError on a difference."""
    turn = 0
    while totals.flushes < wanted:
        for name in tb_axi.PARAMETER_SETS:
            result = run_block("axi", name, seed + turn, words=WORDS, tests=[FLUSH_TEST])
            totals.add(result)
            totals.flushes += result.runs
            say(f"{name:<6} seed {seed + turn}: {result.runs} flushes, {_done(result)}; "
                f"{totals.flushes} of {wanted} flushes")
        turn += 1


def corners(totals: Totals, seed: int) -> None:
    """The engine's bench on the corners of legal hardware. Raises AssertionError on a difference."""
    tests = [test for test in tests_of(tb_engine) if test != "thousands_of_column_tiles_are_counted"]  # takes minutes
    for name, hw in CORNERS.items():
        result = run_block("engine", "corner", seed, params=EngineParams.of(hw), words=300, tests=tests)
        totals.add(result)
        totals.corners += 1
        say(f"{name}: {_done(result)}")


def real_block(totals: Totals) -> None:
    """The first block of a real Llama on the language preset, chained and layer by layer, where there is one. Raises
    AssertionError on a difference, and HostError."""
    if find_spec("torch") is None or not (BUILD_ROOT / REAL).is_dir():
        say(f"skipped the first block of {REAL}: `make smollm2` makes it")
        return
    began = time.monotonic()
    host = Host(model=REAL, tokens=REAL_TOKENS, config=NpuConfig.load(PRESET))
    with tempfile.TemporaryDirectory(dir=BUILD_ROOT, prefix=f"{REAL}-rtl.") as room:
        found, engine = start(host, Path(room), BUILD_ROOT, BLOCK_0, say)
        go_on(found, engine, Path(room), 1, say)
    assert not found.failures, " || ".join(found.failures)
    document = found.document()
    for part in (document, document["chained"]):
        for name in ("words", "cycles", "timed_beats", "mismatches", "cycle_differences", "event_differences"):
            setattr(totals, name, getattr(totals, name) + part[name])
    totals.block_products = document["products"]
    totals.seconds += time.monotonic() - began


def _done(result: Result) -> str:
    return f"{result.words} words, {result.cycles} cycles, {result.seconds:.0f} s"


def run(options: Options) -> int:
    """Draw the cases, take the trace, flush jobs, say and write what came; 0, 1 at the first difference, 3 where a
    bench broke."""
    try:
        return judged(lambda: _run(options))
    except HostError as error:
        return error.code


def _run(options: Options) -> int:
    check_root()
    totals, first = Totals(), fresh_seed() if options.seed is None else options.seed
    random_cases(totals, options.cases, first)
    trace_layers(totals, first)
    corners(totals, first)
    flushes(totals, options.flushes, first)
    real_block(totals)
    say(f"{totals.cases} cases over {len(tb_engine.PARAMETER_SETS)} arrays, {totals.corners} corners of hardware and "
        f"{totals.flushes} flushed jobs: {totals.words} words, {totals.mismatches} mismatches; {totals.timed_beats} "
        f"beats, {totals.cycle_differences} cycle differences; {totals.event_differences} event differences")
    say(f"{totals.products} products behind the trace's outputs, {totals.block_products or 0} behind the real block's; "
        f"{totals.cycles} cycles in {totals.seconds:.0f} s")
    write_json(BUILD_ROOT / "regress.json", {"seed": first} | asdict(totals))
    return 0
