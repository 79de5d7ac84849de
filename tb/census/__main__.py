"""`python -m tb.census [SET …]` runs the engine's bench and names the bits of registers that no stimulus reached.

A bit must move both ways and, but the lowest one of a register or field, must once differ from the bit below it. What
does not has a reason in `tb/census/reasons.py`. The run has a seed of its own, so that the reasons are about the bench.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from stamp_hw.cli.arguments import Parser
from stamp_hw.errors import ConfigError
from stamp_hw.exits import HELP
from tb.census.reasons import REASONS
from tb.census.registers import Bit, census, instrumented
from tb.census.report import judge
from tb.run.block import bench_module, elaborate, reproduce
from tb.run.exits import ended, seed
from tb.run.simulator import BUILD_ROOT, check_root, simulate

BLOCK, SETS, SEED, WORDS = "engine", ("2x2", "1x3"), 1, 12_000
FLAGS = ("--coverage-toggle", "--coverage-max-width", "16384")
_LOG = logging.getLogger("tb.census")


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


def run(argv: Sequence[str]) -> int:
    """Measure, print what lacks and why; 0 if every such bit has its reason and no reason is wrong, 1 if not."""
    parser = Parser(prog="python -m tb.census", description=__doc__, epilog=HELP)
    parser.add_argument("sets", metavar="SET", nargs="*", help=f"{', '.join(SETS)}; all if none is named")
    parser.add_argument("--seed", type=seed, metavar="N", default=SEED, help=f"seed of the bench (default {SEED})")
    args = parser.parse_args(argv)
    for name in args.sets:
        if name not in SETS:
            raise ConfigError("no census of this set", where="SET", got=name, expected=" or ".join(SETS))
    check_root()
    wanted = tuple(dict.fromkeys(args.sets)) or SETS
    errors = []
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for name, bits in zip(wanted, pool.map(measure, wanted, [args.seed] * len(wanted)), strict=True):
            lines, wrong = judge(name, bits, REASONS)
            errors += wrong
            for line in lines:
                _LOG.info("%s", line)
            _LOG.info("%s: %d bits of registers, %d reached, %s", name, len(bits), sum(not bit.lacks for bit in bits),
                      f"{len(wrong)} errors" if wrong else "all others with a reason")
    for line in errors:
        _LOG.error("%s", line)
    return int(bool(errors))


def main(argv: Sequence[str]) -> int:
    """`run`, with the codes of `stamp_hw.exits`."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout)
    _LOG.setLevel(logging.INFO)
    return ended(_LOG, lambda: run(argv))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
