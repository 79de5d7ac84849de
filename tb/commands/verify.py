"""`stamp-hw verify`: runs the blocks' testbenches under Verilator, outside pytest."""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stamp_hw import exits
from stamp_hw.cli.arguments import taken
from stamp_hw.cli.common import HardwareOptions, add_hardware
from stamp_hw.errors import ConfigError

COLUMNS = ("block", "parameter set", "words", "mismatches", "cycles", "timed beats", "cycle differences",
           "event differences", "seconds", "")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options; `run` is a function of them."""
    from tb.run.blocks import blocks

    parser.description = (
        "Build each block with Verilator and compare values, cycles and events with the golden and "
        "cycle models. Builds and logs go to build/ of the checkout, or where STAMP_BUILD in the "
        "environment says. A trace of which no layer runs is wrong input.")
    parser.epilog = exits.HELP
    parser.add_argument("--block", metavar="NAME", help=f"only this block: {', '.join(blocks())}")
    parser.add_argument("--set", metavar="NAME", dest="set_name", help="only this parameter set (needs --block)")
    add_hardware(parser, says="this configuration's hardware, not the benches' sets")
    parser.add_argument("--trace", metavar="FILE", help="take real tensors from this trace, not from the shipped one")
    parser.add_argument("--test", metavar="NAME", action="append", help="only this test of the bench (may be repeated)")
    parser.add_argument("--seed", metavar="N", type=int, help="seed of the random tests, >= 0; a fresh one if absent")
    parser.add_argument("--words", metavar="N", type=int, help="output words to compare in each parameter set, >= 1")
    parser.add_argument("--waves", action="store_true", help="leave a VCD file in build/waves")
    parser.set_defaults(run=run)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """One run; `tests` is None for all tests of the bench."""

    block: str
    set_name: str
    params: Any
    tests: tuple[str, ...] | None


def _jobs(args: argparse.Namespace) -> list[_Job]:
    """Every run that is asked for; a block that has none of the tests asked for is left out."""
    from tb.run.block import bench_module, tests_of
    from tb.run.blocks import blocks

    if args.set_name is not None and args.block is None:
        raise ConfigError("a parameter set belongs to a block", where="--set", got=args.set_name,
                          expected="--block as well")
    config = taken(HardwareOptions, args).configuration()
    chosen = blocks() if args.block is None else (args.block,)
    known = {block: tests_of(bench_module(block)) for block in chosen}
    for name in args.test or ():
        if not any(name in names for names in known.values()):
            raise ConfigError("unknown test", where="--test", got=repr(name),
                              expected=" or ".join(dict.fromkeys(name for names in known.values() for name in names)))
    jobs = []
    for block, names in known.items():
        tests = None if args.test is None else tuple(name for name in names if name in args.test)
        sets = bench_module(block).PARAMETER_SETS
        if args.config is not None or args.hw:
            from rtl_gen.tops import units
            sets = {unit.module.removeprefix("stamp_"): unit.params(config.hw) for unit in units(block)}
        if args.set_name is not None and args.set_name not in sets:
            raise ConfigError("unknown parameter set", where=block, got=args.set_name, expected=" or ".join(sets))
        jobs += [_Job(block=block, set_name=name, params=params, tests=tests) for name, params in sets.items()
                 if args.set_name in (None, name) and tests != ()]
    return jobs


def _verdict(result: Any, wrong: tuple[str, ...]) -> str:
    """The last cell of a row."""
    if result.crashed:
        return "BROKEN"
    return "FAILED" if result.failures else "nothing compared" if wrong else "ok"


def run(args: argparse.Namespace) -> int:
    """Run the chosen benches, printing a row as each ends; the exit code of `stamp_hw.exits`."""
    from tb.run.block import fresh_seed, reproduce, run_block
    from tb.run.simulator import BUILD_ROOT, Result, check_root

    seed = fresh_seed() if args.seed is None else args.seed
    if seed < 0:
        raise ConfigError("impossible value", where="--seed", got=seed, expected="0 or more")
    if args.words is not None and args.words < 1:
        raise ConfigError("impossible value", where="--words", got=args.words, expected="1 or more")
    if args.trace is not None:
        from stamp_hw.formats.trace import Trace
        with Trace.open(args.trace):
            os.environ["STAMP_TRACE"] = os.path.realpath(args.trace)
    jobs = _jobs(args)
    check_root()
    widths = [max(len(COLUMNS[0]), *(len(job.block) for job in jobs)),
              max(len(COLUMNS[1]), *(len(job.set_name) for job in jobs)),
              *(max(9, len(title)) for title in COLUMNS[2:])]

    def row(cells: tuple[object, ...]) -> str:
        sides = "<<" + ">" * (len(COLUMNS) - 3) + "<"
        return "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(cells, sides, widths, strict=True))

    print(f"seed {seed}")
    print(row(COLUMNS))
    failed: list[tuple[_Job, Result, tuple[str, ...]]] = []
    results: list[Result] = []
    for index, job in enumerate(jobs, 1):
        block, name = job.block, job.set_name
        progress = f"{index} of {len(jobs)}: {block} {name} …"
        if os.isatty(1):
            print(progress, end="\r", flush=True)
        result = run_block(block, name, seed, params=job.params, waves=args.waves, tests=job.tests,
                           words=args.words, check=False)
        wrong = result.failures
        # a test of the whole bench may have nothing to do in a narrow build; one that was asked for by name may not
        if not wrong and (not result.words or job.tests and result.idle):
            wrong = tuple(f"nothing compared by {test}" + (f": {why}" if why else "")
                          for test, why in result.idle.items()) or ("nothing compared by any test",)
        results.append(result)
        print(row((block, name, result.words, result.mismatches, result.cycles, result.timed_beats,
                   result.cycle_differences, result.event_differences, f"{result.seconds:.1f}",
                   _verdict(result, wrong))), flush=True)
        if result.wave:
            kept = BUILD_ROOT / "waves" / f"{block}-{name}-{seed}.vcd"
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(result.wave, kept)
            print(f"    waveform: {kept}")
        if wrong:
            failed.append((job, result, wrong))
    for job, result, wrong in failed:
        for line in wrong:
            print(f"{job.block} {job.set_name}: {line}")
        if result.log.is_file():
            print(f"    log: {result.log}")
        again = reproduce(job.block, job.set_name, seed, tests=job.tests, words=args.words, config=args.config,
                          hw=args.hw, trace=args.trace)
        print(f"    again: {again}")
    if args.trace is not None and not any(result.failures for result in results):
        _require_the_trace(args.trace, results)
    if any(not result.crashed for _, result, _ in failed):
        return exits.FOUND
    return exits.BROKEN if failed else exits.OK


def _require_the_trace(path: str, results: Sequence[Any]) -> None:
    """Raises ConfigError unless a layer of the trace ran in an engine, or a part of one where there was no engine: the
    `tb.run.simulator.Result` of each run says what its tests compared."""
    from tb.bench.harness import TRACE_TESTS

    engines = [result for result in results if result.block == "engine"]
    idle = {}
    for result in engines or results:
        for test in TRACE_TESTS & set(result.tests):
            if result.tests[test]:
                return
            idle[f"{result.block} {result.set_name}"] = result.idle[test]
    if idle:
        where, why = list(idle.items())[-1]
        raise ConfigError(f"nothing of the trace was compared: {where}: {why}", where=path)
