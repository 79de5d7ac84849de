"""`stamp-hw verify census`: runs the engine's bench and names the bits of registers that no stimulus reached.

A bit must move both ways and, but the lowest one of a register or field, must once differ from the bit below it. What
does not has a reason in `tb/census/reasons.py`. The run has a seed of its own, so that the reasons are about the bench.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stamp_hw.cli.arguments import runs
from stamp_hw.cli.common import seed
from stamp_hw.errors import ConfigError
from tb.census.reasons import REASONS
from tb.census.registers import Bit, census, instrumented
from tb.census.report import judge
from tb.commands.common import explain, judged, say
from tb.run.block import bench_module, elaborate, reproduce
from tb.run.processes import pool
from tb.run.simulator import BUILD_ROOT, check_root, simulate

BLOCK, SETS, SEED, WORDS = "engine", ("2x2", "1x3"), 2, 24_000
FLAGS = ("--coverage-toggle", "--coverage-max-width", "16384")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of `stamp-hw verify census`; no set stands for all of SETS."""

    sets: Sequence[str]
    seed: int


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options; `run` is a function of them."""
    explain(parser, "Run the engine's bench and name the bits of registers that it did not reach: each must move both "
            "ways and once differ from the bit below it in its field, or have a reason. Takes about 2 minutes of "
            "processor time.", "census 2x2")
    parser.add_argument("sets", metavar="SET", nargs="*", help=f"{', '.join(SETS)}; all if none is named")
    parser.add_argument("--seed", type=seed, metavar="N", default=SEED, help=f"seed of the bench (default {SEED})")
    runs(parser, Options, run)


def measure(set_name: str, seed: int, words: int = WORDS, tests: Sequence[str] | None = None, root: Path = BUILD_ROOT
            ) -> list[Bit]:
    """Every bit of every register of a parameter set after the bench; raises AssertionError when a test fails."""
    bench = bench_module(BLOCK)
    params, top = bench.PARAMETER_SETS[set_name], f"stamp_{BLOCK}"
    files, ports = elaborate(bench, params, top, field_wires=True)
    (root / "census").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root / "census", prefix=f"{set_name}.") as folder:
        data = Path(folder) / "coverage.dat"
        result = simulate(instrumented(files), top, bench.__name__, ports, params, block=BLOCK, set_name=set_name,
                          seed=seed, words=words, tests=tests, root=root, flags=FLAGS,
                          plusargs=(f"+verilator+coverage+file+{data}",))
        if not result.passed:
            again = reproduce(BLOCK, set_name, seed, tests=tests, words=words)
            raise AssertionError(f"set {set_name}: {' || '.join(result.failures)}; again: {again}; log: {result.log}")
        return census(data.read_bytes(), files)


def run(options: Options) -> int:
    """Measure, print what lacks and why; 0 if every such bit has its reason and no reason is wrong, 1 if not."""
    return judged(lambda: _run(options))


def _run(options: Options) -> int:
    for name in options.sets:
        if name not in SETS:
            raise ConfigError("no census of this set", where="SET", got=name, expected=" or ".join(SETS))
    check_root()
    wanted = tuple(dict.fromkeys(options.sets)) or SETS
    errors = []
    with pool() as workers:
        for name, bits in zip(wanted, workers.map(measure, wanted, [options.seed] * len(wanted)), strict=True):
            lines, wrong = judge(name, bits, REASONS)
            errors += wrong
            for line in lines:
                say(line)
            say(f"{name}: {len(bits)} bits of registers, {sum(not bit.lacks for bit in bits)} reached, "
                f"{f'{len(wrong)} errors' if wrong else 'all others with a reason'}")
    for line in errors:
        say(line)
    if errors:
        say(f"again: {' '.join(('stamp-hw verify census', *options.sets))} --seed {options.seed}")
    return int(bool(errors))
