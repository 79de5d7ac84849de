"""`stamp-hw verify`: runs the blocks' testbenches under Verilator, outside pytest."""

from __future__ import annotations

import argparse
import shutil
from typing import Any

COLUMNS = ("block", "parameter set", "words", "mismatches", "cycles", "timed beats", "cycle differences",
           "event differences", "seconds", "")


def add_parser(subparsers: Any) -> None:
    """Register the subcommand."""
    parser = subparsers.add_parser("verify", help="run the testbenches against the golden model",
                                   description="Build each block with Verilator and compare values, cycles and events "
                                               "with the golden and cycle models. Exit code 1 on any difference.")
    parser.add_argument("--block", metavar="NAME", help="only this block")
    parser.add_argument("--set", metavar="NAME", dest="set_name", help="only this parameter set (needs --block)")
    parser.add_argument("--test", metavar="NAME", action="append", help="only this test of the bench (may be repeated)")
    parser.add_argument("--seed", metavar="N", type=int, help="seed of the random tests; a fresh one if absent")
    parser.add_argument("--words", metavar="N", type=int, help="output words to compare in each parameter set")
    parser.add_argument("--waves", action="store_true", help="leave a VCD file in build/waves")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the chosen benches, printing a row as each ends; 0 if nothing differs, otherwise 1."""
    from stamp_hw.errors import ConfigError
    from tb.regression import bench_module, blocks, fresh_seed, reproduce, run_block
    from tb.runner import BUILD_ROOT, Result

    if args.set_name and not args.block:
        raise ConfigError("a parameter set belongs to a block", where="--set", got=args.set_name,
                          expected="--block as well")
    seed = fresh_seed() if args.seed is None else args.seed
    if seed < 0:
        raise ConfigError("impossible value", where="--seed", got=seed, expected="0 or more")
    jobs = [(block, name) for block in ([args.block] if args.block else blocks())
            for name in ([args.set_name] if args.set_name else bench_module(block).PARAMETER_SETS)]
    widths = [max(len(COLUMNS[0]), *(len(block) for block, _ in jobs)),
              max(len(COLUMNS[1]), *(len(name) for _, name in jobs)), *(max(9, len(title)) for title in COLUMNS[2:])]

    def row(cells: tuple[object, ...]) -> str:
        sides = "<<" + ">" * (len(COLUMNS) - 3) + "<"
        return "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(cells, sides, widths, strict=True))

    print(f"seed {seed}")
    print(row(COLUMNS))
    failed: list[Result] = []
    for index, (block, name) in enumerate(jobs, 1):
        print(f"{index} of {len(jobs)}: {block} {name} …", end="\r", flush=True)
        result = run_block(block, name, seed, waves=args.waves, tests=args.test, words=args.words, check=False)
        print(row((block, name, result.words, result.mismatches, result.cycles, result.timed_beats,
                   result.cycle_differences, result.event_differences, f"{result.seconds:.1f}",
                   "ok" if result.passed else "FAILED")))
        if result.wave:
            kept = BUILD_ROOT / "waves" / f"{block}-{name}-{seed}.vcd"
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(result.wave, kept)
            print(f"    waveform: {kept}")
        if not result.passed:
            failed.append(result)
    for result in failed:
        for failure in result.failures or ("no test of that name",):
            print(f"{result.block} {result.set_name}: {failure}")
        print(f"    log: {result.log}\n    again: {reproduce(result.block, result.set_name, seed)}")
    return int(bool(failed))
