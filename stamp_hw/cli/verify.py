"""`stamp-hw verify`: runs the blocks' testbenches under Verilator, outside pytest."""

from __future__ import annotations

import argparse
import os
import shutil
from typing import Any

from stamp_hw.config import NpuConfig
from stamp_hw.errors import ConfigError

COLUMNS = ("block", "parameter set", "words", "mismatches", "cycles", "timed beats", "cycle differences",
           "event differences", "seconds", "")


def add_parser(subparsers: Any) -> None:
    """Register the subcommand."""
    parser = subparsers.add_parser("verify", help="run the testbenches against the golden model",
                                   description="Build each block with Verilator and compare values, cycles and events "
                                               "with the golden and cycle models. Exit code 1 on any difference.")
    parser.add_argument("--block", metavar="NAME", help="only this block")
    parser.add_argument("--set", metavar="NAME", dest="set_name", help="only this parameter set (needs --block)")
    parser.add_argument("--config", metavar="YAML", help="this configuration's hardware, not the benches' sets")
    parser.add_argument("--trace", metavar="FILE", help="take real tensors from this trace, not from the shipped one")
    parser.add_argument("--test", metavar="NAME", action="append", help="only this test of the bench (may be repeated)")
    parser.add_argument("--seed", metavar="N", type=int, help="seed of the random tests; a fresh one if absent")
    parser.add_argument("--words", metavar="N", type=int, help="output words to compare in each parameter set")
    parser.add_argument("--waves", action="store_true", help="leave a VCD file in build/waves")
    parser.set_defaults(run=run)


def _jobs(args: argparse.Namespace) -> list[tuple[str, str, Any]]:
    """(block, parameter set, parameters) of every run."""
    from tb.regression import bench_module, blocks

    if args.set_name and not args.block:
        raise ConfigError("a parameter set belongs to a block", where="--set", got=args.set_name,
                          expected="--block as well")
    jobs = []
    for block in [args.block] if args.block else blocks():
        sets = bench_module(block).PARAMETER_SETS
        if args.config:
            from rtl_gen.generate import units
            hw = NpuConfig.load(args.config).hw
            sets = {unit.module.removeprefix("stamp_"): unit.params(hw) for unit in units(block)}
        if args.set_name and args.set_name not in sets:
            raise ConfigError("unknown parameter set", where=block, got=args.set_name, expected=" or ".join(sets))
        jobs += [(block, name, params) for name, params in sets.items() if args.set_name in (None, name)]
    return jobs


def run(args: argparse.Namespace) -> int:
    """Run the chosen benches, printing a row as each ends; 0 if nothing differs, otherwise 1."""
    from tb.regression import fresh_seed, run_block
    from tb.runner import BUILD_ROOT, Result

    seed = fresh_seed() if args.seed is None else args.seed
    if seed < 0:
        raise ConfigError("impossible value", where="--seed", got=seed, expected="0 or more")
    if args.trace:
        from stamp_hw.trace import Trace
        with Trace.open(args.trace):
            os.environ["STAMP_TRACE"] = os.path.realpath(args.trace)
    jobs = _jobs(args)
    widths = [max(len(COLUMNS[0]), *(len(block) for block, _, _ in jobs)),
              max(len(COLUMNS[1]), *(len(name) for _, name, _ in jobs)), *(max(9, len(title)) for title in COLUMNS[2:])]

    def row(cells: tuple[object, ...]) -> str:
        sides = "<<" + ">" * (len(COLUMNS) - 3) + "<"
        return "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(cells, sides, widths, strict=True))

    options = f" --config {args.config}" if args.config else ""
    options += f" --trace {args.trace}" if args.trace else ""
    print(f"seed {seed}")
    print(row(COLUMNS))
    failed: list[Result] = []
    for index, (block, name, params) in enumerate(jobs, 1):
        progress = f"{index} of {len(jobs)}: {block} {name} …"
        if os.isatty(1):
            print(progress, end="\r", flush=True)
        result = run_block(block, name, seed, params=params, waves=args.waves, tests=args.test, words=args.words,
                           check=False)
        print(row((block, name, result.words, result.mismatches, result.cycles, result.timed_beats,
                   result.cycle_differences, result.event_differences, f"{result.seconds:.1f}",
                   "ok" if result.passed else "FAILED")), flush=True)
        if result.wave:
            kept = BUILD_ROOT / "waves" / f"{block}-{name}-{seed}.vcd"
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(result.wave, kept)
            print(f"    waveform: {kept}")
        if not result.passed:
            failed.append(result)
    for result in failed:
        for failure in result.failures:
            print(f"{result.block} {result.set_name}: {failure}")
        print(f"    log: {result.log}\n    again: stamp-hw verify --block {result.block} --set {result.set_name}"
              f"{options} --seed {seed}")
    return int(bool(failed))
